//! `lanyard approvals`: what waits for approval, and one question in full.

use lanyard_protocol::Timestamp;
use lanyard_protocol::limits::DEFAULT_PAGE;
use lanyard_protocol::method::{ApprovalPage, ListApprovals, Response};

use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;
use crate::{render, resolve};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show this one in full; the beginning of its id is enough
    id: Option<String>,
    /// Answered ones too
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    if let Some(given) = &args.id {
        let record = resolve::approval(&mut connection, given, true).await?;
        let approvals = vec![record.clone()];
        invocation.show(Response::ListApprovals(ApprovalPage { approvals }), |terminal| {
            let now = Timestamp::now();
            let question = render::approval(terminal.paint, &record.request, now, usize::MAX);
            format!("{}{question}", render::approvals(terminal.paint, std::slice::from_ref(&record), now))
        })?;
        return Ok(Exit::Completed);
    }
    let list = ListApprovals { session_id: None, include_settled: args.all, limit: Some(DEFAULT_PAGE) };
    let page = connection.call(list).await?;
    let [see, approve, deny] = ["approvals ID", "approve ID", "deny ID"].map(|rest| invocation.command(rest));
    let hint = format!("See one in full: {see} · answer: {approve}, {deny}\n");
    invocation.show(Response::ListApprovals(page.clone()), |terminal| {
        let mut shown = render::approvals(terminal.paint, &page.approvals, Timestamp::now());
        if !page.approvals.is_empty() && !args.all {
            shown.push_str(&hint);
        }
        shown
    })?;
    Ok(Exit::Completed)
}
