//! The cost of one durable step: from the end of the model's answer to the arrival of its next request, that is
//! everything a host does for one tool call. Against the floor, measured between the tasks.

use std::time::Duration;

use anyhow::{Result, ensure};
use lanyard_tests::host::{HostOptions, TestHost};
use lanyard_tests::{look, stage};
use serde_json::json;

use crate::floor;
use crate::provider::{Moment, Provider, call, end, send, text};
use crate::table::{Samples, Table};

/// Steps of one task.
const STEPS: usize = 40;

/// Tasks of each kind, the two kinds and the floor by turns, so that all see the same machine.
const ROUNDS: usize = 5;

/// 2.5 ms where the floor is 1.2 ms (7-toolchain.md); on any machine the same ratio.
const RATIO: f64 = 2.5 / 1.2;

pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    let provider = Provider::start(|number, stream| {
        let body = match (number % (STEPS + 1), number / (STEPS + 1) % 2) {
            (STEPS, _) => text("done") + &end("stop"),
            // Never the same call twice: a model that repeats itself is told so.
            (step, 0) => call("RunCommand", &json!({"argv": ["true", step.to_string()]})),
            (step, _) => call("ReadFile", &json!({"path": format!("file-{step}")})),
        };
        send(stream, &body)
    })?;
    let host =
        TestHost::with(HostOptions { gateway: Some(provider.url.clone()), ..HostOptions::default() }).await?;
    for step in 0..STEPS {
        std::fs::write(host.workspace().join(format!("file-{step}")), format!("file {step}\n"))?;
    }
    let mut file = floor::file(&host.state_dir())?;
    let (mut spawns, mut commits, mut steps) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        for times in &mut steps {
            for _ in 0..STEPS {
                spawns.push(floor::spawn()?);
                commits.push(floor::commits(&mut file)?);
            }
            let mut peer = host.connect().await?;
            let session = peer.session(&host.workspace()).await?.session_id;
            peer.start(&session, "many steps", stage::unasked()).await?;
            let events = peer.until_task_ends().await?;
            ensure!(look::answer(&events) == "done", "{:?}", look::failure(&events));
            times.extend(gaps(&provider)?);
        }
    }
    report(table, &spawns, &commits, &steps)
}

/// From each answer to the next question of the same task.
fn gaps(provider: &Provider) -> Result<Vec<Duration>> {
    let (mut gaps, mut answered) = (Vec::new(), None);
    for moment in provider.moments.try_iter() {
        match moment {
            Moment::Asked(asked) => gaps.extend(answered.take().map(|at| asked.duration_since(at))),
            Moment::Answered(at) => answered = Some(at),
        }
    }
    ensure!(gaps.len() >= STEPS - 1, "{} gaps in {STEPS} steps", gaps.len());
    Ok(gaps)
}

fn report(
    table: &mut Table,
    spawns: &[Duration],
    commits: &[Duration],
    steps: &[Vec<Duration>; 2],
) -> Result<()> {
    let both: Vec<Duration> = spawns.iter().zip(commits).map(|(spawn, commit)| *spawn + *commit).collect();
    let (spawn, commit, both) = (Samples::of(spawns)?, Samples::of(commits)?, Samples::of(&both)?);
    table.times("floor: spawn `true`", &spawn, None);
    table.times("floor: two commits of two fsyncs", &commit, None);
    table.times("floor: both", &both, None);
    let budget = |floor: &Samples| {
        let limit = floor.at(0.5) * RATIO;
        Some((limit, format!("{RATIO:.2} × the floor")))
    };
    table.times("step with RunCommand", &Samples::of(&steps[0])?, budget(&both));
    table.times("step with ReadFile", &Samples::of(&steps[1])?, budget(&both));
    Ok(())
}
