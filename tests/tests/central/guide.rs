//! The examples of the policy guide are what they say.

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::endpoint::{DryRunPolicy, ValidatePolicy};
use lanyard_governance_api::policy::{DryAction, DryRun, ValidateRequest};
use lanyard_protocol::Json;
use lanyard_protocol::overview::Standing;
use lanyard_protocol::policy::{Capability, SandboxLevel};
use lanyard_tests::central::{Installation, Records};
use serde_json::Value;

/// The JSON blocks of the guide, in order.
fn examples() -> Result<Vec<Value>> {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/policy-guide.md");
    let text = std::fs::read_to_string(guide)?;
    let blocks = text.split("```json").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(|block| serde_json::from_str(block).with_context(|| block.to_owned())).collect()
}

fn command(line: &str) -> DryAction {
    DryAction::Command { line: line.to_owned(), cwd: None }
}

fn path(capability: Capability, path: &str) -> DryAction {
    DryAction::Path { capability, path: format!("/srv/project/{path}") }
}

#[tokio::test]
async fn every_example_can_be_put_in_force_and_gives_what_the_guide_says() -> Result<()> {
    let central = Installation::start(Records::Sqlite).await?;
    let admin = central.operator().await?;
    let examples = examples()?;
    ensure!(examples.len() == 2, "{} examples", examples.len());
    for example in &examples {
        let request = ValidateRequest { document: Json(example.clone()) };
        let found = admin.post::<ValidatePolicy>(&[], &request).await?;
        ensure!(found.problems.iter().all(|problem| !problem.fatal), "{found:?}");
    }
    let asked = [
        (0, path(Capability::FileRead, "src/main.rs"), Standing::Free),
        (0, path(Capability::FileRead, ".env"), Standing::Never),
        (0, command("cargo test"), Standing::Never),
        (1, command("cargo test -p parser"), Standing::Free),
        (1, command("cargo testify"), Standing::Never),
        (1, command("cargo --config x test"), Standing::Never),
        (1, command("cargo test && cargo publish"), Standing::Never),
        (1, path(Capability::FileWrite, "src/main.rs"), Standing::Free),
        (1, path(Capability::FileWrite, "Cargo.toml"), Standing::Never),
    ];
    for (number, action, expected) in asked {
        let run = DryRun {
            document: Some(serde_json::from_value(examples[number].clone())?),
            version: None,
            workspace: vec!["/srv/project".to_owned()],
            action: action.clone(),
            sandbox_level: SandboxLevel::Full,
        };
        let verdict = admin.post::<DryRunPolicy>(&[], &run).await?;
        ensure!(verdict.standing == expected, "example {}: {action:?} gets {verdict:?}", number + 1);
    }
    Ok(())
}
