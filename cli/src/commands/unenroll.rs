//! `lanyard unenroll`: this machine's host is its own again.

use lanyard_protocol::ErrorCode;
use lanyard_protocol::method::{Response, UnenrolHost};

use crate::exit::{Exit, Failure};
use crate::host::Patience;
use crate::invocation::Invocation;
use crate::render;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Why; the centre is told
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Although the centre cannot be told, or has not received everything yet
    #[arg(long)]
    force: bool,
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect_local_or_start(Patience::None)?;
    let request = UnenrolHost { reason: args.reason, force: args.force };
    let status = match connection.call(request).await {
        Ok(status) => status,
        Err(Failure::Refused(mut error)) if !args.force && may_be_forced(error.code) => {
            let command = invocation.command("unenroll --force");
            error.message.push_str(&format!("\nTo end the enrolment all the same: {command}"));
            return Err(Failure::Refused(error));
        }
        Err(failure) => return Err(failure),
    };
    let enroll = invocation.command("enroll URL");
    invocation.show(Response::UnenrolHost(status.clone()), |_| render::unenrolled(&status, &enroll))?;
    Ok(Exit::Completed)
}

/// Whether the refusal is about what `--force` is for.
fn may_be_forced(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::CentralUnavailable | ErrorCode::Conflict)
}
