//! schemathesis over the OpenAPI document that central serves: no answer is a server error, and each has the shape and
//! the status that the document gives it.

use std::process::Stdio;

use anyhow::{Result, ensure};
use lanyard_tests::central::{Installation, Records, World, python};
use tokio::process::Command;

/// Fixed, so that a run can be repeated.
const SEED: &str = "20260221";

/// What never ends by itself, what signs out the one who asks, and what leads away.
const LEFT_OUT: &[&str] =
    &["StreamEvents", "StreamCommands", "Logout", "StartOidc", "FinishOidc", "RevokeAgent"];

async fn fuzz(records: Records, as_host: bool) -> Result<()> {
    let venv = match python("python-central", &["moto[server]==5.2.5", "schemathesis==4.32.5"]).await? {
        Ok(venv) => venv,
        Err(why) => {
            println!("skipped: {why}");
            return Ok(());
        }
    };
    let mut central = Installation::prepare(records)?;
    central.flag(&["--requests-per-second", "100000"]);
    central.add().await?;
    let world = World::of(central.operator().await?).await?;
    let token = if as_host { &world.host.agent.token } else { &world.admin.token };
    let mut command = Command::new(venv.join("bin/schemathesis"));
    command.arg("run").arg(format!("{}/openapi.json", central.url(0)));
    command.args(["--header", &format!("Authorization: Bearer {}", token.as_deref().unwrap_or_default())]);
    command.args(["--checks", "not_a_server_error,response_schema_conformance,content_type_conformance"]);
    command.args([
        "--phases",
        "examples,coverage,fuzzing",
        "--seed",
        SEED,
        "--no-color",
        "--warnings",
        "off",
    ]);
    command.args([
        "--max-examples",
        if std::env::var_os("LANYARD_LONG").is_some() { "200" } else { "5" },
        // CPython before 3.12 gives up when two threads compile at once (gh-106905), which hypothesis does.
        "--workers",
        "1",
    ]);
    command.args(["--request-timeout", "120", "--continue-on-failure", "--suppress-health-check", "all"]);
    for id in LEFT_OUT {
        command.args(["--exclude-operation-id", id]);
    }
    let output = command.current_dir(central.path()).stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    let end: String = said.chars().rev().take(12_000).collect::<Vec<_>>().into_iter().rev().collect();
    ensure!(
        output.status.success(),
        "schemathesis: {end}\n{}\ncentral said:\n{}",
        String::from_utf8_lossy(&output.stderr),
        central.replica(0).log().lines().filter(|line| line.contains("ERROR")).collect::<Vec<_>>().join("\n")
    );
    Ok(())
}

#[tokio::test]
async fn an_administrator_cannot_make_it_fail() -> Result<()> {
    fuzz(Records::Sqlite, false).await
}

#[tokio::test]
async fn nor_can_a_host_on_postgresql() -> Result<()> {
    fuzz(Records::Postgres, true).await
}
