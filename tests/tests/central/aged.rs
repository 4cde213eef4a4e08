//! The real process on a moved clock: workspaces that nobody used are purged, audit records that are old are removed, and
//! what is left is still proven.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::audit::{AuditQuery, Retention, VerifyQuery};
use lanyard_governance_api::endpoint::{
    GetArtifactContent, GetChainHead, GetWorkspace, SearchAudit, SetRetention, VerifyAudit,
};
use lanyard_governance_api::page::Nothing;
use lanyard_protocol::Timestamp;
use lanyard_tests::central::chain::Chain;
use lanyard_tests::central::newcomers::refusal;
use lanyard_tests::central::{Admin, Installation, Records, TestAgent, World, until};

const DAY: i64 = 86_400;

async fn days_later(central: &mut Installation, days: i64) -> Result<Admin> {
    central.kill(0).await?;
    central.set("LANYARD_CENTRAL_CLOCK_OFFSET_SECONDS", &(days * DAY).to_string());
    central.revive(0).await?;
    central.operator().await
}

/// Objects below the directory of artifacts.
fn objects(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => found.extend(objects(&entry.path())?),
            // What marks the directory as ours stays.
            false if entry.file_name() == "lanyard-artifacts" => {}
            false => found.push(entry.path()),
        }
    }
    Ok(found)
}

async fn purged(records: Records) -> Result<()> {
    let mut central = Installation::start(records).await?;
    let world = World::of(central.operator().await?).await?;
    let artifacts = central.state_dir().join("artifacts");
    ensure!(!objects(&artifacts)?.is_empty(), "the artifact is nowhere");
    let workspace = world.grant.workspace_id.to_string();

    let admin = days_later(&mut central, 89).await?;
    let path = [workspace.as_str(), world.ids["artifact_id"].as_str()];
    let (status, content) = admin.send::<GetArtifactContent>(&path, &Nothing {}, Vec::new()).await?;
    ensure!(status == 200 && content == b"a secret", "after 89 days: {status}");
    admin.get::<GetWorkspace>(&[&workspace]).await?;

    let admin = days_later(&mut central, 91).await?;
    until("the workspace is purged", || async {
        let query = AuditQuery { event_type: Some("workspace_purged".to_owned()), ..AuditQuery::default() };
        let page = admin.call::<SearchAudit>(&[], &query, &Nothing {}).await?;
        Ok((!page.items.is_empty()).then_some(()))
    })
    .await?;
    ensure!(refusal(admin.get::<GetWorkspace>(&[&workspace]).await)?.status == 404);
    let (status, _) = admin.send::<GetArtifactContent>(&path, &Nothing {}, Vec::new()).await?;
    ensure!(status == 404, "the artifact is served: {status}");
    until("its objects are gone", || async {
        let left = objects(&artifacts)?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn a_workspace_that_nobody_used_for_90_days_goes_with_its_artifacts() -> Result<()> {
    purged(Records::Sqlite).await
}

#[tokio::test]
async fn so_it_does_on_postgresql() -> Result<()> {
    purged(Records::Postgres).await
}

async fn retained(records: Records) -> Result<()> {
    let mut central = Installation::start(records).await?;
    let admin = central.operator().await?;
    admin.call::<SetRetention>(&[], &Nothing {}, &Retention { days: 30 }).await?;
    let agent = TestAgent::of(&admin, "workshop").await?;
    let mut chain = Chain::of(agent.id().as_str());
    chain.send(&agent.agent, 1_200).await?;

    // Ten days later some more; its certificate has run out meanwhile.
    days_later(&mut central, 10).await?;
    let identity = agent.renew(Timestamp::now().plus_millis(10 * DAY * 1_000)).await?;
    ensure!(identity.agent_id == *agent.id());
    let there = Admin::with(&central.url(0), Some(&late_access(&agent, &central, 10).await?))?;
    chain.send(&there, 7).await?;

    // The first are too old now, the others are not.
    let admin = days_later(&mut central, 31).await?;
    let query = VerifyQuery { source: Some(agent.id().to_string()) };
    let kept = until("old records are removed", || async {
        let proof = admin.call::<VerifyAudit>(&[], &query, &Nothing {}).await?;
        ensure!(proof.whole, "while they are removed: {proof:?}");
        let chain = proof.chains.into_iter().next().context("no chain")?;
        Ok((chain.first_seq == 1_201).then_some(chain))
    })
    .await?;
    ensure!(kept.records == 7 && kept.last_seq == 1_207, "{kept:?}");
    // The host goes on where it was.
    let there = Admin::with(&central.url(0), Some(&late_access(&agent, &central, 31).await?))?;
    ensure!(there.get::<GetChainHead>(&[]).await?.last_seq == 1_207);
    chain.send(&there, 5).await?;
    let proof = admin.call::<VerifyAudit>(&[], &VerifyQuery::default(), &Nothing {}).await?;
    ensure!(proof.whole, "{proof:?}");
    Ok(())
}

/// An access token by the clock of a centre that is so many days ahead.
async fn late_access(agent: &TestAgent, central: &Installation, days: i64) -> Result<String> {
    use lanyard_governance_api::endpoint::CreateAccessToken;
    use lanyard_governance_api::enrolment::{AccessTokenRequest, Purpose};
    let at = Timestamp::now().plus_millis(days * DAY * 1_000);
    let body = AccessTokenRequest { proof: agent.proof(Purpose::AccessToken, at)? };
    let nobody = Admin::with(&central.url(0), None)?;
    Ok(nobody.post::<CreateAccessToken>(&[agent.id().as_str()], &body).await?.token)
}

#[tokio::test]
async fn retention_removes_what_is_old_and_leaves_a_chain_that_is_whole() -> Result<()> {
    retained(Records::Sqlite).await
}

#[tokio::test]
async fn retention_on_postgresql() -> Result<()> {
    retained(Records::Postgres).await
}
