//! Long lists, read to their end, and lists under the keyboard.

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use lanyard_governance_api::people::Role;
use lanyard_tests::browser::{Device, Page};

use crate::scene::{self, EVERYTHING, Scene};

/// More than one answer of central holds.
const PEOPLE: usize = 520;

async fn shows(page: &Page, rows: usize) -> Result<()> {
    let script = format!("return document.querySelectorAll('.rows-long > .row').length === {rows}");
    page.comes_true(&script).await.with_context(|| format!("not {rows} rows"))
}

/// Keys, as somebody types them one right after the other, wherever the focus is.
async fn keys(page: &Page, keys: &[&str]) -> Result<()> {
    let script = format!(
        "for (const key of {keys:?}) (document.activeElement ?? document.body).dispatchEvent(\
           new KeyboardEvent('keydown', {{ key, bubbles: true, cancelable: true }}));"
    );
    page.eval(&script).await.map(drop)
}

/// What the focus is on.
async fn focus(page: &Page) -> Result<String> {
    let text = page.eval("return document.activeElement?.innerText ?? ''").await?;
    Ok(text.as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_longer_than_one_answer_is_read_to_its_end() -> Result<()> {
    let scene = Scene::begin().await?;
    let names = (0..PEOPLE).map(|number| format!("Person {number:03}"));
    let invited = stream::iter(names).map(|name| {
        let scene = &scene;
        async move { scene.invited(&name, Role::Viewer).await }
    });
    let links: Vec<String> = invited.buffer_unordered(8).try_collect().await?;
    ensure!(links.len() == PEOPLE);
    let page = scene.operator(Device::Desktop).await?;
    page.goes("#/people").await?;
    for rows in [50, 150, 450, 500, PEOPLE + 1] {
        shows(&page, rows).await?;
        if rows <= PEOPLE {
            page.press("Show more").await?;
        }
    }
    scene::has_none_of(&page, &["Show more"]).await?;
    let names = page
        .eval("return new Set([...document.querySelectorAll('.rows-long .row-title')].map(row => row.textContent)).size")
        .await?;
    ensure!(names == PEOPLE + 1, "{names} different people");
    // What was read stays when the beginning is looked at again.
    scene.invited("Somebody late", Role::Viewer).await?;
    shows(&page, PEOPLE + 2).await?;
    page.fits().await
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_walked_and_searched_with_the_keyboard() -> Result<()> {
    let scene = Scene::begin().await?;
    let (machine, _) = scene.host("Study Linux", EVERYTHING).await?;
    for prompt in ["Nothing at all", "Nothing much", "Nothing else"] {
        scene::gives(&machine, prompt).await?;
    }
    let page = scene.operator(Device::Desktop).await?;
    keys(&page, &["g", "s"]).await?;
    // What each is called comes when its task has begun.
    for prompt in ["Nothing at all", "Nothing much", "Nothing else"] {
        page.sees(prompt).await?;
    }
    shows(&page, 3).await?;
    for (pressed, is_on) in [
        ("j", "Nothing else"),
        ("j", "Nothing much"),
        ("ArrowDown", "Nothing at all"),
        ("j", "Nothing at all"),
        ("ArrowUp", "Nothing much"),
        ("k", "Nothing else"),
        ("ArrowDown", "Nothing much"),
    ] {
        keys(&page, &[pressed]).await?;
        let now = focus(&page).await?;
        ensure!(now.contains(is_on), "{pressed} leads to {now:?}, not to {is_on:?}");
    }
    // The list is fetched anew every few seconds; whoever walks in it is not thrown out.
    scene::gives(&machine, "Nothing new").await?;
    page.sees("Nothing new").await?;
    let now = focus(&page).await?;
    ensure!(now.contains("Nothing much"), "the focus went to {now:?}");
    page.eval("document.activeElement.click();").await?;
    page.sees("There is nothing to do.").await?;

    keys(&page, &["?"]).await?;
    page.sees("next, previous").await?;
    page.press("Close").await?;
    page.loses("next, previous").await?;
    keys(&page, &["/"]).await?;
    page.comes_true("return document.activeElement?.type === 'search'").await?;
    // In a field, letters are letters.
    keys(&page, &["?"]).await?;
    ensure!(!page.text().await?.contains("next, previous"), "a letter in a field opened the help");
    keys(&page, &["Escape"]).await?;
    page.comes_true("return document.activeElement?.type !== 'search'").await?;
    keys(&page, &["g", "h"]).await?;
    page.sees("1 of 1 host online").await
}
