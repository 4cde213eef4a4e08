//! The single checks. Each looks at one thing, changes nothing, and names the way out.

use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use lanyard_daemon::{Config, ConfigError, Manifest};
use lanyard_protocol::health::{HealthCheck, HealthReport, HealthStatus};

use crate::exit::Failure;
use crate::host::{HostError, LOG, lock_is_held};
use crate::render;

/// Longest path a unix socket address holds on Linux, the closing NUL not counted.
const MAX_SOCKET_PATH: usize = 107;

/// What the host appends to the runtime directory: `/lanyard/`, 16 digits, `.sock`.
const SOCKET_SUFFIX: usize = "/lanyard/0123456789abcdef.sock".len();

/// How long a gateway may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Free space below which a store is soon in trouble.
const LOW_DISK_BYTES: u64 = 512 << 20;

pub(super) fn found(
    name: &str,
    status: HealthStatus,
    message: impl Into<String>,
    action: Option<String>,
) -> HealthCheck {
    HealthCheck { name: name.to_owned(), status, message: message.into(), action }
}

pub(super) fn ok(name: &str, message: impl Into<String>) -> HealthCheck {
    found(name, HealthStatus::Ok, message, None)
}

pub(super) fn degraded(name: &str, message: impl Into<String>, action: impl Into<String>) -> HealthCheck {
    found(name, HealthStatus::Degraded, message, Some(action.into()))
}

pub(super) fn bad(name: &str, message: impl Into<String>, action: impl Into<String>) -> HealthCheck {
    found(name, HealthStatus::Bad, message, Some(action.into()))
}

/// The state directory is ours and closed to others.
pub(super) fn state_dir(dir: &Path) -> HealthCheck {
    let shown = dir.display();
    let meta = match std::fs::metadata(dir) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return ok("state", format!("{shown} does not exist yet; the first start makes it"));
        }
        Err(e) => return bad("state", format!("{shown}: {e}"), "choose another with --state-dir DIR"),
    };
    let me = rustix::process::geteuid().as_raw();
    if !meta.is_dir() {
        return bad("state", format!("{shown} is not a directory"), "choose another with --state-dir DIR");
    }
    if meta.uid() != me {
        let text = format!("{shown} belongs to user {}, not to you (user {me})", meta.uid());
        return bad("state", text, "choose another with --state-dir DIR");
    }
    let mode = meta.mode() & 0o777;
    if mode & 0o077 != 0 {
        return bad(
            "state",
            format!("{shown} is open to other users (mode {mode:o})"),
            format!("chmod go-rwx {shown}"),
        );
    }
    ok("state", format!("{shown} is yours alone"))
}

/// The configuration can be used.
pub(super) fn config(config: &Result<Config, ConfigError>) -> HealthCheck {
    match config {
        Ok(_) => ok("config", "file and environment can be used"),
        Err(error) => bad("config", error.to_string(), "mend it; a host does not start with it"),
    }
}

/// A host runs and answers.
pub(super) fn running(report: &HealthReport) -> HealthCheck {
    let ours = env!("CARGO_PKG_VERSION");
    let up = render::millis(report.uptime_seconds.saturating_mul(1_000));
    if report.version != ours {
        let text = format!("runs version {}, this command is {ours}", report.version);
        return degraded("host", text, "lanyard stop, then lanyard up");
    }
    ok("host", format!("runs as process {}, up {up}", report.pid))
}

/// Something accepts connections and does not answer.
pub(super) fn not_answering(failure: &Failure) -> HealthCheck {
    bad(
        "host",
        format!("accepts connections but does not answer: {failure}"),
        "end its process and start it again",
    )
}

/// Nobody answers; why, from what is left in the state directory.
pub(super) fn not_running(state_dir: &Path, error: &HostError) -> HealthCheck {
    let log = state_dir.join(LOG);
    let see_log = || match log.exists() {
        true => format!("; the log is {}", log.display()),
        false => String::new(),
    };
    if !error.is_absence() {
        return bad("host", error.to_string(), format!("mend that, then `lanyard up`{}", see_log()));
    }
    let held = lock_is_held(state_dir);
    match (Manifest::read(state_dir), held) {
        (Ok(Some(manifest)), false) => degraded(
            "host",
            format!(
                "process {} ended without putting its things away; nothing acknowledged is lost",
                manifest.pid
            ),
            format!("`lanyard up` starts a new one and cleans up{}", see_log()),
        ),
        (_, true) => bad(
            "host",
            "a process holds the state directory's lock, but its socket cannot be reached",
            format!(
                "wait if it is just starting; else end it (its number is in {})",
                state_dir.join("lock").display()
            ),
        ),
        (_, false) => ok("host", "none runs; `lanyard up` or `lanyard run` starts one"),
    }
}

/// Where the socket will be: the places a host tries, in its order. The last one, in `/tmp`, is always short enough.
pub(super) fn socket_path(state_dir: &Path, runtime: Option<&Path>) -> HealthCheck {
    let fits = |length: usize| length <= MAX_SOCKET_PATH;
    let runtime = runtime.filter(|dir| dir.is_absolute() && dir.is_dir());
    let own = state_dir.join("host.sock");
    if let Some(dir) = runtime.filter(|dir| fits(dir.as_os_str().len() + SOCKET_SUFFIX)) {
        return ok("socket", format!("will be below {}", dir.display()));
    }
    match fits(own.as_os_str().len()) {
        true => ok("socket", format!("will be {}", own.display())),
        false => ok(
            "socket",
            format!(
                "will be in /tmp: the state directory's path is too long for one ({MAX_SOCKET_PATH} bytes at most)"
            ),
        ),
    }
}

/// The kernel has what the sandbox needs.
#[cfg(target_os = "linux")]
pub(super) fn sandbox() -> HealthCheck {
    // Mounted on every usual system; where it is not, only the host can tell.
    match std::fs::read_to_string("/sys/kernel/security/lsm") {
        Ok(modules) if modules.trim().split(',').any(|module| module == "landlock") => {
            ok("sandbox", "the kernel offers Landlock; the host reports the level it reaches")
        }
        Ok(_) => degraded(
            "sandbox",
            "the kernel does not offer Landlock: programs would be refused",
            "use a kernel of 5.13 or newer with Landlock switched on",
        ),
        Err(_) => degraded(
            "sandbox",
            "not known without a running host",
            "`lanyard up`, then `lanyard doctor` again",
        ),
    }
}

/// No sandbox is built for this system yet.
#[cfg(not(target_os = "linux"))]
pub(super) fn sandbox() -> HealthCheck {
    degraded(
        "sandbox",
        "there is none for this system yet: programs would be refused",
        "run the host on Linux",
    )
}

/// The store, as far as it shows from outside.
pub(super) fn store(state_dir: &Path) -> HealthCheck {
    let dir = state_dir.join("store");
    match size_of(&dir) {
        None => ok("store", "empty; the first start makes it"),
        Some(size) => ok("store", format!("{} in {}", render::bytes(size), dir.display())),
    }
}

/// Bytes of the files directly in a directory: the store file, not the artifacts, of which there may be many.
fn size_of(dir: &Path) -> Option<u64> {
    let entries = std::fs::read_dir(dir).ok()?;
    Some(
        entries
            .flatten()
            .filter_map(|entry| entry.metadata().ok())
            .filter(|m| m.is_file())
            .map(|m| m.len())
            .sum(),
    )
}

/// There is room on the disk.
pub(super) fn disk(state_dir: &Path) -> HealthCheck {
    let existing = state_dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let Ok(stat) = rustix::fs::statvfs(existing) else {
        return degraded(
            "disk",
            format!("{} tells nothing about itself", existing.display()),
            "look with `df`",
        );
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let text = format!("{} free for {}", render::bytes(free), state_dir.display());
    match free < LOW_DISK_BYTES {
        true => degraded("disk", text, "make room: a full disk refuses new tasks, it loses nothing"),
        false => ok("disk", text),
    }
}

/// The model that would be used can be reached.
pub(super) fn model(config: &Config) -> HealthCheck {
    if let Some(endpoint) = &config.model.endpoint {
        return match reach(endpoint) {
            Ok(()) => ok("model", format!("{endpoint} accepts connections")),
            Err(why) => bad(
                "model",
                format!("{endpoint} cannot be reached: {why}"),
                "start it, or mend model.endpoint",
            ),
        };
    }
    let servers = if config.model.detect { config.model.local_servers.as_slice() } else { &[] };
    let there = servers.iter().find(|server| reach(&server.endpoint.to_string()).is_ok());
    match there {
        Some(server) => ok("model", format!("{} is there at {}", server.source, server.endpoint)),
        None => degraded(
            "model",
            "none is configured or found: the built-in demo model would answer. It is not an AI",
            "set LANYARD_GATEWAY_URL, or start Ollama, LM Studio or llama.cpp",
        ),
    }
}

/// Whether something accepts connections at the address of a URL. Nothing is sent.
fn reach(endpoint: &str) -> Result<(), String> {
    let url = url::Url::parse(endpoint).map_err(|e| e.to_string())?;
    let host = url.host_str().ok_or("it names no host")?;
    let port = url.port_or_known_default().ok_or("it names no port")?;
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = "its name leads to no address".to_owned();
    for address in (name, port).to_socket_addrs().map_err(|e| e.to_string())? {
        match TcpStream::connect_timeout(&address, CONNECT_WITHIN) {
            Ok(_) => return Ok(()),
            Err(e) => last = e.to_string(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use lanyard_protocol::health::HealthStatus;

    use super::{not_running, reach, socket_path, state_dir, store};
    use crate::host::attach;

    #[test]
    fn a_state_directory_open_to_others_is_bad_and_names_the_command() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let check = state_dir(dir.path());
        assert_eq!(check.status, HealthStatus::Bad);
        assert!(check.action.unwrap().starts_with("chmod go-rwx"));
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(state_dir(dir.path()).status, HealthStatus::Ok);
        assert_eq!(state_dir(&dir.path().join("none")).status, HealthStatus::Ok);
    }

    #[test]
    fn the_leftovers_of_a_killed_host_are_told_from_none() {
        let dir = tempfile::tempdir().unwrap();
        let look = || not_running(dir.path(), &attach(dir.path()).unwrap_err());
        assert_eq!(look().status, HealthStatus::Ok);
        let manifest = r#"{"pid":4194303,"socket":"/nonexistent/x.sock","version":"0.1.0","protocolVersion":1,
            "startedAt":"2026-01-01T00:00:00Z"}"#;
        std::fs::write(dir.path().join("server.json"), manifest).unwrap();
        let check = look();
        assert_eq!(check.status, HealthStatus::Degraded);
        assert!(check.message.contains("4194303"), "{}", check.message);
        let told = attach(dir.path()).unwrap_err().to_string();
        assert!(told.contains("`lanyard up`"), "{told}");
        std::fs::write(dir.path().join("server.json"), "{").unwrap();
        assert_eq!(look().status, HealthStatus::Bad);
    }

    #[test]
    fn the_socket_is_looked_for_where_the_host_puts_it() {
        let runtime = tempfile::tempdir().unwrap();
        let state = std::path::Path::new("/s");
        let told =
            |state: &std::path::Path, runtime: Option<&std::path::Path>| socket_path(state, runtime).message;
        assert!(told(state, Some(runtime.path())).contains(&runtime.path().display().to_string()));
        // What is not there, or too long, is passed over.
        let none = runtime.path().join("none");
        assert_eq!(told(state, Some(&none)), "will be /s/host.sock");
        let long = runtime.path().join("x".repeat(100));
        std::fs::create_dir(&long).unwrap();
        assert_eq!(told(state, Some(&long)), "will be /s/host.sock");
        assert_eq!(told(state, None), "will be /s/host.sock");
        assert!(told(&long, None).contains("/tmp"));
    }

    #[test]
    fn reaching_a_server_and_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        assert_eq!(reach(&url), Ok(()));
        // Bound, and nobody listens.
        let held = tokio::net::TcpSocket::new_v4().unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(reach(&format!("http://{}/v1", held.local_addr().unwrap())).is_err());
        assert!(reach("not a url").is_err());
    }

    #[test]
    fn the_store_is_measured_from_outside() {
        let dir = tempfile::tempdir().unwrap();
        assert!(store(dir.path()).message.contains("empty"));
        std::fs::create_dir(dir.path().join("store")).unwrap();
        std::fs::write(dir.path().join("store/store.redb"), [0; 2_048]).unwrap();
        assert!(store(dir.path()).message.starts_with("2.0 KiB"));
    }
}
