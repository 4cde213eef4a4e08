//! The central services this host is enrolled at, if any.
//!
//! [`Centre`] is what the rest of the host sees: to whom the host belongs, what was last heard of the policy, whether
//! the centre is in reach. One owner task ([`owner`]) changes that; while the host is enrolled it also runs the loops
//! ([`loops`]): heartbeat, commands, audit records, sessions, pairings. A host that belongs to itself has none of them,
//! and pays one look at a file that is not there.

pub(crate) mod api;
mod audit;
mod authority;
mod backend;
mod check;
mod commands;
mod consent;
mod contact;
mod grants;
mod jobs;
mod link;
mod loops;
mod news;
mod owner;
mod pairings;
mod redacting;
mod redaction;
mod ship;
mod spans;
mod standing;
mod tie;
mod toolwire;
mod vitals;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lanyard_governance_client::IdentityStore;
use lanyard_governance_client::outbox::OutboxState;
use lanyard_ports::authority::{CENTRAL_LAYER, IssuedBundle, PolicyNews, Reach};
use lanyard_ports::journal::{CentralSession, Journal, Write};
use lanyard_ports::source::{BootClock, Clock};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::policy::PolicyBundle;
use lanyard_protocol::session::ModelInfo;
use lanyard_protocol::{Tick, Timestamp};
use tokio::sync::{Notify, mpsc, watch};

pub(crate) use authority::HostAuthority;
pub(crate) use backend::BackendTools;
pub(crate) use check::check;
pub(crate) use contact::Contact;
pub(crate) use jobs::Jobs;
pub(crate) use standing::{AtTheDesk, Known};
pub(crate) use tie::Tie;

use consent::{Consent, Mark};
use grants::{Granted, Grants};
use owner::Order;
use redaction::Redaction;
use tie::{Broken, Enrolled, Facts, LOCAL_TENANT, Way};

/// Orders that may wait for the owner task. People give them, one at a time.
const ORDERS: usize = 8;

/// How long what the centre granted when a session was created serves for its first opening, so that a new session
/// costs one request and not two.
const FRESH: Duration = Duration::from_secs(30);

/// Sessions that may be between creation and first opening.
const MAX_FRESH: usize = 64;

/// Sessions whose bound on steps is remembered; far more than are ever open at once.
const MAX_STEPS_KEPT: usize = 4_096;

/// Sessions whose thread is too long for the centre, as far as people are told of them.
const MAX_TOO_LONG: usize = 1_000;

/// What a session was granted when it was created.
struct Fresh {
    at: Tick,
    granted: Granted,
    row: CentralSession,
    /// The session was opened with it.
    served: bool,
}

/// Rung by the store's writer after a commit with events, for each loop that sends something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bells {
    pub(crate) sessions: Arc<Notify>,
    pub(crate) audit: Arc<Notify>,
}

impl Bells {
    /// There is something new on disk.
    pub(crate) fn ring(&self) {
        self.sessions.notify_one();
        self.audit.notify_one();
    }
}

/// See the module.
pub(crate) struct Centre {
    dir: PathBuf,
    store: IdentityStore,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    boot: Arc<dyn BootClock>,
    boot_id: OnceLock<String>,
    /// When the host started.
    started: Tick,
    tie: watch::Sender<Tie>,
    news: watch::Sender<PolicyNews>,
    /// See [`news`].
    hearing: Mutex<()>,
    /// The epoch of the last bundle, where that is lower than the one heard of.
    behind: Mutex<Option<u64>>,
    reach: watch::Sender<Reach>,
    contact: watch::Sender<Contact>,
    outbox: watch::Sender<OutboxState>,
    sent_at: watch::Sender<Option<Timestamp>>,
    grants: Grants,
    /// What of what is sent must stay here.
    redaction: Arc<Redaction>,
    fresh: Mutex<VecDeque<Fresh>>,
    /// Most steps of a task, by session.
    steps: Mutex<HashMap<SessionId, u32>>,
    /// Sessions whose thread was too long to be sent, since the host started.
    too_long: Mutex<HashSet<SessionId>>,
    /// The last bundle granted, to whichever session.
    last: Mutex<Option<PolicyBundle>>,
    jobs: Jobs,
    bells: Bells,
    orders: mpsc::Sender<Order>,
    /// Why the centre ended the enrolment, until the owner task has seen to it.
    ended: watch::Sender<Option<String>>,
    inbox: Mutex<Option<mpsc::Receiver<Order>>>,
}

/// What a [`Centre`] is made of.
pub(crate) struct CentreParts<'a> {
    pub(crate) state_dir: &'a Path,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) boot: Arc<dyn BootClock>,
    pub(crate) bells: Bells,
    /// Jobs at once.
    pub(crate) jobs: usize,
}

impl Centre {
    /// Reads what is there. A host that is not enrolled looks at one file; whatever of an enrolment cannot be read, or
    /// looked for, makes it [`Tie::Broken`], never [`Tie::Alone`]. Blocks.
    pub(crate) fn load(parts: CentreParts<'_>) -> Arc<Self> {
        let CentreParts { state_dir, journal, clock, boot, bells, jobs } = parts;
        let dir = state_dir.join("central");
        let store = IdentityStore::new(&dir);
        let (tie, news) = match dir.symlink_metadata() {
            Ok(_) => read_all(&dir, &store),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (Tie::Alone, PolicyNews::default()),
            Err(error) => (broken(None, format!("{}: {error}", dir.display())), PolicyNews::default()),
        };
        let (orders, inbox) = mpsc::channel(ORDERS);
        Arc::new(Self {
            store,
            journal,
            clock,
            started: boot.boot(),
            boot,
            boot_id: OnceLock::new(),
            tie: watch::Sender::new(tie),
            news: watch::Sender::new(news),
            hearing: Mutex::default(),
            behind: Mutex::default(),
            reach: watch::Sender::new(Reach::default()),
            contact: watch::Sender::new(Contact::default()),
            outbox: watch::Sender::new(OutboxState::default()),
            sent_at: watch::Sender::new(None),
            grants: Grants::new(dir.join("grants")),
            redaction: Arc::new(Redaction::new(&dir)),
            fresh: Mutex::default(),
            steps: Mutex::default(),
            too_long: Mutex::default(),
            last: Mutex::default(),
            jobs: Jobs::new(dir.join("jobs"), jobs),
            bells,
            orders,
            ended: watch::Sender::new(None),
            inbox: Mutex::new(Some(inbox)),
            dir,
        })
    }

    /// To whom the host belongs now.
    pub(crate) fn tie(&self) -> Tie {
        self.tie.borrow().clone()
    }

    /// The tenant that records are made for.
    pub(crate) fn tenant_id(&self) -> String {
        let tie = self.tie.borrow();
        tie.facts().map_or_else(|| LOCAL_TENANT.to_owned(), |facts| facts.tenant_id.to_string())
    }

    /// Who a session is for: the enrolment's user, else whoever created it.
    pub(crate) fn user_id(&self, created_by: &str) -> String {
        let tie = self.tie.borrow();
        tie.facts().map_or_else(|| created_by.to_owned(), |facts| facts.user_id.to_string())
    }

    /// The jobs under way.
    pub(crate) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The rows that go with the row of a session that was adopted just now.
    pub(crate) fn rows_of(&self, session: &SessionId) -> Vec<Write> {
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let row = fresh.iter().find(|fresh| fresh.row.session_id == *session).map(|fresh| fresh.row.clone());
        row.into_iter().map(|row| Write::CentralSession(Box::new(row))).collect()
    }

    /// Deletes what is kept on this machine for a session that was deleted or has ended. Blocks.
    pub(crate) fn forget(&self, session: &SessionId) {
        // Nobody has to do anything about its thread any more.
        self.thread_fits(session, true);
        if !matches!(&*self.tie.borrow(), Tie::Alone) {
            self.grants.forget(session);
        }
    }

    /// What the centre last granted a session, as it would be for another one: to be shown, never to decide by.
    pub(crate) fn last_bundle(&self, session: &SessionId, now: Timestamp) -> Option<IssuedBundle> {
        self.tie.borrow().enrolled()?;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut bundle = last.filter(|bundle| bundle.expires_at > now)?;
        bundle.session_id = session.clone();
        Some(IssuedBundle { layer: CENTRAL_LAYER, bundle })
    }

    /// The model behind the gateway that was granted to a session just now, where one was.
    pub(crate) fn granted_model(&self, session: &SessionId) -> Option<ModelInfo> {
        let granted = self.fresh(session)?;
        let gateway = granted.gateway?;
        let first = || granted.bundle.llm_policy.allowed_models.iter().find(|name| *name != "*").cloned();
        Some(ModelInfo {
            name: gateway.model.or_else(first).unwrap_or_default(),
            endpoint: gateway.endpoint,
            demo: false,
            source: "central".to_owned(),
        })
    }

    /// Most steps of a task in a session, as far as the centre has a say in it.
    pub(crate) fn max_steps(&self, session: &SessionId) -> u32 {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.get(session).copied().unwrap_or(u32::MAX)
    }

    /// Whether the thread of a session could be sent, as far as its length goes.
    fn thread_fits(&self, session: &SessionId, fits: bool) {
        let mut too_long = self.too_long.lock().unwrap_or_else(PoisonError::into_inner);
        if fits {
            too_long.remove(session);
        } else if too_long.len() < MAX_TOO_LONG {
            too_long.insert(session.clone());
        }
    }

    /// Sessions whose thread was too long to be sent.
    fn threads_too_long(&self) -> usize {
        self.too_long.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn remember_steps(&self, session: &SessionId, max_steps: u32) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.len() >= MAX_STEPS_KEPT && !steps.contains_key(session) {
            // Sessions ask again when they are opened again.
            steps.clear();
        }
        steps.insert(session.clone(), max_steps.max(1));
    }

    /// # Errors
    /// `RATE_LIMITED`: so many sessions are being created at this moment. None of them is forgotten for another, because
    /// it would then be held for a look at files, which this machine's policy alone governs.
    fn remember_fresh(&self, granted: Granted, row: CentralSession) -> Result<(), WireError> {
        let at = self.boot.boot();
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.retain(|held| at.since(held.at) < FRESH && held.row.session_id != row.session_id);
        if fresh.len() >= MAX_FRESH {
            let Some(done) = fresh.iter().position(|held| held.served) else {
                let text = format!("{MAX_FRESH} sessions are being created already; try again in a moment");
                return Err(WireError::new(ErrorCode::RateLimited, text));
            };
            fresh.remove(done);
        }
        fresh.push_back(Fresh { at, granted, row, served: false });
        Ok(())
    }

    /// What was granted just now, for the session's first opening alone: whoever asks again asks because what is held
    /// does not count any more.
    fn first_grant(&self, session: &SessionId) -> Option<Granted> {
        let granted = self.fresh(session)?;
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let held = fresh.iter_mut().find(|held| held.row.session_id == *session)?;
        (!std::mem::replace(&mut held.served, true)).then_some(granted)
    }

    fn fresh(&self, session: &SessionId) -> Option<Granted> {
        let (now, epoch) = (self.boot.boot(), self.news.borrow().epoch);
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let held = fresh.iter().find(|held| held.row.session_id == *session)?;
        (now.since(held.at) < FRESH && held.granted.bundle.policy_epoch >= epoch)
            .then(|| held.granted.clone())
    }

    /// Whether a session is one that the centre was asked about just now, because it is being created.
    fn is_new(&self, session: &SessionId) -> bool {
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.iter().any(|held| held.row.session_id == *session)
    }

    /// Nothing that the centre granted counts any more.
    fn forget_granted(&self) {
        self.redaction.forget();
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.too_long.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long the host runs, by a clock that nobody sets: the centre takes one that counts back for a copy.
    fn uptime(&self) -> Duration {
        self.boot.boot().since(self.started)
    }

    /// This instant on both clocks.
    fn mark(&self) -> Mark {
        let boot_id = self.boot_id.get_or_init(|| {
            let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
            // Where the system does not tell, each host is its own start of the machine: the wall clock counts then.
            let own = || format!("process-{}-{}", std::process::id(), self.clock.now().as_millis());
            id.map_or_else(|_| own(), |id| id.trim().to_owned())
        });
        let boot = self.boot.boot().as_millis();
        Mark { boot_id: boot_id.clone(), boot, wall: self.clock.now().as_millis() }
    }
}

impl std::fmt::Debug for Centre {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Centre").field("tie", &*self.tie.borrow()).finish_non_exhaustive()
    }
}

/// To whom the host belongs by what is on disk, and what was last heard of the policy.
fn read_all(dir: &Path, store: &IdentityStore) -> (Tie, PolicyNews) {
    let identity = match store.load() {
        Ok(None) => return (Tie::Alone, PolicyNews::default()),
        Ok(Some(identity)) => identity,
        Err(error) => return (broken(None, error.to_string()), PolicyNews::default()),
    };
    let facts = Facts::of(&identity);
    let read = || -> Result<_, consent::FileError> {
        let consent = Consent::read(dir)?;
        let revoked = consent::read_revoked(dir, &facts.agent_id)?;
        Ok((consent, revoked, consent::read_news(dir, &facts.agent_id)?))
    };
    match read() {
        Ok((consent, None, news)) => {
            let way = Way::real(identity, store.clone());
            (Tie::Enrolled(Arc::new(Enrolled { facts, consent, way })), news)
        }
        Ok((consent, Some(reason), news)) => {
            let broken = Broken { facts: Some(facts), consent, reason, revoked: true };
            (Tie::Broken(Arc::new(broken)), news)
        }
        Err(error) => (broken(Some(facts), error.to_string()), PolicyNews::default()),
    }
}

fn broken(facts: Option<Facts>, reason: String) -> Tie {
    tracing::error!(reason, "the enrolment of this host cannot be used");
    Tie::Broken(Arc::new(Broken { facts, consent: Consent::default(), reason, revoked: false }))
}
