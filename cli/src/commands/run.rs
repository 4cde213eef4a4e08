//! `lanyard run`: gives the agent a task and follows it to its end.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lanyard_protocol::id::SessionId;
use lanyard_protocol::limits::{MAX_MAX_STEPS, MAX_PROMPT_BYTES};
use lanyard_protocol::method::{CreateSession, GetSessionState, StartTask, Subscribe};
use lanyard_protocol::session::{TaskOptions, WorkspaceHint};

use crate::exit::{Exit, Failure};
use crate::follow::{Answering, Follower, farewell};
use crate::host::{Connection, Patience};
use crate::invocation::{Invocation, Target};
use crate::resolve;

/// How long a task is not given up while its host is away: a restart by hand takes a minute.
pub(crate) const HOST_AWAY: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to do, in your own words; `-` reads it from standard input
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    prompt: String,
    /// The directory to work in, on the host's machine [default: the current directory; on a paired host its own default]
    #[arg(long, value_name = "DIR", conflicts_with = "session")]
    workspace: Option<PathBuf>,
    /// Go on in this session instead of starting one
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Who answers what is to be approved: ask here, approve every request, or deny every request
    #[arg(long, value_enum, value_name = "WHEN", default_value = "ask")]
    approve: Approve,
    /// The model that is to answer, one of `lanyard models` [default: the host's own choice]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    model: Option<String>,
    /// Steps the task may take before it fails
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_MAX_STEPS)))]
    max_steps: Option<u32>,
    /// Refuse tools the network
    #[arg(long)]
    no_network: bool,
}

/// `--approve`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Approve {
    /// Ask in this terminal
    Ask,
    /// Approve every request this command sees
    Always,
    /// Deny every request this command sees
    Never,
}

impl From<Approve> for Answering {
    fn from(approve: Approve) -> Self {
        match approve {
            Approve::Ask => Answering::Ask,
            Approve::Always => Answering::Always,
            Approve::Never => Answering::Never,
        }
    }
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let prompt = prompt(&args.prompt)?;
    let target = invocation.target(true)?;
    let workspace = match (&args.session, &target) {
        (Some(_), _) => None,
        // The directory is the other machine's; nothing here says whether it exists.
        (None, Target::Paired(_)) => args.workspace.as_deref().map(utf8).transpose()?,
        (None, Target::Running(_) | Target::ToStart) => Some(directory(args.workspace.as_deref())?),
    };
    let mut connection = invocation.connect_to(target, Patience::For(HOST_AWAY)).await?;
    let session_id = match (&args.session, workspace) {
        (Some(given), _) => follow_existing(&mut connection, given).await?,
        (None, workspace) => create(&mut connection, workspace).await?,
    };
    let defaults = TaskOptions::default();
    let task_options = TaskOptions {
        max_steps: args.max_steps.unwrap_or(defaults.max_steps),
        allow_network: !args.no_network,
        ..defaults
    };
    let start = StartTask {
        session_id: session_id.clone(),
        task_id: None,
        prompt,
        task_options,
        model: args.model,
        attachments: Vec::new(),
    };
    let task_id = connection.call(start).await?.task_id;
    let answering = args.approve.into();
    let what = (session_id.clone(), task_id);
    let follower = Follower::new(&mut connection, invocation, answering, what);
    let ended = follower.follow().await?;
    if !invocation.json() {
        let text = farewell(invocation, &session_id, ended);
        invocation.terminal.line(&text)?;
    }
    Ok(ended.exit)
}

/// The prompt, from the command line or standard input.
fn prompt(given: &str) -> Result<String, Failure> {
    let mut prompt = given.to_owned();
    if given == "-" {
        prompt.clear();
        let most = u64::try_from(MAX_PROMPT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        std::io::stdin()
            .take(most)
            .read_to_string(&mut prompt)
            .map_err(|e| Failure::Usage(format!("the prompt cannot be read from standard input: {e}")))?;
    }
    if prompt.trim().is_empty() {
        return Err(Failure::Usage("the prompt is empty; say what to do: lanyard run \"…\"".into()));
    }
    if prompt.len() > MAX_PROMPT_BYTES {
        let text = format!(
            "the prompt has more than {MAX_PROMPT_BYTES} bytes; put long texts into a file and name it"
        );
        return Err(Failure::Usage(text));
    }
    Ok(prompt)
}

/// The directory to work in, canonical.
fn directory(given: Option<&Path>) -> Result<String, Failure> {
    let dir = given.unwrap_or(Path::new("."));
    let shown = dir.display();
    let canonical = dir.canonicalize().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::Usage(format!("workspace {shown} does not exist: create it or pass --workspace DIR"))
        }
        _ => Failure::Usage(format!("workspace {shown}: {e}")),
    })?;
    if !canonical.is_dir() {
        return Err(Failure::Usage(format!("workspace {shown} is not a directory: pass --workspace DIR")));
    }
    utf8(&canonical)
}

fn utf8(path: &Path) -> Result<String, Failure> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let shown = path.display();
        Failure::Usage(format!("the path of workspace {shown} is not UTF-8: rename the directory"))
    })
}

async fn create(connection: &mut Connection, workspace: Option<String>) -> Result<SessionId, Failure> {
    let local_paths = workspace.into_iter().collect();
    let create = CreateSession {
        workspace_hint: WorkspaceHint { local_paths, workspace_id: None },
        client_info: None,
        ..CreateSession::default()
    };
    Ok(connection.call(create).await?.session_id)
}

/// Follows a session from where it stands. A paused task in it is left alone: `lanyard resume` is for that.
async fn follow_existing(connection: &mut Connection, given: &str) -> Result<SessionId, Failure> {
    let session_id = resolve::session(connection, given).await?;
    let state = connection.call(GetSessionState { session_id: session_id.clone() }).await?;
    let subscribe = Subscribe { session_id: session_id.clone(), after_seq: state.last_seq };
    connection.call(subscribe).await?;
    Ok(session_id)
}
