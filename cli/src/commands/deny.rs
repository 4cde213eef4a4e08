//! `lanyard deny`: says no to a request.

use lanyard_protocol::approval::Decision;
use lanyard_protocol::policy::Remember;

use super::approve::{Answer, answer};
use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The approval's id, or the beginning of it (`lanyard approvals`)
    id: String,
    /// Why, in your own words; the agent is told
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let denial = Answer { decision: Decision::Denied, remember: Remember::Once, reason: args.reason };
    answer(invocation, &args.id, denial).await
}
