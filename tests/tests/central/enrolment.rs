//! How hosts become known and cease to be: tokens that are no good, races for the last use, renewal on a moved clock,
//! clones, revocation.

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::agent::RevokeAgent as Revocation;
use lanyard_governance_api::audit::{AuditQuery, AuditRecord};
use lanyard_governance_api::endpoint::{
    GetAgent, ListAgents, RenewIdentity, RevokeAgent, RevokeEnrolmentToken, SearchAudit,
};
use lanyard_governance_api::enrolment::{Purpose, RenewRequest};
use lanyard_governance_api::page::{Nothing, PageQuery};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::session::TaskOptions;
use lanyard_protocol::{ErrorCode, Timestamp};
use lanyard_tests::central::newcomers::{Newcomer, refusal, shown, token_for};
use lanyard_tests::central::team::{Team, document};
use lanyard_tests::central::{
    Admin, Installation, Records, Refused, RoundRobin, TestAgent, heartbeat, nonce, request, until,
};
use lanyard_tests::gateway::{Script, call, say};
use lanyard_tests::newcomer::Ended;
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::json;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Central again, its clock so many days ahead.
async fn days_later(central: &mut Installation, days: i64) -> Result<()> {
    central.kill(0).await?;
    central.set("LANYARD_CENTRAL_CLOCK_OFFSET_SECONDS", &(days * DAY).to_string());
    central.revive(0).await
}

async fn agents(admin: &Admin) -> Result<usize> {
    let query = PageQuery { limit: Some(500), ..PageQuery::default() };
    Ok(admin.call::<ListAgents>(&[], &query, &Nothing {}).await?.items.len())
}

/// A record of this kind, waited for: services hand theirs on.
async fn told(admin: &Admin, kind: &str) -> Result<AuditRecord> {
    until(kind, || async {
        let query = AuditQuery { event_type: Some(kind.to_owned()), ..AuditQuery::default() };
        let page = admin.call::<SearchAudit>(&[], &query, &Nothing {}).await?;
        Ok(page.items.into_iter().next())
    })
    .await
}

async fn bad_tokens(records: Records) -> Result<()> {
    let mut central = Installation::start(records).await?;
    let admin = central.operator().await?;
    let base = central.url(0);
    let refused = async |token: &str, says: &str| -> Result<()> {
        let said = refusal(Newcomer::new("stranger")?.knocks(&base, token).await)?;
        ensure!(said.status == 401 && said.error.code == ErrorCode::EnrolmentRefused, "{said}");
        ensure!(said.error.message.contains(says), "{said} does not say {says:?}");
        Ok(())
    };

    // Used once: a second machine is refused, and so is the first with another key.
    let once = token_for(&admin, 1, None).await?;
    let first = Newcomer::new("first")?;
    let identity = first.knocks(&base, &once.token).await?;
    refused(&once.token, "used up").await?;
    // The same request again is the same host again, and uses nothing.
    let again = first.knocks(&base, &once.token).await?;
    ensure!(again.agent_id == identity.agent_id && again.nonce != identity.nonce);
    ensure!(shown(&admin, &once).await?.uses == 1 && agents(&admin).await? == 1);

    // A secret that is not the token's says no more than a token that never was.
    let open = token_for(&admin, 1, None).await?;
    let parts: Vec<&str> = open.token.split('.').collect();
    let other: Vec<&str> = once.token.split('.').collect();
    let wrong = [parts[0], parts[1], parts[2], other[3], parts[4]].join(".");
    refused(&wrong, "is not accepted").await?;
    let unknown = open.token.replace(parts[2], &parts[2].chars().rev().collect::<String>());
    refused(&unknown, "is not accepted").await?;
    refused("lanyard-enroll.1.x", "is not accepted").await?;
    ensure!(shown(&admin, &open).await?.uses == 0, "a wrong secret used the token");

    let taken = token_for(&admin, 5, None).await?;
    admin.call::<RevokeEnrolmentToken>(&[taken.record.token_id.as_str()], &Nothing {}, &Nothing {}).await?;
    refused(&taken.token, "revoked").await?;

    let alarm = told(&admin, "enrolment_refused").await?;
    ensure!(alarm.event.payload.0["tokenId"].is_string(), "{alarm:?}");

    let short = token_for(&admin, 1, Some(3_600)).await?;
    days_later(&mut central, 1).await?;
    refused(&short.token, "expired").await?;
    // Nor is the first machine's own request answered any more.
    let late = refusal(first.knocks(&base, &once.token).await)?;
    ensure!(late.error.message.contains("expired"), "{late}");
    ensure!(agents(&central.operator().await?).await? == 1);
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_not_good_enrols_nobody() -> Result<()> {
    bad_tokens(Records::Sqlite).await
}

#[tokio::test]
async fn nor_does_it_on_postgresql() -> Result<()> {
    bad_tokens(Records::Postgres).await
}

/// Fifty machines at once, three uses.
async fn race(admin: &Admin, base: &str) -> Result<()> {
    let token = token_for(admin, 3, None).await?;
    let mut clients = Vec::new();
    for number in 0..50 {
        let (base, token) = (base.to_owned(), token.token.clone());
        clients.push(tokio::spawn(async move {
            let newcomer = Newcomer::new(&format!("racer-{number}"))?;
            for _ in 0..20 {
                match newcomer.knocks(&base, &token).await {
                    // A slow machine's database may keep somebody waiting for too long.
                    Err(error) if error.downcast_ref::<Refused>().is_some_and(|told| told.status == 503) => {}
                    answer => return answer,
                }
            }
            anyhow::bail!("the centre is busy for good")
        }));
    }
    let mut enrolled = std::collections::BTreeSet::new();
    for client in clients {
        match client.await? {
            Ok(identity) => {
                ensure!(enrolled.insert(identity.agent_id.to_string()), "one identity for two machines");
            }
            Err(error) => {
                let said = refusal::<()>(Err(error))?;
                ensure!(said.error.message.contains("used up"), "{said}");
            }
        }
    }
    ensure!(enrolled.len() == 3, "{} of 50 got in", enrolled.len());
    ensure!(shown(admin, &token).await?.uses == 3 && agents(admin).await? == 3);
    Ok(())
}

#[tokio::test]
async fn of_fifty_machines_exactly_three_get_in() -> Result<()> {
    let central = Installation::start(Records::Sqlite).await?;
    race(&central.operator().await?, &central.url(0)).await
}

#[tokio::test]
async fn exactly_three_through_two_replicas_on_postgresql() -> Result<()> {
    let mut central = Installation::start(Records::Postgres).await?;
    central.add().await?;
    let targets = vec![central.replica(0).address()?, central.replica(1).address()?];
    let proxy = RoundRobin::before(targets).await?;
    race(&central.operator().await?, &proxy.url()).await
}

async fn renewal(records: Records) -> Result<()> {
    let mut central = Installation::start(records).await?;
    let admin = central.operator().await?;
    let sleeper = TestAgent::of(&admin, "sleeper").await?;
    let lost = TestAgent::of(&admin, "lost").await?;
    let here = |days: i64| Timestamp::now().plus_millis(days * DAY * 1_000);
    // Awake, it renews by proof as often as it likes.
    let renewed = sleeper.renew(here(0)).await?;
    ensure!(renewed.agent_id == *sleeper.id() && renewed.certificate_pem != sleeper.identity.certificate_pem);
    // A clock that is wrong learns the right one.
    let wrong = refusal(sleeper.renew(here(-1)).await)?;
    ensure!(wrong.status == 401 && format!("{:?}", wrong.error.details).contains("serverTime"), "{wrong:?}");

    // A certificate is good for a day, and its key for 90 days more.
    days_later(&mut central, 1 + 89).await?;
    ensure!(refusal(sleeper.agent.get::<GetAgent>(&[sleeper.id().as_str()]).await)?.status == 401);
    let renewed = sleeper.renew(here(90)).await?;
    ensure!(renewed.not_after > here(90), "{:?}", renewed.not_after);
    let beating = Admin::with(&central.url(0), Some(&renewed.service_token))?;
    let beat = heartbeat("sleeper");
    beating.post::<lanyard_governance_api::endpoint::SendHeartbeat>(&[sleeper.id().as_str()], &beat).await?;

    days_later(&mut central, 1 + 91).await?;
    let late = refusal(lost.renew(here(92)).await)?;
    ensure!(
        late.error.code == ErrorCode::EnrolmentRefused && late.error.message.contains("90 days"),
        "{late}"
    );
    // The one that came back in time has begun anew.
    sleeper.renew(here(92)).await?;
    told(&central.operator().await?, "agent_renewed").await?;
    Ok(())
}

#[tokio::test]
async fn a_machine_that_slept_for_89_days_comes_back_and_after_91_it_does_not() -> Result<()> {
    renewal(Records::Sqlite).await
}

#[tokio::test]
async fn the_same_on_postgresql() -> Result<()> {
    renewal(Records::Postgres).await
}

#[tokio::test]
async fn another_key_for_an_enrolled_host_is_told_as_a_clone() -> Result<()> {
    let central = Installation::start(Records::Sqlite).await?;
    let admin = central.operator().await?;
    let agent = TestAgent::of(&admin, "workshop").await?;
    ensure!(!admin.get::<GetAgent>(&[agent.id().as_str()]).await?.clone_suspected);
    let body = RenewRequest {
        csr_pem: request(&KeyPair::generate_for(&PKCS_ED25519)?)?,
        nonce: nonce(),
        proof: agent.proof(Purpose::Renew, Timestamp::now())?,
    };
    let nobody = Admin::with(&central.url(0), None)?;
    let said = refusal(nobody.post::<RenewIdentity>(&[agent.id().as_str()], &body).await)?;
    ensure!(said.status == 403 && said.error.message.contains("enrolled key only"), "{said}");
    // A proof is good once.
    let said = refusal(nobody.post::<RenewIdentity>(&[agent.id().as_str()], &body).await)?;
    ensure!(said.status == 401 && said.error.message.contains("used already"), "{said}");
    ensure!(
        admin.get::<GetAgent>(&[agent.id().as_str()]).await?.clone_suspected,
        "the console does not show it"
    );
    let alarm = told(&admin, "clone_suspected").await?;
    ensure!(alarm.event.payload.0.to_string().contains(agent.id().as_str()), "{alarm:?}");
    // The host itself works on.
    agent.renew(Timestamp::now()).await?;
    Ok(())
}

#[tokio::test]
async fn two_machines_with_one_identity_are_noticed_by_their_heartbeats() -> Result<()> {
    let central = Installation::start(Records::Sqlite).await?;
    let admin = central.operator().await?;
    let agent = TestAgent::of(&admin, "workshop").await?;
    // One has run for a minute and the other for a day, in turns.
    for round in 0..6 {
        let mut beat = heartbeat("workshop");
        beat.uptime_seconds = if round % 2 == 0 { 60 } else { 86_400 };
        agent.beat(&beat).await?;
    }
    ensure!(admin.get::<GetAgent>(&[agent.id().as_str()]).await?.clone_suspected);
    told(&admin, "clone_suspected").await?;
    Ok(())
}

fn one_long_command() -> Script {
    Script::by(|request| match request.messages().last().map(|message| message["role"] == "tool") {
        Some(true) => say("done"),
        _ => call("RunCommand", json!({"argv": ["sleep", "300"]})),
    })
}

async fn types(team: &Team, words: &[&str]) -> Result<Ended> {
    Ok(team.host.command().args(words).output().await?.into())
}

async fn revoked(records: Records) -> Result<()> {
    let team = Team::start(Installation::prepare(records)?, one_long_command()).await?;
    let grants = json!([{"name": "LLM.Call", "requiresApproval": false},
        {"name": "Shell.Exec", "allowedCommands": ["sleep"], "requiresApproval": false}]);
    team.put_in_force(&document(grants)).await?;
    let (mut peer, session) = team.session().await?;
    peer.start(&session, "go", TaskOptions::default()).await?;
    // The machine's own policy asks; then it runs.
    let question = peer.question().await?;
    peer.approve(&question).await?;
    peer.events_until(|body| matches!(body, EventBody::ApprovalResolved(_))).await?;
    let reason = "the laptop was stolen";
    let revocation = Revocation { reason: reason.to_owned() };
    team.admin.post::<RevokeAgent>(&[team.agent.as_str()], &revocation).await?;

    let events = peer.events_until(|body| matches!(body, EventBody::SessionPaused(_))).await?;
    let Some(EventBody::SessionPaused(paused)) = events.last().map(|event| &event.body) else {
        anyhow::bail!("{events:?}");
    };
    ensure!(paused.reason.contains(reason), "{}", paused.reason);
    let said = types(&team, &["sync", "status"]).await?.ok()?;
    ensure!(said.contains("ended this enrolment") && said.contains(reason), "{said}");
    let status = types(&team, &["sync", "status", "--json"]).await?.json()?;
    ensure!(status["enrolment"]["revoked"].as_str().is_some_and(|why| why.contains(reason)), "{status}");
    // Nothing new begins as if there had never been a centre.
    let fresh = peer.session(&team.host.workspace()).await;
    let error = fresh.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(error.contains(reason), "{error}");

    // Its owner ends it here too, and works alone.
    let said = types(&team, &["unenroll"]).await?;
    let said = if said.code == Some(0) { said } else { types(&team, &["unenroll", "--force"]).await? };
    said.ok()?;
    ensure!(team.status().await?.enrolment.is_none());
    peer.session(&team.host.workspace()).await?;
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_revoked_stops_and_says_why() -> Result<()> {
    revoked(Records::Sqlite).await
}

#[tokio::test]
async fn so_does_one_of_a_centre_on_postgresql() -> Result<()> {
    revoked(Records::Postgres).await
}

#[tokio::test]
async fn a_host_leaves_in_good_order() -> Result<()> {
    let team = Team::start(Installation::prepare(Records::Sqlite)?, one_long_command()).await?;
    let (_peer, session) = team.session().await?;
    team.everything_sent().await?;
    types(&team, &["unenroll", "--reason", "sold"]).await?.ok()?;
    let known = team.admin.get::<GetAgent>(&[team.agent.as_str()]).await?;
    let end = known.revoked.context("the centre was not told")?;
    ensure!(end.by.is_none() && end.reason.contains("sold"), "{end:?}");
    told(&team.admin, "agent_revoked").await?;
    let said = types(&team, &["sync"]).await?.ok()?;
    ensure!(said.contains("works by itself"), "{said}");
    // What it did there is still on record there.
    ensure!(team.known(&session).await?.session_id == session);
    // A second token enrols it as another host.
    let again = lanyard_tests::central::team::enrol(&team.host, &team.admin, &team.central.url(0)).await?;
    ensure!(again != team.agent);
    Ok(())
}
