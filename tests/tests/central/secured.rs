//! TLS for real: central and host on two machines of a network, each a namespace; somebody in the middle; certificates
//! that run out.

use anyhow::{Context, Result, ensure};
use lanyard_governance_foundation::{Database, Signals, Statement};
use lanyard_tests::central::{Remote, until};
use lanyard_tests::lan::Lan;
use lanyard_tests::machine::Machine;
use lanyard_tests::newcomer::Ended;
use serde_json::{Value, json};

/// The program that plays the model.
const MODEL: &str = env!("CARGO_BIN_EXE_lanyard-model");

const DAY: i64 = 86_400;

struct Scene {
    central: Remote,
    host: Machine,
    lan: Lan,
}

impl Scene {
    /// Central on one machine, its clock so many seconds off, and a host that runs on another.
    async fn of(clock_offset: i64) -> Result<Self> {
        let lan = Lan::new(2)?;
        let mut central = Remote::on(&lan, 0, "central")?;
        central.is_off_by(clock_offset);
        central.start().await?;
        central.sign_in().await?;
        let mut host = Machine::on(&lan, 1, "workshop")?;
        host.has_model(MODEL).await?;
        host.host_up().await?;
        Ok(Self { central, host, lan })
    }

    async fn enrols(&self, token: &str) -> Result<Ended> {
        let file = self.host.workspace().join("token");
        std::fs::write(&file, token)?;
        let file = file.display().to_string();
        self.host.types(&["enroll", &self.central.url(), "--token-file", &file]).await
    }

    async fn enrolled(&self) -> Result<()> {
        let ended = self.enrols(&self.central.token().await?).await?;
        ensure!(ended.code == Some(0), "{ended:?}");
        Ok(())
    }

    /// A task with two commands, from the host's own terminal.
    async fn works(&self, name: &str) -> Result<Ended> {
        self.host.types(&["run", &format!("twice {name}"), "--approve", "always", "--json"]).await
    }

    async fn status(&self) -> Result<Value> {
        self.host.asks(&["sync", "status"]).await
    }

    /// Waits until everything has been sent.
    async fn sent(&self) -> Result<()> {
        until("everything is sent", || async {
            let status = self.status().await?;
            let none = |what: &str| status["waiting"][what] == 0;
            ensure!(none("auditRecords") && none("events"), "{status}");
            Ok(Some(()))
        })
        .await
    }

    /// Audit records of a host's tool calls that central holds.
    async fn audited(&self) -> Result<usize> {
        let page = self.central.asks("GET", "/audit/events?limit=500&eventType=tool_completed", None).await?;
        Ok(page["items"].as_array().context("no page")?.len())
    }

    /// Credentials of hosts that central knows, by their kind.
    async fn credentials(&self, kind: &str) -> Result<i64> {
        let url = format!("sqlite://{}", self.central.state_dir().join("central.sqlite").display());
        let database = Database::open(&url, Signals::default(), &[]).await?;
        let mut tx = database.across_read().await.map_err(|fault| anyhow::anyhow!("{fault}"))?;
        let sql = "SELECT COUNT(*) AS n FROM credentials WHERE agent_id IS NOT NULL AND kind = $1";
        let row = tx.one(Statement::new(sql).bind(kind)).await?.context("no row")?;
        let number = row.int("n")?;
        drop(tx);
        database.close().await;
        Ok(number)
    }
}

#[tokio::test]
async fn a_host_on_another_machine_works_by_its_certificate() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    let scene = Scene::of(0).await?;
    let token = scene.central.token().await?;
    ensure!(token.rsplit('.').next().is_some_and(|hash| hash.len() == 52), "the token does not name the CA");
    let ended = scene.enrols(&token).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let ended = scene.works("secured").await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    scene.sent().await?;
    ensure!(scene.audited().await? == 2, "{} calls are on record", scene.audited().await?);
    let proof = scene.central.asks("GET", "/audit/verify", None).await?;
    ensure!(proof["whole"] == true, "{proof}");
    // Over TLS the certificate is all that it shows: it never asked for an access token.
    ensure!(scene.credentials("agent").await? == 1, "{} credentials", scene.credentials("agent").await?);
    Ok(())
}

#[tokio::test]
async fn somebody_in_the_middle_is_refused_at_enrolment_and_later() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    let mut scene = Scene::of(0).await?;
    let token = scene.central.token().await?;
    // Another central at the same address, with a CA of its own.
    let mut impostor = Remote::on(&scene.lan, 0, "impostor")?;
    scene.central.kill().await?;
    impostor.start().await?;
    impostor.sign_in().await?;
    let ended = scene.enrols(&token).await?;
    ensure!(ended.code != Some(0) && ended.err.contains("CA"), "{ended:?}");
    ensure!(scene.status().await?["enrolment"].is_null());
    impostor.kill().await?;

    // The token was not given away: it is still good.
    scene.central.start().await?;
    let ended = scene.enrols(&token).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    scene.works("before").await?.ok()?;
    scene.sent().await?;

    scene.central.kill().await?;
    impostor.start().await?;
    // Before, for as long as nobody was there at all, the reason was another.
    until("the host says whom it has met", || async {
        let status = scene.status().await?;
        let link = &status["enrolment"]["link"];
        let why = link["reason"].as_str().unwrap_or_default().to_lowercase();
        let met = why.contains("certificate") || why.contains("another ca");
        ensure!(met && link["reached"] == false, "{status}");
        Ok(Some(()))
    })
    .await?;
    let ended = scene.works("meanwhile").await?;
    ensure!(ended.code != Some(0), "{ended:?}");
    let theirs = impostor.asks("GET", "/agents", None).await?;
    ensure!(theirs["items"] == json!([]), "{theirs}");
    impostor.kill().await?;

    scene.central.start().await?;
    until("the host is back", || async {
        Ok((scene.status().await?["enrolment"]["link"]["reached"] == true).then_some(()))
    })
    .await?;
    let ended = scene.works("after").await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    scene.sent().await?;
    ensure!(scene.audited().await? == 4, "{} calls are on record", scene.audited().await?);
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_ran_out_while_the_machine_slept_is_renewed() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    // Enrolled two days ago.
    let mut scene = Scene::of(-2 * DAY).await?;
    scene.enrolled().await?;
    let old = scene.status().await?["enrolment"]["certificateNotAfter"].clone();
    scene.host.host_killed().await?;
    scene.central.kill().await?;
    scene.central.is_off_by(0);
    scene.central.start().await?;
    scene.central.sign_in().await?;
    scene.host.host_up().await?;
    let status = until("the certificate is renewed", || async {
        let status = scene.status().await?;
        let fresh = status["enrolment"]["certificateNotAfter"] != old;
        ensure!(fresh && status["enrolment"]["link"]["reached"] == true, "{status}");
        Ok(Some(status))
    })
    .await?;
    ensure!(status["enrolment"]["revoked"].is_null(), "{status}");
    let ended = scene.works("awake").await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    scene.sent().await?;
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_ran_out_by_the_centres_clock_alone_is_renewed_too() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    // The centre's clock is put right while the host runs: its certificate is over from one moment to the next.
    let mut scene = Scene::of(-2 * DAY).await?;
    scene.enrolled().await?;
    let old = scene.status().await?["enrolment"]["certificateNotAfter"].clone();
    scene.central.kill().await?;
    scene.central.is_off_by(0);
    scene.central.start().await?;
    until("the certificate is renewed", || async {
        let status = scene.status().await?;
        let fresh = status["enrolment"]["certificateNotAfter"] != old;
        ensure!(fresh && status["enrolment"]["link"]["reached"] == true, "{status}");
        Ok(Some(()))
    })
    .await?;
    let ended = scene.works("corrected").await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn plain_http_to_another_machine_is_refused_with_the_way_out() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    let scene = Scene::of(0).await?;
    let file = scene.host.workspace().join("token");
    std::fs::write(&file, scene.central.token().await?)?;
    let url = scene.central.url().replace("https://", "http://");
    let ended = scene.host.types(&["enroll", &url, "--token-file", &file.display().to_string()]).await?;
    ensure!(ended.code != Some(0) && ended.err.contains("use https"), "{ended:?}");
    ensure!(scene.status().await?["enrolment"].is_null());
    Ok(())
}
