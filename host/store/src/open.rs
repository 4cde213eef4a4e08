//! Opening: the directory, the file, its schema; and what to do with a file that is no store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lanyard_ports::sink::CommitObserver;
use lanyard_protocol::Timestamp;
use redb::Database;

use crate::artifact::{ArtifactFiles, create_private_dir, sync_dir};
use crate::condition::Condition;
use crate::damage::{self, AtWork, Note, Phase};
use crate::error::Fault;
use crate::queue::Queue;
use crate::record::Totals;
use crate::schema::{self, Found, SchemaError};
use crate::space::Space;
use crate::store::{Parts, Store};
use crate::writer::Writer;

/// Name of the store file within the state directory.
const FILE: &str = "store.redb";

/// Name of the directory of artifacts within the state directory.
const ARTIFACTS: &str = "artifacts";

/// Name of the note of damage within the state directory.
const NOTE: &str = "store.damaged";

/// Files moved aside under one timestamp at most.
const MAX_ASIDE: u32 = 100;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The state directory; made, for the owner alone, where it is missing. Its permissions are not changed.
    pub dir: PathBuf,
    /// `store.max_bytes`: bytes beyond which no new task starts; 0 is no limit.
    pub max_bytes: u64,
    /// Bytes redb may use as page cache.
    pub cache_bytes: usize,
    /// How long an appended batch waits for others at most.
    pub linger: Duration,
}

impl StoreOptions {
    /// 10 GiB: years of work, and far below what fills an ordinary disk unnoticed.
    pub const DEFAULT_MAX_BYTES: u64 = 10 << 30;

    /// 4 MiB: a page of history and the upper levels of every table fit; redb's own default is 1 GiB.
    pub const DEFAULT_CACHE_BYTES: usize = 4 << 20;

    /// 5 ms: long enough for the commit that usually follows, too short to be noticed.
    pub const DEFAULT_LINGER: Duration = Duration::from_millis(5);

    /// The defaults for a directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            max_bytes: Self::DEFAULT_MAX_BYTES,
            cache_bytes: Self::DEFAULT_CACHE_BYTES,
            linger: Self::DEFAULT_LINGER,
        }
    }
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// There was no store; a new one was begun.
    pub created: bool,
    /// A damaged store was put aside.
    pub moved_aside: Option<MovedAside>,
    /// The schema version it had, when it was brought to the present one.
    pub migrated_from: Option<u32>,
    /// The last stop was not an orderly one; artifacts without an owner are being looked for.
    pub sweeping: bool,
}

/// A damaged store, put aside. Nothing was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedAside {
    /// The store file.
    pub store: PathBuf,
    /// Its artifacts, when there were any.
    pub artifacts: Option<PathBuf>,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for MovedAside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the store could not be read ({}) and was moved to {}; a new, empty one was begun",
            self.reason,
            self.store.display()
        )
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// One process at a time.
    #[error("{} is in use by another process: stop that host or pass another --state-dir", .0.display())]
    InUse(PathBuf),
    /// Written by a newer version of the host.
    #[error("{} was written by a newer Lanyard (schema {found}, this one knows {known}): update Lanyard", path.display())]
    Newer {
        /// The store file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// The disk or its permissions.
    #[error("{} cannot be opened: {reason}", path.display())]
    Unusable {
        /// The file or directory.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
}

impl OpenError {
    fn unusable(path: &Path, reason: &impl ToString) -> Self {
        Self::Unusable { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// See [`Store::open`].
pub(crate) fn open(
    options: &StoreOptions,
    observer: Arc<dyn CommitObserver>,
) -> Result<(Arc<Store>, OpenReport), OpenError> {
    create_private_dir(&options.dir).map_err(|error| OpenError::unusable(&options.dir, &error))?;
    let path = options.dir.join(FILE);
    damage::watch();
    let opening = AtWork::new(Phase::Opening, options.dir.join(NOTE).into());
    let mut report = OpenReport::default();
    let opened = match open_noted(&options.dir, &path, options.cache_bytes) {
        Err(Trouble::Damaged(reason)) => {
            report.moved_aside = Some(move_aside(&options.dir, reason)?);
            open_file(&path, options.cache_bytes, false)
        }
        opened => opened,
    };
    drop(opening);
    let (db, found, totals) = opened.map_err(|trouble| trouble.into_error(&path))?;
    match found {
        Found::New => report.created = true,
        Found::Older(version) => report.migrated_from = Some(version),
        Found::Current => {}
    }
    assemble(options, observer, db, totals, report)
}

/// Why a file did not become a store.
#[derive(Debug)]
enum Trouble {
    /// Its content is at fault.
    Damaged(String),
    /// It is of a newer schema version.
    Newer(u32),
    /// The machine is at fault.
    Fault(Fault),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        if fault.is_corruption() { Self::Damaged(fault.to_string()) } else { Self::Fault(fault) }
    }
}

impl From<SchemaError> for Trouble {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Newer(version) => Self::Newer(version),
            SchemaError::NotAStore(reason) => Self::Damaged(reason),
            SchemaError::Fault(fault) => fault.into(),
        }
    }
}

impl Trouble {
    fn into_error(self, path: &Path) -> OpenError {
        match self {
            Self::Newer(found) => OpenError::Newer { path: path.to_owned(), found, known: schema::VERSION },
            Self::Fault(fault) if fault.is_in_use() => OpenError::InUse(path.to_owned()),
            Self::Fault(fault) => OpenError::unusable(path, &fault),
            Self::Damaged(reason) => OpenError::unusable(path, &reason),
        }
    }
}

/// Opens the file as the note of an earlier run, if there is one, demands.
fn open_noted(dir: &Path, path: &Path, cache_bytes: usize) -> Result<(Database, Found, Totals), Trouble> {
    let at = dir.join(NOTE);
    let Some(note) = Note::read(&at) else { return open_file(path, cache_bytes, false) };
    if note.phase == Phase::Opening {
        return Err(Trouble::Damaged(note.text));
    }
    let opened = open_file(path, cache_bytes, true)?;
    std::fs::remove_file(&at).map_err(Fault::from)?;
    Ok(opened)
}

/// Opens the file or makes it. `check` looks at every page, which takes time, and repairs what can be.
fn open_file(path: &Path, cache_bytes: usize, check: bool) -> Result<(Database, Found, Totals), Trouble> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(Fault::from)?;
    let is_new = file.metadata().map_err(Fault::from)?.len() == 0;
    let mut db = Database::builder().set_cache_size(cache_bytes).create_file(file).map_err(Fault::from)?;
    if is_new && let Some(dir) = path.parent() {
        sync_dir(dir).map_err(Fault::from)?;
    }
    if check {
        let intact = db.check_integrity().map_err(Fault::from)?;
        tracing::warn!(intact, "the store was checked as a whole because the last run met a damage in it");
    }
    let (found, totals) = schema::prepare(&db)?;
    Ok((db, found, totals))
}

/// Puts a damaged store out of the way, with the artifacts that belong to it.
fn move_aside(dir: &Path, reason: String) -> Result<MovedAside, OpenError> {
    let stamp: String = Timestamp::now().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let store = set_aside(&dir.join(FILE), &stamp)?;
    let kept = dir.join(ARTIFACTS);
    let artifacts = if kept.exists() { Some(set_aside(&kept, &stamp)?) } else { None };
    match std::fs::remove_file(dir.join(NOTE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(OpenError::unusable(&dir.join(NOTE), &error));
        }
        _ => {}
    }
    sync_dir(dir).map_err(|error| OpenError::unusable(dir, &error))?;
    Ok(MovedAside { store, artifacts, reason })
}

/// Renames to `NAME.corrupt-STAMP`, or with a number where that exists.
fn set_aside(path: &Path, stamp: &str) -> Result<PathBuf, OpenError> {
    for attempt in 1..=MAX_ASIDE {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".corrupt-{stamp}"));
        if attempt > 1 {
            name.push(format!("-{attempt}"));
        }
        let target = PathBuf::from(name);
        if !target.exists() {
            std::fs::rename(path, &target).map_err(|error| OpenError::unusable(path, &error))?;
            return Ok(target);
        }
    }
    Err(OpenError::unusable(path, &"it is damaged, and there are too many damaged ones beside it"))
}

/// Puts the parts together and starts the threads.
fn assemble(
    options: &StoreOptions,
    observer: Arc<dyn CommitObserver>,
    db: Database,
    totals: Totals,
    mut report: OpenReport,
) -> Result<(Arc<Store>, OpenReport), OpenError> {
    let queue = Arc::new(Queue::new());
    let space = Space::new(options.dir.clone(), options.dir.join(FILE), options.max_bytes);
    let root = options.dir.join(ARTIFACTS);
    let (artifacts, clean) = ArtifactFiles::open(root.clone(), Arc::clone(&queue), space.clone())
        .map_err(|error| OpenError::unusable(&root, &error))?;
    artifacts.set_bytes(totals.row_bytes, totals.artifact_bytes);
    report.sweeping = !clean && !report.created;
    let parts = Parts {
        db: Arc::new(db),
        queue,
        condition: Arc::new(Condition::new(options.dir.join(NOTE).into())),
        artifacts: Arc::new(artifacts),
        space,
        refusals: Arc::default(),
    };
    let writer = Writer {
        db: Arc::clone(&parts.db),
        queue: Arc::clone(&parts.queue),
        condition: Arc::clone(&parts.condition),
        artifacts: Arc::clone(&parts.artifacts),
        space: parts.space.clone(),
        refusals: Arc::clone(&parts.refusals),
        observer,
        totals,
        linger: options.linger,
    };
    let store = Store::start(parts, writer, report.sweeping).map_err(|error| {
        OpenError::unusable(&options.dir, &format!("no thread could be started: {error}"))
    })?;
    Ok((store, report))
}

/// A store on a backend of a test's choosing; its artifacts lie in `options.dir`.
#[cfg(test)]
pub(crate) fn open_on(
    options: &StoreOptions,
    observer: Arc<dyn CommitObserver>,
    backend: impl redb::StorageBackend,
) -> Result<(Arc<Store>, OpenReport), Fault> {
    let db = Database::builder().set_cache_size(options.cache_bytes).create_with_backend(backend)?;
    let (_, totals) = schema::prepare(&db).map_err(|error| std::io::Error::other(error.to_string()))?;
    assemble(options, observer, db, totals, OpenReport::default())
        .map_err(|error| std::io::Error::other(error.to_string()).into())
}
