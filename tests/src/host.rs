//! Real hosts in temporary state directories, and a plain JSON-RPC connection to them.
//!
//! The connection here is deliberately not `lanyard-client`: it speaks lines, so that a fault shared by client and
//! host does not hide.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lanyard_protocol::codec::from_json;
use lanyard_protocol::error::WireError;
use lanyard_protocol::event::{EventBody, HostEvent, SessionEvent};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::method::{
    Call, CreateSession, Health, Request, Response, SessionOpened, StartTask, TaskAccepted,
};
use lanyard_protocol::session::{TaskOptions, WorkspaceHint};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};

/// How long anything a test waits for may take on a loaded machine. A centre that was away is looked for once a minute.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The `lanyard` binary of this build; built once if it is not there.
pub fn binary() -> Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BINARY.get_or_init(|| build().map_err(|e| format!("{e:#}"))).clone().map_err(anyhow::Error::msg)
}

fn build() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("LANYARD_BIN") {
        return Ok(given.into());
    }
    let test = std::env::current_exe()?;
    let profile = test.ancestors().find(|dir| dir.ends_with("debug") || dir.ends_with("release"));
    let profile = profile.context("the test does not lie in a cargo target directory; set LANYARD_BIN")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = std::process::Command::new(cargo);
    build.args(["build", "--quiet", "--package", "lanyard", "--bin", "lanyard"]).stdin(Stdio::null());
    if profile.ends_with("release") {
        build.arg("--release");
    }
    ensure!(build.status()?.success(), "the lanyard binary could not be built");
    Ok(profile.join("lanyard"))
}

/// How a host is started.
#[derive(Debug, Default, Clone)]
pub struct HostOptions {
    /// Address of the gateway; without one the demo model answers.
    pub gateway: Option<String>,
    /// Further environment.
    pub env: Vec<(String, String)>,
    /// Text of `config.toml`.
    pub config: String,
}

/// A running host with a directory of its own. Killed when dropped.
#[derive(Debug)]
pub struct TestHost {
    dir: TempDir,
    options: HostOptions,
    child: Option<Child>,
}

impl TestHost {
    /// Starts a host whose model is the demo model.
    pub async fn start() -> Result<Self> {
        Self::with(HostOptions::default()).await
    }

    /// Starts a host behind a gateway.
    pub async fn behind(gateway: &str) -> Result<Self> {
        Self::with(HostOptions { gateway: Some(gateway.to_owned()), ..HostOptions::default() }).await
    }

    /// Starts a host.
    pub async fn with(options: HostOptions) -> Result<Self> {
        let mut host = Self::idle(options)?;
        host.boot().await?;
        Ok(host)
    }

    /// Directories for a host that does not run yet: for commands that start one themselves.
    pub fn idle(options: HostOptions) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("lanyard-test-").tempdir()?;
        std::fs::create_dir(dir.path().join("work"))?;
        let host = Self { dir, options, child: None };
        host.configure()?;
        Ok(host)
    }

    /// Writes the configuration file into the state directory, which a host wants to be private.
    fn configure(&self) -> Result<()> {
        let state = self.state_dir();
        if !state.exists() {
            std::fs::DirBuilder::new().mode(0o700).create(&state)?;
        }
        Ok(std::fs::write(state.join("config.toml"), &self.options.config)?)
    }

    /// Starts the process again, with the state the last one left. Waits until it can be reached.
    pub async fn boot(&mut self) -> Result<()> {
        self.spawn()?;
        let until = Instant::now() + PATIENCE;
        loop {
            if self.answers().await.is_ok_and(|pid| self.pid().is_ok_and(|own| own == pid)) {
                return Ok(());
            }
            if let Some(status) = self.child.as_mut().context("no process")?.try_wait()? {
                bail!("the host ended at its start ({status}):\n{}", self.log());
            }
            ensure!(Instant::now() < until, "the host cannot be reached:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The process that answers on the socket. A dead host's socket may take connections for a moment: a program it
    /// was about to start still holds it.
    async fn answers(&self) -> Result<u32> {
        Ok(self.connect().await?.call(Health {}).await?.pid)
    }

    /// Starts the process and does not wait: for hosts that are meant to fail.
    pub fn spawn(&mut self) -> Result<()> {
        self.configure()?;
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("host.log"))?;
        let mut command = self.command();
        command.arg("up").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// A `lanyard` command with this host's state directory and environment.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary().unwrap_or_else(|_| "lanyard".into()));
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("LANYARD_")) {
            command.env_remove(name);
        }
        command
            .env("LANYARD_STATE_DIR", self.state_dir())
            .env("NO_COLOR", "1")
            .env("LANYARD_MODEL_DETECT", "false")
            // A free port: many hosts run at once, and the default one may be somebody's real host.
            .env("LANYARD_LISTEN", "127.0.0.1:0")
            // Nothing of a test is announced on the network the machine happens to be on.
            .env("LANYARD_DISCOVERY", "false");
        // Sockets of this host lie below its own directory, whatever the machine's runtime directory is.
        let runtime = self.dir.path().join("run");
        if std::fs::create_dir_all(&runtime).is_ok() {
            command.env("XDG_RUNTIME_DIR", runtime);
        }
        if let Some(gateway) = &self.options.gateway {
            command.env("LANYARD_GATEWAY_URL", gateway).env("LANYARD_GATEWAY_TOKEN", "test-token");
            command.env("LANYARD_MODEL", "scripted");
        }
        command.envs(self.options.env.iter().cloned());
        command.current_dir(self.workspace());
        command
    }

    /// The host's state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A directory for sessions, beside the state directory.
    pub fn workspace(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Directory that holds everything of this host.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it is started with.
    pub fn options(&self) -> &HostOptions {
        &self.options
    }

    /// Changes what the next [`TestHost::boot`] starts with.
    pub fn options_mut(&mut self) -> &mut HostOptions {
        &mut self.options
    }

    /// Everything the processes wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("host.log")).unwrap_or_default()
    }

    /// Process id of the running host.
    pub fn pid(&self) -> Result<u32> {
        self.child.as_ref().and_then(Child::id).context("no host runs")
    }

    /// Kills the host with SIGKILL and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("no host runs")?;
        child.kill().await?;
        Ok(())
    }

    /// Waits until the host ends by itself.
    pub async fn wait(&mut self) -> Result<std::process::ExitStatus> {
        let child = self.child.as_mut().context("no host runs")?;
        let status =
            tokio::time::timeout(PATIENCE, child.wait()).await.context("the host does not end")??;
        self.child = None;
        Ok(status)
    }

    /// The socket named in the manifest.
    pub fn socket(&self) -> Result<PathBuf> {
        let manifest: Value = serde_json::from_slice(&std::fs::read(self.state_dir().join("server.json"))?)?;
        Ok(manifest["socket"].as_str().context("the manifest names no socket")?.into())
    }

    /// A new connection.
    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(&self.socket()?).await
    }

    /// Where devices on this machine reach the host; changes with each start unless a port is configured.
    pub async fn address(&self) -> Result<SocketAddr> {
        let network = self.connect().await?.call(Health {}).await?.network;
        let listening = network.listening.context("the network side is switched off")?;
        let mut address: SocketAddr = listening.parse().with_context(|| listening.clone())?;
        if address.ip().is_unspecified() {
            let v4 = address.is_ipv4();
            address.set_ip(if v4 { IpAddr::from(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() });
        }
        Ok(address)
    }
}

/// A connection that speaks JSON-RPC lines. Events that come while a reply is awaited are kept.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    next: i64,
    events: VecDeque<SessionEvent>,
    host_events: VecDeque<HostEvent>,
    other: VecDeque<Value>,
    /// Last number of each session followed.
    last: HashMap<SessionId, u64>,
}

impl Connection {
    /// Connects to a socket.
    pub async fn open(socket: &Path) -> Result<Self> {
        let (reader, writer) = UnixStream::connect(socket).await?.into_split();
        let reader = BufReader::new(reader);
        Ok(Self {
            reader,
            writer,
            next: 1,
            events: VecDeque::new(),
            host_events: VecDeque::new(),
            other: VecDeque::new(),
            last: HashMap::new(),
        })
    }

    /// Sends a line as it is.
    pub async fn send_line(&mut self, line: &str) -> Result<()> {
        self.writer.write_all(line.as_bytes()).await?;
        self.writer.write_all(b"\n").await?;
        Ok(())
    }

    /// The next line, whatever it is.
    pub async fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.reader.read_line(&mut line))
            .await
            .context("no line came")??;
        ensure!(read > 0, "the host closed the connection");
        Ok(serde_json::from_str(&line)?)
    }

    /// Sends a request and returns its number.
    pub async fn send(&mut self, request: &Request) -> Result<i64> {
        // These move the cursor.
        match request {
            Request::Subscribe(subscribe) => self.last.remove(&subscribe.session_id),
            Request::ResumeSession(resume) => self.last.remove(&resume.session_id),
            _ => None,
        };
        let id = self.next;
        self.next += 1;
        let line = json!({ "jsonrpc": "2.0", "id": id, "method": request.method().name(), "params": request.params_json()? });
        self.send_line(&line.to_string()).await?;
        Ok(id)
    }

    /// The raw reply to a request.
    pub async fn reply(&mut self, id: i64) -> Result<Value> {
        if let Some(at) = self.other.iter().position(|v| v["id"] == id) {
            return self.other.remove(at).context("just found");
        }
        loop {
            let line = self.line().await?;
            if line["id"] == id {
                return Ok(line);
            }
            self.keep(line)?;
        }
    }

    /// Whatever a test looks at, numbered events come one by one, without gaps and only once.
    fn in_order(&mut self, event: &SessionEvent) -> Result<()> {
        let Some(seq) = event.seq else { return Ok(()) };
        let last = self.last.insert(event.session_id.clone(), seq);
        ensure!(last.is_none_or(|last| seq == last + 1), "{} came after {last:?}: {event:?}", seq);
        Ok(())
    }

    fn keep(&mut self, line: Value) -> Result<()> {
        if line["method"] == "SessionEvent" {
            let event: SessionEvent = from_json(&line["params"].to_string())?;
            self.in_order(&event)?;
            self.events.push_back(event);
        } else if line["method"] == "HostEvent" {
            self.host_events.push_back(from_json(&line["params"].to_string())?);
        } else {
            self.other.push_back(line);
        }
        Ok(())
    }

    /// Calls a method; a refusal is the inner error.
    pub async fn try_call<C: Call>(&mut self, call: C) -> Result<Result<C::Result, WireError>> {
        let request = call.into_request();
        let id = self.send(&request).await?;
        let mut reply = self.reply(id).await?;
        if reply.get("error").is_some() {
            let data = reply["error"]["data"].take();
            return Ok(Err(serde_json::from_value(data).with_context(|| format!("{reply}"))?));
        }
        let response = Response::from_json(request.method(), reply["result"].take())?;
        Ok(Ok(C::from_response(response).context("an answer to another method")?))
    }

    /// Calls a method that is expected to work.
    pub async fn call<C: Call>(&mut self, call: C) -> Result<C::Result> {
        self.try_call(call).await?.map_err(anyhow::Error::from)
    }

    /// The next event of any followed session.
    pub async fn event(&mut self) -> Result<SessionEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let line = self.line().await?;
            self.keep(line)?;
        }
    }

    /// The next event of the host's log, once it is followed.
    pub async fn host_event(&mut self) -> Result<HostEvent> {
        loop {
            if let Some(event) = self.host_events.pop_front() {
                return Ok(event);
            }
            let line = self.line().await?;
            self.keep(line)?;
        }
    }

    /// Events up to and with the first one that `wanted` accepts.
    pub async fn events_until(&mut self, wanted: impl Fn(&EventBody) -> bool) -> Result<Vec<SessionEvent>> {
        let mut seen = Vec::new();
        loop {
            let event = self.event().await.with_context(|| {
                let names: Vec<_> = seen.iter().map(|e: &SessionEvent| e.body.name()).collect();
                format!("so far: {names:?}")
            })?;
            let found = wanted(&event.body);
            seen.push(event);
            if found {
                return Ok(seen);
            }
        }
    }

    /// Events up to and with the end of the task.
    pub async fn until_task_ends(&mut self) -> Result<Vec<SessionEvent>> {
        self.events_until(EventBody::ends_task).await
    }

    /// A new session in a directory.
    pub async fn session(&mut self, workspace: &Path) -> Result<SessionOpened> {
        let local_paths = vec![workspace.display().to_string()];
        let workspace_hint = WorkspaceHint { local_paths, workspace_id: None };
        self.call(CreateSession { workspace_hint, ..CreateSession::default() }).await
    }

    /// Starts a task.
    pub async fn start(
        &mut self,
        session: &SessionId,
        prompt: &str,
        options: TaskOptions,
    ) -> Result<TaskAccepted> {
        let session_id = session.clone();
        self.call(StartTask {
            session_id,
            task_id: None,
            prompt: prompt.to_owned(),
            task_options: options,
            model: None,
            attachments: Vec::new(),
        })
        .await
    }
}
