//! `lanyard approve`: says yes to a request.

use lanyard_protocol::approval::Decision;
use lanyard_protocol::method::{ApproveAction, Response};
use lanyard_protocol::policy::Remember;

use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;
use crate::render::{self, Tone};
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The approval's id, or the beginning of it (`lanyard approvals`)
    id: String,
    /// How long the answer is remembered for the very same call
    #[arg(long, value_enum, value_name = "HOW_LONG", default_value = "once")]
    remember: RememberArg,
    /// Why, in your own words; kept with the answer
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// `--remember`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RememberArg {
    /// For this one call
    Once,
    /// For this task
    Task,
    /// For this session
    Session,
    /// On this machine, until revoked
    Always,
}

impl From<RememberArg> for Remember {
    fn from(remember: RememberArg) -> Self {
        match remember {
            RememberArg::Once => Remember::Once,
            RememberArg::Task => Remember::Task,
            RememberArg::Session => Remember::Session,
            RememberArg::Always => Remember::Always,
        }
    }
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let answer = Answer { decision: Decision::Approved, remember: args.remember.into(), reason: args.reason };
    self::answer(invocation, &args.id, answer).await
}

/// An answer to be given.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) decision: Decision,
    pub(super) remember: Remember,
    pub(super) reason: Option<String>,
}

/// Answers a question. The exit code is 0 when the question now has this answer, whoever gave it.
pub(super) async fn answer(
    invocation: &mut Invocation,
    given: &str,
    answer: Answer,
) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    let request = resolve::approval(&mut connection, given, true).await?.request;
    let outcome = connection
        .call(ApproveAction {
            session_id: request.session_id.clone(),
            approval_id: request.approval_id.clone(),
            decision: answer.decision,
            remember: answer.remember,
            reason: answer.reason,
            command_id: None,
        })
        .await?;
    let as_wished = outcome.decision == answer.decision;
    invocation.show(Response::ApproveAction(outcome.clone()), |terminal| {
        let word = render::decision_words(outcome.decision);
        let what = render::visible::marked_line(&request.action_summary).into_owned();
        let how_long = render::remember_words(answer.remember);
        let by = render::who(outcome.decided_by.as_str());
        let text = match (outcome.counted, outcome.decision) {
            (true, Decision::Approved) => format!("Approved {how_long}: {what}"),
            (true, Decision::Denied) => format!("Denied: {what}"),
            (false, _) => format!("Already {word} by {by}; the first answer counts: {what}"),
        };
        let tone = if as_wished { Tone::Good } else { Tone::Waits };
        format!("{}\n", terminal.paint.tone(tone, &text))
    })?;
    Ok(if as_wished { Exit::Completed } else { Exit::Failed })
}
