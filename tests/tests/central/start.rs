//! Starting with nothing, stopping, starting again, and what is said when something is wrong.

use anyhow::{Result, ensure};
use lanyard_governance_api::endpoint::{GetMe, ListAgents};
use lanyard_tests::central::{Admin, Installation, Records, World};

async fn first_way(records: Records) -> Result<()> {
    let mut central = Installation::start(records).await?;
    let admin = central.operator().await?;
    let me = admin.get::<GetMe>(&[]).await?;
    ensure!(me.operator && me.tenant.tenant_id.as_str() == "default", "{me:?}");
    let world = World::of(admin.clone()).await?;
    central.kill(0).await?;
    central.revive(0).await?;
    let agents = admin.get::<ListAgents>(&[]).await?;
    ensure!(agents.items.len() == 1 && agents.items[0].agent_id == *world.host.id(), "{agents:?}");
    Ok(())
}

#[tokio::test]
async fn the_embedded_default_starts_with_nothing_and_keeps_everything() -> Result<()> {
    first_way(Records::Sqlite).await
}

#[tokio::test]
async fn so_does_postgresql() -> Result<()> {
    first_way(Records::Postgres).await
}

#[tokio::test]
async fn health_readiness_and_the_document_need_nobody_and_other_paths_are_told_plainly() -> Result<()> {
    let central = Installation::start(Records::Sqlite).await?;
    let http = reqwest::Client::new();
    for path in ["/health", "/ready", "/openapi.json"] {
        let answer = http.get(format!("{}{path}", central.url(0))).send().await?;
        ensure!(answer.status() == 200, "{path}: {}", answer.status());
        ensure!(answer.headers().contains_key("x-request-id"));
    }
    let missing =
        http.get(format!("{}/nowhere", central.url(0))).header("x-request-id", "abc-1").send().await?;
    ensure!(missing.status() == 404 && missing.headers()["x-request-id"] == "abc-1");
    ensure!(missing.json::<serde_json::Value>().await?["code"] == "RESOURCE_NOT_FOUND");
    let method = http.delete(format!("{}/health", central.url(0))).send().await?;
    ensure!(method.status() == 405, "{}", method.status());
    Ok(())
}

#[tokio::test]
async fn a_cookie_is_good_for_the_console_alone() -> Result<()> {
    let central = Installation::start(Records::Sqlite).await?;
    let (http, base) = (reqwest::Client::new(), central.url(0));
    let login = http.post(format!("{base}/login/link")).header("x-lanyard-console", "1");
    let answer = login.json(&serde_json::json!({"token": central.sign_in_link().await?})).send().await?;
    let cookie = answer.headers()["set-cookie"].to_str()?.to_owned();
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let key = answer.json::<serde_json::Value>().await?["consoleKey"].as_str().unwrap_or_default().to_owned();
    let post = |site: Option<&'static str>, key: Option<&str>| {
        let mut request = http
            .post(format!("{base}/policies/revoke"))
            .header("cookie", &cookie)
            .header("content-type", "application/json")
            .body(r#"{"reason": "a page of somebody else"}"#);
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        if let Some(key) = key {
            request = request.header("x-lanyard-console", key);
        }
        request.send()
    };
    let right = Some(key.as_str());
    for (site, key) in
        [(Some("cross-site"), right), (Some("same-site"), right), (None, None), (None, Some("1"))]
    {
        ensure!(post(site, key).await?.status() == 401, "{site:?} {key:?}");
    }
    ensure!(post(Some("same-origin"), right).await?.status() == 200);
    // Reading needs it too; streams and downloads have it in the query, which no service sees.
    let get = |path: String| http.get(format!("{base}{path}")).header("cookie", &cookie).send();
    ensure!(get("/me".to_owned()).await?.status() == 401);
    ensure!(get("/audit/export?format=json_lines".to_owned()).await?.status() == 401);
    ensure!(get(format!("/audit/export?format=json_lines&console={key}")).await?.status() == 200);
    Ok(())
}

#[tokio::test]
async fn one_process_to_an_embedded_database() -> Result<()> {
    let central = Installation::start(Records::Sqlite).await?;
    let second = tokio::process::Command::new(lanyard_tests::central::binary()?)
        .arg("--state-dir")
        .arg(central.state_dir())
        .args(["--listen", "127.0.0.1:0"])
        .output()
        .await?;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(!second.status.success() && said.contains("another lanyard-central runs"), "{said}");
    // Nothing of the first was hurt.
    Admin::with(&central.url(0), None)?;
    central.operator().await?;
    Ok(())
}
