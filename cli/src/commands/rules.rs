//! `lanyard rules`: remembered answers.

use lanyard_protocol::Timestamp;
use lanyard_protocol::id::RuleId;
use lanyard_protocol::method::{Done, ListRules, Response, RevokeRule};

use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;
use crate::render;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List remembered answers
    List,
    /// Forget a remembered answer
    Revoke {
        /// Its id
        id: RuleId,
    },
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    match args.what.unwrap_or(What::List) {
        What::List => {
            let page = connection.call(ListRules {}).await?;
            let revoke = invocation.command("rules revoke ID");
            invocation.show(Response::ListRules(page.clone()), |terminal| {
                let mut shown = render::rules(terminal.paint, &page.rules, Timestamp::now());
                if !page.rules.is_empty() {
                    shown.push_str(&format!("Forget one: {revoke}\n"));
                }
                shown
            })?;
        }
        What::Revoke { id } => {
            let words = format!("Rule {id} is forgotten; the next such call asks again.\n");
            connection.call(RevokeRule { rule_id: id }).await?;
            invocation.show(Response::RevokeRule(Done {}), |_| words)?;
        }
    }
    Ok(Exit::Completed)
}
