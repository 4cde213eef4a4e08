//! Databases for tests: every test of a service runs on both.
//!
//! The PostgreSQL server is a real one, made once per test process in a folder of its own, reachable by a unix socket
//! only, and ended with the process. It is found on PATH or where Debian puts it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::zombie_processes, reason = "they end with this process, which is short")]

use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::clock::MovedClock;
use crate::credentials;
use crate::database::{Database, Migration};
use crate::peers::Peers;
use crate::signals::Signals;
use crate::{Clock, Foundation};

/// A foundation over a fresh database.
pub struct Ground {
    /// What services are handed.
    pub foundation: Foundation,
    /// Its clock, to be moved.
    pub clock: MovedClock,
    /// Where it can be opened again.
    pub url: String,
    /// Kept until the test ends.
    _dir: tempfile::TempDir,
}

impl std::fmt::Debug for Ground {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ground").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Ground {
    /// Over a SQLite file.
    pub async fn sqlite(migrations: &[Migration]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("central.sqlite").display());
        Self::over(url, dir, migrations).await
    }

    /// Over a database of the process's PostgreSQL server.
    pub async fn postgres(migrations: &[Migration]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let created = name.clone();
        let url = tokio::task::spawn_blocking(move || server.create_database(&created)).await.unwrap();
        Self::over(url, tempfile::tempdir().unwrap(), migrations).await
    }

    async fn over(url: String, dir: tempfile::TempDir, migrations: &[Migration]) -> Self {
        let signals = Signals::default();
        let all: Vec<Migration> = credentials::MIGRATIONS.iter().chain(migrations).copied().collect();
        let database = Database::open(&url, signals.clone(), &all).await.unwrap();
        let clock = MovedClock::default();
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let foundation = Foundation { database, peers: Peers::default(), signals, clock: shared };
        Self { foundation, clock, url, _dir: dir }
    }
}

/// Runs a test on SQLite, then on PostgreSQL.
pub async fn on_both<F, T>(migrations: &[Migration], test: F)
where
    F: Fn(Arc<Ground>) -> T,
    T: Future<Output = ()>,
{
    for ground in [Ground::sqlite(migrations).await, Ground::postgres(migrations).await] {
        let ground = Arc::new(ground);
        test(ground.clone()).await;
        ground.foundation.signals.stop();
        ground.foundation.database.close().await;
    }
}

/// A PostgreSQL server of our own.
pub struct Server {
    dir: PathBuf,
    child: Child,
    kept_dir: tempfile::TempDir,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Server {
    /// The one of this process.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Server::start)
    }

    /// A new one. It has the superuser of the process and a role `lanyard` without privileges, whom row level security
    /// binds.
    pub fn start() -> Server {
        let kept = tempfile::Builder::new().prefix("lanyard-pg").tempdir_in("/tmp").unwrap();
        let dir = kept.path().to_owned();
        // PostgreSQL refuses root; somebody else then needs the folder.
        if is_root() {
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711)).unwrap();
        }
        let data = dir.join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
        own(&data);
        let made = program("initdb")
            .args(["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "--locale=C"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let server = Server { child: Self::run(&data), dir: data, kept_dir: kept };
        server.removed_with_this_process();
        server.tell("CREATE ROLE lanyard LOGIN");
        server
    }

    /// Runs a statement as the superuser.
    fn tell(&self, sql: &str) {
        let told = program("psql")
            .args(["-X", "-q", "-U", "postgres", "-d", "postgres", "-h"])
            .arg(&self.dir)
            .args(["-c", sql])
            .output()
            .unwrap();
        assert!(told.status.success(), "psql: {}", String::from_utf8_lossy(&told.stderr));
    }

    /// Makes a database that belongs to `lanyard` and returns its URL as that role. Blocks.
    pub fn create_database(&self, name: &str) -> String {
        self.tell(&format!("CREATE DATABASE {name} OWNER lanyard"));
        self.url_as("lanyard", name)
    }

    /// A static is never dropped: somebody else removes the folder once this process is gone.
    fn removed_with_this_process(&self) {
        const WATCH: &str = r#"while kill -0 "$1" 2>/dev/null; do sleep 1; done; sleep 1; rm -rf "$2""#;
        Command::new("sh")
            .args(["-c", WATCH, "sh", &std::process::id().to_string()])
            .arg(self.kept_dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
    }

    fn run(data: &Path) -> Child {
        let start = || {
            let mut command = program("postgres");
            command
                .arg("-D")
                .arg(data)
                .arg("-k")
                .arg(data)
                .args(["-c", "listen_addresses=", "-c", "max_connections=300"])
                .stdout(Stdio::null())
                .stderr(Stdio::from(std::fs::File::create(data.with_extension("log")).unwrap()));
            kept_by_a_thread(command)
        };
        let mut child = start();
        let ready = Instant::now() + Duration::from_secs(120);
        loop {
            let asked =
                program("pg_isready").args(["-q", "-U", "postgres", "-h"]).arg(data).status().unwrap();
            if asked.success() {
                return child;
            }
            if child.try_wait().unwrap().is_some() {
                // The children of one that was killed hold its memory for a moment.
                child = start();
            }
            assert!(
                Instant::now() < ready,
                "PostgreSQL does not start: {}",
                std::fs::read_to_string(data.with_extension("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it as a power cut would, and starts it again.
    pub fn kill_and_restart(&mut self) {
        // The process that was started is PostgreSQL itself; its children notice and end.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let _ = std::fs::remove_file(self.dir.join("postmaster.pid"));
        self.child = Self::run(&self.dir);
    }

    /// URL of a database, as the superuser.
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", database)
    }

    /// URL of a database, as somebody.
    pub fn url_as(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@localhost/{database}?host={}", self.dir.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program from a thread that never ends: the signal at the parent's death is sent when the *thread* that
/// started it dies, and a test's thread does.
fn kept_by_a_thread(mut command: Command) -> Child {
    let (started, child) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = started.send(command.spawn());
        loop {
            std::thread::park();
        }
    });
    child.recv().unwrap().unwrap()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

/// The user PostgreSQL runs as where the tests run as root.
const NOBODY: u32 = 65_534;

fn own(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// A program of PostgreSQL, as a user it accepts, ended with this process.
fn program(name: &str) -> Command {
    let path = installed(name).unwrap_or_else(|| panic!("{name} is not installed: apt install postgresql"));
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if is_root() {
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    }
    command.arg("--").arg(path).current_dir("/").stdin(Stdio::null());
    command
}

fn installed(name: &str) -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = debian.map(|entry| entry.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.exists())
}
