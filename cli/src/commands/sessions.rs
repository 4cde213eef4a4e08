//! `lanyard sessions`: list, show, search, end, delete.

use lanyard_protocol::Timestamp;
use lanyard_protocol::limits::{DEFAULT_PAGE, MAX_PAGE};
use lanyard_protocol::method::{
    DeleteSession, Done, EndSession, GetHistory, GetSessionState, ListSessions, Response,
};

use crate::exit::{Exit, Failure};
use crate::follow::wire_line;
use crate::host::Connection;
use crate::invocation::Invocation;
use crate::render::{self, Timeline};
use crate::resolve;

/// Events fetched at a time.
const EVENT_PAGE: u32 = 200;

/// Lines of a diff shown in a past question.
const DIFF_LINES: usize = 10;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List sessions, last changed first
    List(List),
    /// Show one session
    Show {
        /// Its id, or the beginning of it
        id: String,
        /// All its events too, oldest first
        #[arg(long)]
        events: bool,
    },
    /// List sessions whose name, prompts or answers contain a text
    Search {
        /// The text; case does not count
        #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
        text: String,
        #[command(flatten)]
        list: List,
    },
    /// End a session; its history stays
    End {
        /// Its id, or the beginning of it
        id: String,
    },
    /// Delete a session with its history and kept outputs
    Delete {
        /// Its id, or the beginning of it
        id: String,
    },
}

#[derive(Debug, clap::Args)]
struct List {
    /// Most rows
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PAGE, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PAGE)))]
    limit: u32,
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    let connection = &mut connection;
    match args.what.unwrap_or(What::List(args.list)) {
        What::List(list) => self::list(connection, invocation, list, None).await?,
        What::Search { text, list } => self::list(connection, invocation, list, Some(text)).await?,
        What::Show { id, events: false } => show(connection, invocation, &id).await?,
        What::Show { id, events: true } => events(connection, invocation, &id).await?,
        What::End { id } => {
            let session_id = resolve::session(connection, &id).await?;
            let words = format!("Session {session_id} has ended; its history stays.\n");
            connection.call(EndSession { session_id, command_id: None }).await?;
            invocation.show(Response::EndSession(Done {}), |_| words)?;
        }
        What::Delete { id } => {
            let session_id = resolve::session(connection, &id).await?;
            let words = format!("Session {session_id} is deleted.\n");
            connection.call(DeleteSession { session_id, command_id: None }).await?;
            invocation.show(Response::DeleteSession(Done {}), |_| words)?;
        }
    }
    Ok(Exit::Completed)
}

async fn list(
    connection: &mut Connection,
    invocation: &mut Invocation,
    list: List,
    query: Option<String>,
) -> Result<(), Failure> {
    let searched = query.clone();
    let page = connection.call(ListSessions { limit: Some(list.limit), cursor: None, query }).await?;
    invocation.show(Response::ListSessions(page.clone()), |terminal| {
        if let (Some(text), true) = (&searched, page.sessions.is_empty()) {
            return format!("No session contains {:?}.\n", render::visible::line(text));
        }
        let mut shown = render::sessions(terminal.paint, &page.sessions, terminal.width(), Timestamp::now());
        if page.next_cursor.is_some() {
            shown.push_str(
                "There are more: --limit N shows up to 1000, `lanyard sessions search TEXT` finds one.\n",
            );
        }
        shown
    })
}

async fn show(connection: &mut Connection, invocation: &mut Invocation, given: &str) -> Result<(), Failure> {
    let session_id = resolve::session(connection, given).await?;
    let session = connection.call(GetSessionState { session_id }).await?;
    let events = invocation.command(&format!("sessions show {} --events", session.session_id));
    invocation.show(Response::GetSessionState(session.clone()), |terminal| {
        let mut shown = render::session(terminal.paint, &session, Timestamp::now());
        shown.push_str(&format!("What happened: {events}\n"));
        shown
    })
}

/// All events, page by page: the history may be longer than the memory.
async fn events(
    connection: &mut Connection,
    invocation: &mut Invocation,
    given: &str,
) -> Result<(), Failure> {
    let session_id = resolve::session(connection, given).await?;
    let mut timeline = Timeline::new(invocation.terminal.paint, DIFF_LINES).wide(invocation.terminal.width());
    let mut after = 0;
    loop {
        let page = GetHistory {
            session_id: session_id.clone(),
            after_seq: Some(after),
            before_seq: None,
            limit: Some(EVENT_PAGE),
            query: None,
        };
        let page = connection.call(page).await?;
        for event in &page.events {
            let text = match invocation.json() {
                true => format!("{}\n", wire_line(event)?),
                false => timeline.past(event),
            };
            invocation.terminal.print(&text)?;
        }
        let reached = page.next_seq.or_else(|| page.events.last().and_then(|event| event.seq));
        match reached {
            Some(reached) if page.has_more && reached > after => after = reached,
            _ => return Ok(()),
        }
    }
}
