//! The imagined machine: who works on it, where its home is, what a call looks like there.

use lanyard_governance_api::policy::DryAction;
use lanyard_governance_foundation::Fault;
use lanyard_policy::decide::{Terms, Unconfined, commands_may_use_network};
use lanyard_policy::demand::{Demand, Exec, PlannedCall, Program};
use lanyard_policy::layer::Layers;
use lanyard_policy::path::{HostPath, Places};
use lanyard_protocol::id::{
    HostId, IdError, PrincipalId, SessionId, StepId, TaskId, ToolCallId, WorkspaceId,
};
use lanyard_protocol::policy::{Capability, SandboxLevel};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::TaskOptions;
use lanyard_protocol::tool::ToolRequest;
use lanyard_protocol::{Json, Timestamp};
use serde_json::json;

/// Seconds a command gets when it does not ask for more; what hosts give.
const COMMAND_SECONDS: u32 = 120;

/// Longest command that hosts take, in bytes.
const MAX_COMMAND_BYTES: usize = 100_000;

/// Where a host keeps its own files, below its owner's home.
const OWN_FILES: &[&str] = &[
    ".local/state/lanyard",
    ".local/share/lanyard",
    ".config/lanyard",
    "Library/Application Support/lanyard",
];

/// The imagined session.
pub(super) fn session() -> Result<SessionId, Fault> {
    id("imagined")
}

fn id<T: TryFrom<String, Error = IdError>>(text: &str) -> Result<T, Fault> {
    T::try_from(text.to_owned()).map_err(|e| Fault::internal("an imagined id cannot be made", &e))
}

/// The imagined machine and whoever works on it.
pub(super) struct Imagined {
    host: HostId,
    somebody: Principal,
    options: TaskOptions,
    places: Places,
    sandbox: SandboxLevel,
}

impl Imagined {
    pub(super) fn new(
        workspace: &[HostPath],
        place: Option<&HostPath>,
        sandbox: SandboxLevel,
    ) -> Result<Self, Fault> {
        let home = home(workspace.first().or(place))?;
        let own = OWN_FILES.iter().map(|below| home.resolve(below)).collect::<Result<Vec<_>, _>>();
        let own = own.map_err(|e| Fault::internal("an imagined path cannot be made", &e))?;
        Ok(Self {
            host: id("imagined")?,
            // Neither at the machine nor an administrator: nobody who may switch questions off.
            somebody: Principal {
                id: id::<PrincipalId>("imagined")?,
                name: "somebody".to_owned(),
                scopes: vec![Scope::Observe, Scope::Operate],
                local: false,
            },
            options: TaskOptions::default(),
            places: Places::new(&home, &own),
            sandbox,
        })
    }

    /// The policy's own requirement of a sandbox counts; whether the owner accepts less is the machine's matter and is
    /// told beside the verdict.
    pub(super) fn terms(&self, now: Timestamp) -> Terms<'_> {
        Terms {
            host: &self.host,
            initiator: &self.somebody,
            options: &self.options,
            sandbox: self.sandbox,
            unconfined: Unconfined::AcceptedByOwner,
            places: &self.places,
            now,
        }
    }

    pub(super) fn call(&self, action: &DryAction, demand: Demand) -> Result<PlannedCall, Fault> {
        let (tool, arguments) = match action {
            DryAction::Command { line, cwd } => ("RunCommand", json!({"command": line, "cwd": cwd})),
            DryAction::Path { capability, path } => (file_tool(*capability), json!({"path": path})),
            DryAction::Url { method, url } => ("HttpRequest", json!({"method": method, "url": url})),
            DryAction::Tool { name } => (name.as_str(), json!({})),
        };
        let request = ToolRequest {
            tool_name: tool.to_owned(),
            arguments: Json(arguments),
            workspace_id: id::<WorkspaceId>("imagined")?,
            session_id: session()?,
            task_id: id::<TaskId>("imagined")?,
            step_id: id::<StepId>("imagined")?,
            tool_call_id: id::<ToolCallId>("imagined")?,
            capability: Some(demand.capability()),
        };
        // Contents are the machine's: what an answer would be bound to is not asked here.
        Ok(PlannedCall::new(request, demand, Vec::new(), Vec::new()))
    }
}

/// The home of whoever owns the place, by the usual layout.
fn home(place: Option<&HostPath>) -> Result<HostPath, Fault> {
    let names: Vec<&str> = place.map(|place| place.components().take(2).collect()).unwrap_or_default();
    let text = match names.as_slice() {
        ["home", owner] => format!("/home/{owner}"),
        ["Users", owner] => format!("/Users/{owner}"),
        ["root", ..] => "/root".to_owned(),
        _ => "/home/somebody".to_owned(),
    };
    HostPath::parse(&text).map_err(|e| Fault::internal("an imagined home cannot be made", &e))
}

fn file_tool(capability: Capability) -> &'static str {
    match capability {
        Capability::FileWrite => "WriteFile",
        Capability::FileDelete => "DeleteFile",
        _ => "ReadFile",
    }
}

/// A shell line as RunCommand plans it.
pub(super) fn exec(line: &str, cwd: &HostPath, layers: &Layers) -> Result<Demand, Fault> {
    if line.trim().is_empty() {
        return Err(Fault::invalid("the command is empty"));
    }
    if line.len() > MAX_COMMAND_BYTES || line.contains('\0') {
        let text = format!("a command has at most {MAX_COMMAND_BYTES} bytes and holds no NUL character");
        return Err(Fault::invalid(text));
    }
    Ok(Demand::Exec(Exec {
        program: Program::Shell(line.to_owned()),
        cwd: cwd.as_str().into(),
        timeout_seconds: COMMAND_SECONDS,
        network: commands_may_use_network(layers, true),
        environment: Vec::new(),
        stdin: None,
    }))
}

/// A file as the file tools plan it. Nothing is known of its size, and an empty one fits everywhere.
pub(super) fn file(capability: Capability, path: &HostPath) -> Result<Demand, Fault> {
    let path = path.as_str().into();
    match capability {
        Capability::FileRead => Ok(Demand::ReadPath(path)),
        Capability::FileWrite => Ok(Demand::WritePath { path, size: 0 }),
        Capability::FileDelete => Ok(Demand::DeletePath(path)),
        other => Err(Fault::invalid(format!(
            "{other} is not about files: ask for File.Read, File.Write or File.Delete"
        ))),
    }
}
