//! What the methods about central services do. Who may ask is for the API.

use std::sync::Arc;

use lanyard_protocol::central::{CentralEnrolment, CentralLink, CentralStatus, CentralWaiting};
use lanyard_protocol::error::WireError;
use lanyard_protocol::method::{EnrolHost, Response, SetCentralConsent, UnenrolHost};

use super::Centre;
use super::owner::Order;
use super::tie::{Facts, Tie};
use crate::api::store_error;
use crate::host::Host;

/// `GetCentral`.
pub(crate) async fn status(host: &Arc<Host>) -> Result<Response, WireError> {
    standing(host).map(Response::GetCentral)
}

/// `EnrolHost`. On disk, and in force, when this returns.
pub(crate) async fn enrol(host: &Arc<Host>, params: EnrolHost) -> Result<Response, WireError> {
    host.centre.order(|reply| Order::Enrol(Box::new(params), reply)).await?;
    standing(host).map(Response::EnrolHost)
}

/// `UnenrolHost`. The host is its owner's alone when this returns.
pub(crate) async fn unenrol(host: &Arc<Host>, params: UnenrolHost) -> Result<Response, WireError> {
    host.centre.order(|reply| Order::Unenrol(params, reply)).await?;
    standing(host).map(Response::UnenrolHost)
}

/// `SetCentralConsent`.
pub(crate) async fn consent(host: &Arc<Host>, params: SetCentralConsent) -> Result<Response, WireError> {
    host.centre.order(|reply| Order::Consent(params, reply)).await?;
    standing(host).map(Response::SetCentralConsent)
}

fn standing(host: &Arc<Host>) -> Result<CentralStatus, WireError> {
    let tie = host.centre.tie();
    let consent = tie.consent();
    let audit = host.journal.audit_backlog().map_err(store_error)?;
    let logs = host.journal.log_backlog().map_err(store_error)?;
    Ok(CentralStatus {
        enrolment: enrolment(host, &tie)?,
        accept_jobs: consent.accept_jobs,
        accept_answers: consent.accept_answers,
        waiting: CentralWaiting {
            audit_records: audit.records,
            oldest_at: audit.oldest_at,
            events: logs.events,
            sessions: logs.sessions,
        },
    })
}

fn enrolment(host: &Arc<Host>, tie: &Tie) -> Result<Option<CentralEnrolment>, WireError> {
    let (consent, revoked) = match tie {
        Tie::Alone => return Ok(None),
        Tie::Enrolled(enrolled) => (enrolled.consent, None),
        Tie::Broken(broken) => (broken.consent, Some(broken.reason.clone())),
    };
    let centre = &host.centre;
    // A renewal has given the client a later certificate than the one the host started with.
    let renewed =
        tie.enrolled().and_then(|enrolled| enrolled.way.made()).map(|made| Facts::of(&made.identity()));
    let facts = renewed.as_ref().or_else(|| tie.facts());
    let unknown = || "unknown: the enrolment cannot be read".to_owned();
    let contact = centre.contact.borrow().clone();
    let news = centre.news.borrow().clone();
    let since = if contact.reached { contact.since } else { contact.last_ok.or(contact.since) };
    Ok(Some(CentralEnrolment {
        url: facts.map_or_else(unknown, |facts| facts.url.clone()),
        agent_id: facts.map(|facts| facts.agent_id.to_string()).unwrap_or_default(),
        tenant_id: facts.map(|facts| facts.tenant_id.to_string()).unwrap_or_default(),
        user_id: facts.map(|facts| facts.user_id.to_string()).unwrap_or_default(),
        enrolled_at: consent.enrolled_at(),
        certificate_not_after: facts.map(|facts| facts.certificate_not_after).unwrap_or_default(),
        link: CentralLink {
            reached: contact.reached,
            since: since.unwrap_or(host.started_at),
            reason: contact.reason,
        },
        clock_ahead_millis: contact.clock_ahead_millis,
        policy_epoch: news.epoch,
        policy_revoked: policy_revoked(centre, news.revoked).filter(|_| revoked.is_none()),
        revoked,
        last_sent_at: *centre.sent_at.borrow(),
        last_command: host.journal.central_command().map_err(store_error)?,
    }))
}

/// Why no policy of the centre is in force, as "who: reason".
fn policy_revoked(centre: &Centre, heard: Option<String>) -> Option<String> {
    heard.or_else(|| centre.fell_behind().map(|reason| format!("the central services: {reason}")))
}
