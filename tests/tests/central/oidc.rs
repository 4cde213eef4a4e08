//! People sign in at a real OpenID Connect provider.

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::endpoint::{ChangePerson, GetLoginWays, GetMe, InvitePerson};
use lanyard_governance_api::people::{ChangePerson as Change, InvitePerson as Invitation, Role};
use lanyard_tests::central::{Admin, Installation, Provider, Records, Wanderer};
use lanyard_tests::port::Port;

/// An installation with a provider, at an address that both know before it starts.
async fn with_provider() -> Result<(Installation, Provider)> {
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
    Ok((central, provider))
}

async fn invite(admin: &Admin, email: &str) -> Result<String> {
    let invitation =
        Invitation { name: "Ada".to_owned(), email: Some(email.to_owned()), role: Role::Approver };
    let invited = admin.post::<InvitePerson>(&[], &invitation).await?;
    ensure!(invited.link_token.is_none(), "a link besides the provider");
    Ok(invited.person.user_id.to_string())
}

#[tokio::test]
async fn an_invited_person_signs_in_and_nobody_else_does() -> Result<()> {
    let (central, provider) = with_provider().await?;
    let base = central.url(0);
    let nobody = Admin::with(&base, None)?;
    ensure!(nobody.get::<GetLoginWays>(&[]).await?.oidc.as_deref() == Some(provider.issuer()));
    let operator = central.operator().await?;
    let ada = invite(&operator, "Ada@example.com").await?;
    let start = format!("{base}/login/oidc");

    let mut browser = Wanderer::new()?;
    let place = browser.sign_in(&start, "ada@example.com", "/console/").await?;
    ensure!(place.url.path() == "/console/", "{place:?}");
    let cookie = browser.cookie(&base, "lanyard_session").context("no sign-in")?.to_owned();
    ensure!(browser.cookie(&base, "lanyard_oidc").is_none(), "the flow's cookie is left");
    let key = place.url.fragment().and_then(|f| f.strip_prefix("/signed-in/")).context("no key")?.to_owned();
    let signed_in = Admin::in_console(&base, &cookie, Some(&key))?;
    for thief in [Admin::in_console(&base, &cookie, None)?, Admin::with(&base, Some(&cookie))?] {
        ensure!(thief.get::<GetMe>(&[]).await.is_err(), "the cookie alone opens the console");
    }
    let me = signed_in.get::<GetMe>(&[]).await?;
    ensure!(me.user_id.as_str() == ada && me.role == Role::Approver && !me.operator, "{me:?}");
    // A role that changes counts for the sign-in that is there.
    operator.post::<ChangePerson>(&[&ada], &Change { role: Role::Viewer }).await?;
    ensure!(signed_in.get::<GetMe>(&[]).await?.role == Role::Viewer);
    // The second time she is known by issuer and subject.
    let again = Wanderer::new()?.sign_in(&start, "ada@example.com", "/console/").await?;
    ensure!(again.url.path() == "/console/", "{again:?}");

    for stranger in ["eve@example.com", "unverified-ada@example.com"] {
        let place = Wanderer::new()?.sign_in(&start, stranger, "/console/").await?;
        ensure!(place.status == 403 && place.text.contains("not invited"), "{stranger}: {place:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_another_browser_began_cannot_be_finished() -> Result<()> {
    let (central, _provider) = with_provider().await?;
    let base = central.url(0);
    invite(&central.operator().await?, "ada@example.com").await?;
    let start = format!("{base}/login/oidc");
    // Somebody stops right before coming back, and has another person open that address.
    let mut attacker = Wanderer::new()?;
    let callback = attacker.sign_in(&start, "ada@example.com", "/login/oidc/callback").await?;
    ensure!(callback.url.path() == "/login/oidc/callback", "{callback:?}");
    let mut victim = Wanderer::new()?;
    let place = victim.go(callback.url.as_str(), None, "/console/").await?;
    ensure!(place.status == 400 && victim.cookie(&base, "lanyard_session").is_none(), "{place:?}");
    // Whoever began it finishes it, once.
    let place = attacker.go(callback.url.as_str(), None, "/console/").await?;
    ensure!(place.url.path() == "/console/", "{place:?}");
    let place = attacker.go(callback.url.as_str(), None, "/console/").await?;
    ensure!(place.status == 400, "{place:?}");
    Ok(())
}
