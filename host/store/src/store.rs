//! The store's handle: the queue to the writer, the file for readers, the directory of artifacts.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use lanyard_ports::journal::{JournalError, Write};
use lanyard_ports::sink::CommitObserver;
use redb::Database;
use tokio::sync::oneshot;

use crate::artifact::{ArtifactFiles, Sweep};
use crate::condition::Condition;
use crate::open::{OpenError, OpenReport, StoreOptions};
use crate::queue::{Job, Queue};
use crate::read::View;
use crate::space::Space;
use crate::writer::Refusals;
use crate::{open, writer};

/// The durable record of a host. Implements [`lanyard_ports::journal::Journal`] and
/// [`lanyard_ports::journal::ArtifactStore`].
#[derive(Debug)]
pub struct Store {
    parts: Parts,
    threads: Mutex<Option<Threads>>,
}

/// What reading and queueing needs.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) db: Arc<Database>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) condition: Arc<Condition>,
    pub(crate) artifacts: Arc<ArtifactFiles>,
    pub(crate) space: Space,
    pub(crate) refusals: Arc<Refusals>,
}

/// What runs besides the callers.
#[derive(Debug)]
struct Threads {
    writer: JoinHandle<()>,
    sweep: Option<Sweep>,
}

impl Store {
    /// Opens the store in a directory, making it where it is missing. Reads a handful of pages, whatever the size.
    ///
    /// A store that is damaged is moved aside, with its artifacts, and a new one begun; the report says so. The
    /// observer is called from the writer's thread after each commit and before the callers of `commit` are woken.
    ///
    /// # Errors
    /// Another process holds the store, it was written by a newer host, or the disk fails.
    pub fn open(
        options: StoreOptions,
        observer: Arc<dyn CommitObserver>,
    ) -> Result<(Arc<Self>, OpenReport), OpenError> {
        open::open(&options, observer)
    }

    /// Starts the threads over an open file.
    pub(crate) fn start(
        parts: Parts,
        writer: writer::Writer,
        sweep: bool,
    ) -> Result<Arc<Self>, std::io::Error> {
        let sweep = match sweep {
            true => Some(Sweep::start(
                Arc::clone(&parts.artifacts),
                Arc::clone(&parts.db),
                Arc::clone(&parts.condition),
            )?),
            false => None,
        };
        let writer =
            std::thread::Builder::new().name("lanyard-store".to_owned()).spawn(move || writer.run())?;
        Ok(Arc::new(Self { parts, threads: Mutex::new(Some(Threads { writer, sweep })) }))
    }

    /// Writes what is queued and ends the writer. Reading still works; writing is refused from here on. The file is
    /// let go when the last reference to the store is dropped. Blocks for the queue's last transaction at most.
    ///
    /// # Errors
    /// The writer had stopped after a fault; what it had not written by then is lost.
    pub fn close(&self) -> Result<(), JournalError> {
        self.parts.queue.close();
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(threads) = threads {
            if threads.writer.join().is_err() {
                self.parts.condition.poison("the store's writer panicked".to_owned());
            }
            if let Some(sweep) = threads.sweep {
                sweep.end();
            }
            if self.parts.condition.check().is_ok() {
                self.parts.artifacts.close();
            }
        }
        self.parts.condition.check()
    }

    pub(crate) async fn enqueue(
        &self,
        writes: Vec<Write>,
        reply: Option<oneshot::Sender<Result<(), JournalError>>>,
    ) -> Result<(), JournalError> {
        self.check()?;
        self.parts.queue.push(Job { writes, reply }).await.map_err(|_| self.gone())
    }

    /// The last commit.
    pub(crate) fn view(&self) -> Result<View<'_>, JournalError> {
        View::new(&self.parts.db, &self.parts.condition)
    }

    /// Fails once the writer has stopped after a fault.
    pub(crate) fn check(&self) -> Result<(), JournalError> {
        self.parts.condition.check()
    }

    /// Why a batch got no answer.
    pub(crate) fn gone(&self) -> JournalError {
        self.check().err().unwrap_or_else(|| JournalError::Poisoned("it was closed".to_owned()))
    }

    pub(crate) fn refusals(&self) -> &Refusals {
        &self.parts.refusals
    }

    pub(crate) fn space(&self) -> &Space {
        &self.parts.space
    }

    /// Sweeps on the caller's thread.
    #[cfg(test)]
    pub(crate) fn sweep_now(&self, stop: &std::sync::atomic::AtomicBool) -> Result<usize, JournalError> {
        crate::artifact::sweep(&self.parts.artifacts, &self.parts.db, stop)
    }

    pub(crate) fn artifacts(&self) -> &ArtifactFiles {
        &self.parts.artifacts
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The fault, if any, was told to those who wrote and stands in the log.
        let _ = self.close();
    }
}
