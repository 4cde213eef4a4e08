//! The one task that changes to whom this host belongs: enrolling, unenrolling, the owner's consents, an enrolment that
//! the centre ended. While the host is enrolled it keeps the loops running.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use lanyard_governance_api::enrolment::MachineInfo;
use lanyard_governance_client::backoff::Backoff;
use lanyard_governance_client::{EnrolError, Secret, enrol};
use lanyard_ports::authority::PolicyNews;
use lanyard_ports::journal::{Enrolment, JournalError, Write};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{CentralChanged, HostEventBody};
use lanyard_protocol::method::{EnrolHost, SetCentralConsent, UnenrolHost};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::audit::of_owner;
use super::consent::{self, Consent};
use super::loops::Loops;
use super::redaction::Redaction;
use super::tie::{Broken, Enrolled, Facts, Tie, Way};
use super::{Centre, Contact};
use crate::api::store_error;
use crate::host::Host;
use crate::ids::invalid;

/// How long a host that stops goes on sending what it has, and how long unenrolling waits for what is on its way.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How often it is looked whether everything has been sent.
const LOOK: Duration = Duration::from_millis(25);

/// The epoch every tenant begins with.
const FIRST_EPOCH: u64 = 1;

/// What is told to the centre when the owner gives no reason.
const UNENROLLED: &str = "its owner unenrolled the host";

type Reply = oneshot::Sender<Result<(), WireError>>;

/// What the owner task is asked for.
pub(super) enum Order {
    Enrol(Box<EnrolHost>, Reply),
    Unenrol(UnenrolHost, Reply),
    Consent(SetCentralConsent, Reply),
}

impl Centre {
    /// Asks the owner task, and waits for what comes of it.
    pub(super) async fn order(&self, order: impl FnOnce(Reply) -> Order) -> Result<(), WireError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.map_err(|_| stopping())?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// The centre does not know this host any more. Does not wait, and is not lost: the loop that found out has ended.
    pub(super) fn revoked(&self, reason: String) {
        self.ended.send_replace(Some(reason));
    }

    /// Runs until told to stop; then sends what is left, for a bounded time. Once only.
    pub(crate) async fn run(self: Arc<Self>, host: Arc<Host>, stop: CancellationToken) {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(inbox) = inbox else { return };
        let mut owner = Owner::new(self, host);
        owner.agree().await;
        owner.obey(inbox, &stop).await;
        if owner.centre.contact.borrow().reached {
            owner.settle().await;
        }
        owner.stop().await;
    }
}

pub(super) struct Owner {
    centre: Arc<Centre>,
    host: Arc<Host>,
    loops: Option<Loops>,
    /// Counts how often the store could not be told to whom the host belongs; none when it knows.
    disagrees: Option<Backoff>,
}

impl Owner {
    pub(super) fn new(centre: Arc<Centre>, host: Arc<Host>) -> Self {
        Self { centre, host, loops: None, disagrees: None }
    }

    async fn obey(&mut self, mut inbox: mpsc::Receiver<Order>, stop: &CancellationToken) {
        let mut ended = self.centre.ended.subscribe();
        ended.mark_changed();
        loop {
            let again = self.disagrees.as_mut().map(Backoff::pause);
            let order = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Ok(()) = ended.changed() => {
                    let mut reason = None;
                    self.centre.ended.send_if_modified(|said| {
                        reason = said.take();
                        false
                    });
                    if let Some(reason) = reason {
                        self.revoked(reason).await;
                    }
                    continue;
                }
                order = inbox.recv() => match order {
                    Some(order) => order,
                    None => return,
                },
                () = tokio::time::sleep(again.unwrap_or_default()), if again.is_some() => {
                    self.agree().await;
                    continue;
                }
            };
            // Whoever asked may have gone; what was asked for is done all the same.
            match order {
                Order::Enrol(params, reply) => drop(reply.send(self.enrol(*params, stop).await)),
                Order::Unenrol(params, reply) => drop(reply.send(self.unenrol(params).await)),
                Order::Consent(params, reply) => drop(reply.send(self.consent(params).await)),
            }
        }
    }

    /// A host that was killed between the identity and the store, or whose store did not take it, has them agree: the
    /// identity counts. Tried again until it is so; only then is anything sent.
    async fn agree(&mut self) {
        match self.tell_store().await {
            Ok(()) => {
                self.disagrees = None;
                self.start();
            }
            Err(error) => {
                tracing::error!(%error, "the store and the enrolment do not agree");
                self.disagrees.get_or_insert_default();
            }
        }
    }

    async fn tell_store(&self) -> Result<(), JournalError> {
        let tie = self.centre.tie();
        let rows = match (tie.facts(), self.host.journal.enrolment()?) {
            (None, None) => return Ok(()),
            (Some(facts), Some(held)) if held.agent_id == facts.agent_id.as_str() => return Ok(()),
            // An identity that cannot be read may still be this one.
            (None, Some(_)) if matches!(tie, Tie::Broken(_)) => return Ok(()),
            (None, Some(_)) => left("the host was unenrolled".to_owned()),
            (Some(facts), _) => taken_up(facts),
        };
        self.host.journal.commit(rows).await
    }

    /// Nothing is sent while the store may still hold what was meant for an earlier centre.
    fn start(&mut self) {
        if self.disagrees.is_none()
            && self.loops.is_none()
            && let Tie::Enrolled(enrolled) = self.centre.tie()
        {
            self.loops = Loops::start(&self.host, &enrolled);
        }
    }

    #[cfg(test)]
    pub(super) fn is_sending(&self) -> bool {
        self.loops.is_some()
    }

    pub(super) async fn stop(&mut self) {
        if let Some(loops) = self.loops.take() {
            loops.end().await;
        }
    }

    /// Waits, for a bounded time, until everything has been sent. Whether it was.
    async fn settle(&self) -> bool {
        self.centre.bells.ring();
        let sent = async {
            while !matches!(self.waiting(), Ok(waiting) if waiting.is_none()) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(LAST_WORDS, sent).await.is_ok()
    }

    /// What waits, in words.
    fn waiting(&self) -> Result<Option<String>, WireError> {
        let audit = self.host.journal.audit_backlog().map_err(store_error)?.records;
        let logs = self.host.journal.log_backlog().map_err(store_error)?;
        Ok(match (audit, logs.sessions) {
            (0, 0) => None,
            (audit, 0) => Some(format!("{audit} audit records")),
            (0, sessions) => Some(format!("{} events of {sessions} sessions", logs.events)),
            (audit, sessions) => {
                Some(format!("{audit} audit records and {} events of {sessions} sessions", logs.events))
            }
        })
    }

    async fn enrol(&mut self, params: EnrolHost, stop: &CancellationToken) -> Result<(), WireError> {
        let tie = self.centre.tie();
        if !matches!(tie, Tie::Alone) {
            let at = tie.facts().map(|facts| format!(" at {}", facts.url)).unwrap_or_default();
            let text = format!("this host is enrolled{at} already; `lanyard unenroll` ends that");
            return Err(WireError::new(ErrorCode::Conflict, text));
        }
        let EnrolHost { url, token, accept_jobs, accept_answers, share_earlier_sessions } = params;
        let enrolled_at = self.host.clock.now().as_millis();
        let said = Consent { accept_jobs, accept_answers, share_earlier_sessions, enrolled_at };
        // Before the identity: an enrolment never is without what its owner said of it. What was granted under an
        // earlier one is not used under this.
        self.blocking(move |centre| {
            crate::state_dir::private_dir(&centre.dir).map_err(consent::FileError::from)?;
            centre.grants.wipe()?;
            centre.jobs.notes().wipe()?;
            said.write(&centre.dir)
        })
        .await?;
        let machine = machine(&self.host);
        let identity = tokio::select! {
            biased;
            // Whoever tries again goes on where this stopped.
            () = stop.cancelled() => return Err(stopping()),
            identity = enrol(&self.centre.store, &url, Secret::new(token), machine) => identity.map_err(refusal)?,
        };
        let facts = Facts::of(&identity);
        let way = Way::real(identity, self.centre.store.clone());
        self.take_up(facts, way, said).await
    }

    /// The identity is on disk: from here on the host is the centre's, whatever happens.
    pub(super) async fn take_up(
        &mut self,
        facts: Facts,
        way: Way,
        consent: Consent,
    ) -> Result<(), WireError> {
        let told = self.host.journal.commit(taken_up(&facts)).await;
        // They answered a moment ago.
        let now = Some(self.host.clock.now());
        self.centre.contact.send_replace(Contact {
            reached: true,
            since: now,
            last_ok: now,
            ..Contact::default()
        });
        {
            // Nobody writes news while the host is alone: this waits for nothing.
            let _one_at_a_time = self.centre.hearing();
            self.centre.tie.send_replace(Tie::Enrolled(Arc::new(Enrolled { facts, consent, way })));
            // Live sessions were opened under this machine's policy alone. Those in use ask the centre before their next
            // call, because this is news to them; the others when they are opened again.
            self.centre.news.send_replace(PolicyNews { epoch: FIRST_EPOCH, revoked: None });
        }
        self.centre.ended.send_replace(None);
        self.host.sessions.forget_idle();
        let told = told.map_err(|error| self.untold("is enrolled", error));
        self.start();
        told
    }

    /// The host is what it is, and its store could not be told so yet.
    fn untold(&mut self, is: &str, error: JournalError) -> WireError {
        self.disagrees = Some(Backoff::new());
        let error = store_error(error);
        let text = format!(
            "the host {is}, and its own store could not be told so ({}); it tries again by itself",
            error.message
        );
        WireError { message: text, ..error }
    }

    async fn unenrol(&mut self, params: UnenrolHost) -> Result<(), WireError> {
        let tie = self.centre.tie();
        if matches!(tie, Tie::Alone) {
            return Err(invalid("this host is enrolled nowhere"));
        }
        if !params.force {
            self.nothing_waits(&tie).await?;
        }
        self.stop().await;
        let reason = params.reason.unwrap_or_else(|| UNENROLLED.to_owned());
        if let Tie::Enrolled(enrolled) = &tie
            && let Err(error) = give_back(enrolled, &self.centre.redaction, &reason).await
        {
            if !params.force {
                self.start();
                let text = format!(
                    "the central services could not be told ({}); try again, or use --force: an administrator then ends \
                     the enrolment there",
                    error.message
                );
                return Err(WireError { message: text, ..error });
            }
            tracing::warn!(%error, "the central services were not told that the host left them");
        }
        self.leave("the host was unenrolled".to_owned()).await
    }

    async fn nothing_waits(&self, tie: &Tie) -> Result<(), WireError> {
        let reached = tie.enrolled().is_some() && self.centre.contact.borrow().reached;
        if reached && self.settle().await {
            return Ok(());
        }
        match self.waiting()? {
            None => Ok(()),
            Some(what) => {
                let text = format!(
                    "{what} have not reached the central services; wait until `lanyard sync status` shows none, or use \
                     --force: they then stay on this machine and are never sent"
                );
                Err(WireError::new(ErrorCode::Conflict, text))
            }
        }
    }

    /// The identity goes first: whatever happens after, nobody acts by it any more.
    async fn leave(&mut self, reason: String) -> Result<(), WireError> {
        self.blocking(|centre| {
            let removed = centre.store.remove().map_err(|e| consent::FileError::Unreadable {
                path: centre.store.directory().to_owned(),
                message: e.to_string(),
            });
            removed?;
            centre.grants.wipe()?;
            centre.jobs.notes().wipe()?;
            // News that are on their way find nobody to be for.
            let _one_at_a_time = centre.hearing();
            consent::wipe(&centre.dir)?;
            centre.tie.send_replace(Tie::Alone);
            centre.news.send_replace(PolicyNews::default());
            Ok(())
        })
        .await?;
        self.centre.forget_granted();
        self.centre.jobs.cancel_all("the owner of the machine has ended its enrolment");
        self.centre.contact.send_replace(Contact::default());
        self.host.sessions.forget_idle();
        let told = self.host.journal.commit(left(reason)).await;
        told.map_err(|error| self.untold("is unenrolled", error))
    }

    async fn consent(&mut self, params: SetCentralConsent) -> Result<(), WireError> {
        let Tie::Enrolled(enrolled) = self.centre.tie() else {
            return Err(invalid("this host is enrolled nowhere, or its enrolment was ended; enrol it first"));
        };
        let SetCentralConsent { accept_jobs, accept_answers } = params;
        let said = Consent { accept_jobs, accept_answers, ..enrolled.consent };
        if said == enrolled.consent {
            return Ok(());
        }
        self.blocking(move |centre| said.write(&centre.dir)).await?;
        self.centre
            .tie
            .send_replace(Tie::Enrolled(Arc::new(Enrolled { consent: said, ..Enrolled::clone(&enrolled) })));
        if !accept_jobs {
            self.centre.jobs.cancel_all("the owner of the machine takes no jobs any more");
        }
        let reason = format!(
            "the owner {} jobs and {} answers from the centre",
            if accept_jobs { "takes" } else { "does not take" },
            if accept_answers { "takes" } else { "does not take" },
        );
        // It is so already, and stays so.
        let payload = json!({ "acceptJobs": accept_jobs, "acceptAnswers": accept_answers });
        let record = of_owner(&self.host, "central_consent_changed", payload)?;
        if let Err(error) = self.host.journal.commit(vec![changed(true, reason), record]).await {
            tracing::error!(%error, "what the owner lets the centre do could not be recorded");
        }
        Ok(())
    }

    /// The centre ended the enrolment: nothing is sent any more, and what it governed stands still until the owner
    /// decides.
    async fn revoked(&mut self, reason: String) {
        let Tie::Enrolled(enrolled) = self.centre.tie() else { return };
        tracing::warn!(reason, "the central services ended this host's enrolment");
        let (agent, kept) = (enrolled.facts.agent_id.clone(), reason.clone());
        let marked = self.blocking(move |centre| consent::write_revoked(&centre.dir, &agent, &kept)).await;
        if let Err(error) = marked {
            // It is asked again at the next start, and says the same.
            tracing::error!(%error, "the end of the enrolment could not be marked");
        }
        let Enrolled { facts, consent, .. } = Enrolled::clone(&enrolled);
        let broken = Broken { facts: Some(facts), consent, reason: reason.clone(), revoked: true };
        let why = format!("the central services: they ended this host's enrolment ({reason})");
        let ended = self.blocking(move |centre| {
            let _one_at_a_time = centre.hearing();
            centre.tie.send_replace(Tie::Broken(Arc::new(broken)));
            let epoch = centre.news.borrow().epoch.saturating_add(1);
            centre.news.send_replace(PolicyNews { epoch, revoked: Some(why) });
            Ok(())
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, "the end of the enrolment could not be told");
        }
        self.centre.forget_granted();
        self.centre.jobs.cancel_all("the central services ended this host's enrolment");
        self.stop().await;
        self.centre.contact.send_replace(Contact::default());
        self.centre
            .announce(true, format!("the central services ended this host's enrolment: {reason}"))
            .await;
    }

    /// File work, off the event loop.
    async fn blocking(
        &self,
        work: impl FnOnce(&Centre) -> Result<(), consent::FileError> + Send + 'static,
    ) -> Result<(), WireError> {
        let centre = self.centre.clone();
        let done = tokio::task::spawn_blocking(move || work(&centre)).await;
        let fault = |text: String| WireError::new(ErrorCode::InternalError, text);
        done.map_err(|e| fault(e.to_string()))?.map_err(|e| fault(e.to_string()))
    }
}

async fn give_back(enrolled: &Enrolled, rules: &Arc<Redaction>, reason: &str) -> Result<(), WireError> {
    match enrolled.way.wire(rules)?.revoke_self(reason).await {
        Err(error) if error.code == ErrorCode::AgentRevoked => Ok(()),
        told => told,
    }
}

fn stopping() -> WireError {
    WireError::new(ErrorCode::InternalError, "the host is stopping; try again when it runs again")
}

fn taken_up(facts: &Facts) -> Vec<Write> {
    let enrolment = Enrolment {
        agent_id: facts.agent_id.to_string(),
        tenant_id: facts.tenant_id.to_string(),
        first_outbox: 0,
    };
    let reason = format!("the host was enrolled at {}", facts.url);
    vec![Write::Enrol(Box::new(enrolment)), changed(true, reason)]
}

fn left(reason: String) -> Vec<Write> {
    vec![Write::Unenrol, changed(false, reason)]
}

fn changed(enrolled: bool, reason: String) -> Write {
    Write::Host(Box::new(HostEventBody::CentralChanged(CentralChanged { enrolled, reason })))
}

/// Why a host was not enrolled, as whoever asked for it is told.
fn refusal(error: EnrolError) -> WireError {
    let code = match error {
        EnrolError::Other(error) => return error,
        EnrolError::Token(_)
        | EnrolError::Address(_)
        | EnrolError::Mismatch(_)
        | EnrolError::NotACentre { .. } => ErrorCode::InvalidRequest,
        EnrolError::Enrolled(_) => ErrorCode::Conflict,
        EnrolError::Unreachable { .. } => ErrorCode::CentralUnavailable,
        EnrolError::OtherCa(_) | EnrolError::Expired | EnrolError::Refused(_) => ErrorCode::EnrolmentRefused,
        EnrolError::Identity(_) => ErrorCode::InternalError,
    };
    WireError::new(code, error.to_string())
}

/// What the centre is told of this machine.
pub(super) fn machine(host: &Host) -> MachineInfo {
    MachineInfo {
        name: host.network.host_name().to_owned(),
        os_family: std::env::consts::OS.to_owned(),
        os_version: rustix::system::uname().release().to_string_lossy().into_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        host_version: env!("CARGO_PKG_VERSION").to_owned(),
        host_id: Some(host.network.host_id().to_string()),
    }
}
