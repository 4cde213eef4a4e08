//! Coming in and going out.

use anyhow::{Result, ensure};
use fantoccini::Locator;
use lanyard_governance_api::endpoint::InvitePerson;
use lanyard_governance_api::people::{InvitePerson as Invitation, Role};
use lanyard_tests::browser::{Browser, Device};
use lanyard_tests::central::{Installation, Provider, Records};
use lanyard_tests::port::Port;

use crate::scene::{self, Album, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_link_signs_in_once_and_leaves_nothing_behind() -> Result<()> {
    let scene = Scene::begin().await?;
    let token = scene.central.sign_in_link().await?;
    let link = format!("{}#/sign-in/{token}", scene.console());
    let page = scene.browser.page(Device::Phone).await?;
    let album = Album::of(&page);

    // Who is not signed in sees how one does, and nothing else, wherever they go.
    page.open(&format!("{}#/hosts", scene.console())).await?;
    page.sees("lanyard-central sign-in-link").await?;
    album.takes("sign-in").await?;

    // Opening the link uses nothing up, and takes the token out of the address and the history.
    page.open(&link).await?;
    page.button("Sign in").await?;
    let held = "return location.href + JSON.stringify(history.state) + JSON.stringify({ ...localStorage }) \
                + JSON.stringify({ ...sessionStorage }) + document.documentElement.outerHTML";
    let left = page.eval(held).await?.to_string();
    ensure!(!left.contains(&token), "the token is left: {left}");
    album.takes("sign-in-link").await?;
    page.press("Sign in").await?;
    page.sees("Begin with a host").await?;
    album.takes("first-steps").await?;
    let cookies = page.eval("return document.cookie").await?;
    ensure!(cookies == "", "scripts see {cookies}");
    let left = page.eval(held).await?.to_string();
    ensure!(!left.contains(&token), "the token is left: {left}");

    // A second time it does not sign in, and the page says what helps.
    let other = scene.browser.page(Device::Desktop).await?;
    other.open(&link).await?;
    other.press("Sign in").await?;
    other.sees("This link does not sign in").await?;
    other.sees("Links work once and for a short time").await?;
    other.press("Other ways to sign in").await?;

    // A whole link may be put in by hand, too.
    let fresh = scene.central.sign_in_link().await?;
    other.types("Link or token", &format!("{}#/sign-in/{fresh}", scene.console())).await?;
    other.press("Sign in").await?;
    other.sees("Begin with a host").await?;

    // Out again, in one browser only; going back shows nothing.
    page.press("Account").await?;
    page.sees("You also run this installation").await?;
    album.takes("account").await?;
    page.press("Sign out").await?;
    page.sees("lanyard-central sign-in-link").await?;
    page.open(&format!("{}#/people", scene.console())).await?;
    page.sees("lanyard-central sign-in-link").await?;
    other.goes("#/people").await?;
    other.sees("Who may use this console").await?;
    album.verdict()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invited_person_signs_in_at_the_organisations_provider() -> Result<()> {
    let _turn = scene::turn().await?;
    // An address that both know before they start.
    let port = Port::reserve()?;
    let url = format!("http://{}", port.address());
    let provider = Provider::start(&format!("{url}/login/oidc/callback")).await?;
    let mut central = Installation::prepare(Records::Sqlite)?;
    let secret = central.path().join("secret");
    std::fs::write(&secret, "a-secret-of-the-test\n")?;
    let secret = secret.display().to_string();
    central.flag(&["--public-url", &url, "--oidc-issuer", provider.issuer(), "--oidc-client-id", "central"]);
    central.flag(&["--oidc-client-secret-file", &secret]);
    central.add_at(port).await?;
    let operator = central.operator().await?;
    let email = Some("ada@example.com".to_owned());
    let invitation = Invitation { name: "Ada".to_owned(), email, role: Role::Approver };
    operator.post::<InvitePerson>(&[], &invitation).await?;

    let browser = Browser::start().await?;
    for (who, sees) in [("ada@example.com", "Begin with a host"), ("eve@example.com", "not invited")] {
        let page = browser.page(Device::Phone).await?;
        page.open(&format!("{url}/console/")).await?;
        page.press(&format!("Continue with {}", provider.issuer())).await?;
        // The provider's own page.
        let login = page.client().wait().for_element(Locator::Css("input[name=login]")).await?;
        login.send_keys(who).await?;
        page.client().find(Locator::Css("input[name=password]")).await?.send_keys("any").await?;
        page.client().find(Locator::Css("button[type=submit]")).await?.click().await?;
        page.sees("Authorize").await?;
        page.client().find(Locator::Css("button[type=submit]")).await?.click().await?;
        page.sees(sees).await?;
        if who == "ada@example.com" {
            page.press("Account").await?;
            page.sees("Ada · ada@example.com").await?;
            page.sees("Approver in").await?;
        } else {
            page.open(&format!("{url}/console/")).await?;
            page.button(&format!("Continue with {}", provider.issuer())).await?;
        }
        page.close().await?;
    }
    Ok(())
}
