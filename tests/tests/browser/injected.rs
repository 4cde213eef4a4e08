//! What files, commands and models say is text, whatever it looks like.

use anyhow::{Context, Result, ensure};
use lanyard_tests::browser::{Device, Page};
use lanyard_tests::gateway::errands;
use serde_json::json;

use crate::scene::{self, Scene};

/// Notes whatever ran, or tried to.
const WITNESS: &str = "window.ran = []; \
    for (const name of ['alert', 'confirm', 'prompt', 'open']) window[name] = word => { ran.push(`${name} ${word}`); }; \
    addEventListener('securitypolicyviolation', event => ran.push(`${event.violatedDirective} ${event.blockedURI}`));";

/// Longer than any line a person reads.
const HUGE: usize = 200_000;

#[tokio::test(flavor = "multi_thread")]
async fn markup_from_elsewhere_is_text() -> Result<()> {
    // Also the name of the host is said by somebody.
    let scene = Scene::of("<img src=x onerror=alert('host')>").await?;
    let file = "<b>bold<script>alert('name')<script>.txt";
    let content = format!(
        "<script>alert('file')</script>\u{1b}[31mred\u{7}\n{}\n{}",
        "x".repeat(HUGE),
        errands::HOSTILE
    );
    std::fs::write(scene.host.workspace().join(file), content)?;
    let page = scene.browser.page(Device::Phone).await?;
    page.before_each(WITNESS).await?;
    let mut window = scene.host.opens_window().await?;
    page.open(&window.link).await?;
    scene::let_in(&page, &scene.host, &mut window).await?;
    page.sees("<img src=x onerror=alert('host')>").await?;

    let session = scene.gives(&errands::hostile(file)).await?;
    scene::opens(&page, &session).await?;
    // A change of a file whose name is markup, with markup in it.
    page.sees("<img src=x onerror=alert('path')>.txt").await?;
    page.sees("<script>alert('model')</script>").await?;
    harmless(&page).await.context("the question about a file")?;
    page.press("Approve change").await?;
    // A command that would clear the screen and turn its own words around.
    page.sees("<script>alert(argv)</script>").await?;
    // What hides is written out, once.
    page.sees("⟦U+001B⟧[2Jclean⟦U+202E⟧txt.exe").await?;
    ensure!(!page.text().await?.contains("U+27E6"), "{}", page.text().await?);
    harmless(&page).await.context("the question about a command")?;
    page.press("Approve once").await?;
    page.sees("the end of it").await?;
    for words in ["<img src=x onerror=\"alert('model')\">", "<script>alert('code')</script>", "<b>cell</b>"] {
        page.sees(words).await?;
    }
    harmless(&page).await.context("the timeline")?;
    page.fits().await?;
    // What was read is folded; the whole of it is text as well.
    page.press("whole output").await?;
    page.sees("<script>alert('file')</script>").await?;
    harmless(&page).await.context("the whole output")?;
    page.fits().await?;
    page.press("Close").await?;
    // And so are files and their names.
    page.goes("#/files").await?;
    page.press_row("/work").await?;
    page.press_row("bold").await?;
    page.sees("<script>alert('file')</script>").await?;
    harmless(&page).await.context("the file")?;
    page.fits().await?;

    let complaints = page.complaints().await?;
    ensure!(complaints.is_empty(), "{complaints:#?}");
    held_off(&page).await
}

/// Nothing ran, nothing was fetched from elsewhere, nothing is there that could.
async fn harmless(page: &Page) -> Result<()> {
    let script = "const all = [...document.querySelectorAll('body *')]; return { \
        ran: window.ran, \
        elements: all.filter(e => ['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'BASE', 'FORM', 'STYLE'].includes(e.tagName) \
            || (e.tagName === 'IMG' && !e.src.startsWith('blob:'))).map(e => e.outerHTML.slice(0, 200)), \
        handlers: all.filter(e => [...e.attributes].some(a => /^on|^style$/i.test(a.name) && a.name !== 'style')).map(e => e.outerHTML.slice(0, 200)), \
        links: [...document.querySelectorAll('a')].filter(a => !/^(https?:|#)/.test(a.getAttribute('href') ?? '#')).map(a => a.outerHTML), \
        away: [...document.querySelectorAll('a[href^=http]')].filter(a => !a.rel.includes('noreferrer') || a.target !== '_blank').map(a => a.outerHTML), \
        fetched: performance.getEntriesByType('resource').map(e => e.name).filter(n => !/^(blob|data):/.test(n) && new URL(n).host !== location.host), \
        hidden: /[\\u001b\\u0007\\u202a-\\u202e\\u2066-\\u2069]/.test(document.body.innerText) ? [document.body.innerText] : [], \
    };";
    let found = page.eval(script).await?;
    let nothing = json!({
        "ran": [], "elements": [], "handlers": [], "links": [], "away": [], "fetched": [], "hidden": [],
    });
    ensure!(found == nothing, "{found:#}");
    Ok(())
}

/// Even what had got into the page would not run.
async fn held_off(page: &Page) -> Result<()> {
    let policy = page
        .eval(
            "const request = new XMLHttpRequest(); request.open('GET', '/', false); request.send(); \
             return request.getResponseHeader('content-security-policy');",
        )
        .await?;
    let policy = policy.as_str().context("there is no policy")?;
    ensure!(policy.contains("default-src 'none'") && !policy.contains("unsafe-inline"), "{policy}");
    ensure!(!policy.contains("'unsafe-eval'"), "{policy}");
    page.eval(
        "const box = document.createElement('div'); document.body.append(box); \
         box.innerHTML = '<img src=\"data:,\" onerror=\"ran.push(\\'image\\')\">'; \
         const script = document.createElement('script'); script.textContent = 'ran.push(\"inline\")'; box.append(script); \
         const far = document.createElement('script'); far.src = 'https://127.0.0.1:9/x.js'; box.append(far); \
         fetch('https://127.0.0.1:9/x').catch(() => {});",
    )
    .await?;
    page.comes_true("return ran.filter(word => /script-src|connect-src/.test(word)).length >= 4").await?;
    let ran = page.eval("return ran").await?;
    let words = ran.as_array().context("a list")?;
    ensure!(!words.iter().any(|word| word == "inline" || word == "image"), "{ran}");
    Ok(())
}
