//! What the owner lets the centre do, and what else an enrolment means on this machine: small files beside the identity.

use std::path::{Path, PathBuf};

use lanyard_governance_api::id::AgentId;
use lanyard_ports::authority::PolicyNews;
use lanyard_protocol::Timestamp;
use lanyard_protocol::policy::RedactionRule;
use serde::{Deserialize, Serialize};

use crate::state_dir::write_private;

/// Name of the file with the owner's consents.
const CONSENT: &str = "consent.toml";

/// Name of the file with the policy epoch last heard of.
const NEWS: &str = "policy.toml";

/// Name of the file that says that the centre ended the enrolment.
const REVOKED: &str = "revoked.toml";

/// Name of the file that says when the centre was last heard.
const HEARD: &str = "heard.toml";

/// Why a file of the enrolment cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{path}: {message}")]
    Unreadable { path: PathBuf, message: String },
    #[error(transparent)]
    Write(#[from] crate::state_dir::StateDirError),
}

/// What the owner said. Absence is refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consent {
    /// The centre may have this host do work.
    #[serde(default)]
    pub(crate) accept_jobs: bool,
    /// The centre may answer approvals and pairings of this host.
    #[serde(default)]
    pub(crate) accept_answers: bool,
    /// Sessions that were made while the host was its own may go on, and are sent whole.
    #[serde(default)]
    pub(crate) share_earlier_sessions: bool,
    /// When the host enrolled, in milliseconds since 1970.
    #[serde(default)]
    pub(crate) enrolled_at: i64,
}

impl Consent {
    /// What is kept; nothing is allowed when nothing is.
    pub(crate) fn read(dir: &Path) -> Result<Self, FileError> {
        Ok(read(&dir.join(CONSENT))?.unwrap_or_default())
    }

    /// Keeps it; on disk when this returns.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), FileError> {
        write(&dir.join(CONSENT), self)
    }

    /// When the host enrolled.
    pub(crate) fn enrolled_at(&self) -> Timestamp {
        Timestamp::from_millis(self.enrolled_at)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Heard {
    agent: AgentId,
    epoch: u64,
    revoked: Option<String>,
}

/// The epoch last heard of. Kept so that a host that restarts while the centre is away does not go back to a bundle
/// that it has been told is out of force. What an earlier enrolment heard does not count.
pub(crate) fn read_news(dir: &Path, agent: &AgentId) -> Result<PolicyNews, FileError> {
    let heard = read::<Heard>(&dir.join(NEWS))?.filter(|heard| heard.agent == *agent);
    Ok(heard.map(|heard| PolicyNews { epoch: heard.epoch, revoked: heard.revoked }).unwrap_or_default())
}

/// Keeps it; on disk when this returns.
pub(crate) fn write_news(dir: &Path, agent: &AgentId, news: &PolicyNews) -> Result<(), FileError> {
    let heard = Heard { agent: agent.clone(), epoch: news.epoch, revoked: news.revoked.clone() };
    write(&dir.join(NEWS), &heard)
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoked {
    agent: AgentId,
    reason: String,
}

/// Why the centre ended the enrolment, if it did. The end of an earlier one does not count.
pub(crate) fn read_revoked(dir: &Path, agent: &AgentId) -> Result<Option<String>, FileError> {
    let revoked = read::<Revoked>(&dir.join(REVOKED))?.filter(|revoked| revoked.agent == *agent);
    Ok(revoked.map(|revoked| revoked.reason))
}

/// Keeps it; on disk when this returns.
pub(crate) fn write_revoked(dir: &Path, agent: &AgentId, reason: &str) -> Result<(), FileError> {
    write(&dir.join(REVOKED), &Revoked { agent: agent.clone(), reason: reason.to_owned() })
}

/// Name of the file with the redaction rules last granted.
pub(super) const REDACTION: &str = "redaction.toml";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Redaction {
    rules: Vec<RedactionRule>,
}

/// The redaction rules of the policy last granted; `None` before the first.
pub(crate) fn read_redaction(dir: &Path) -> Result<Option<Vec<RedactionRule>>, FileError> {
    Ok(read::<Redaction>(&dir.join(REDACTION))?.map(|kept| kept.rules))
}

/// Keeps them; on disk when this returns.
pub(crate) fn write_redaction(dir: &Path, rules: &[RedactionRule]) -> Result<(), FileError> {
    write(&dir.join(REDACTION), &Redaction { rules: rules.to_vec() })
}

/// An instant on both clocks of this machine, and which of its starts the boot clock counts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    /// Differs from one start of the machine to the next.
    pub(crate) boot_id: String,
    /// Milliseconds on the boot clock.
    pub(crate) boot: u64,
    /// Milliseconds since 1970 on the wall clock.
    pub(crate) wall: i64,
}

impl Mark {
    /// Milliseconds from this instant to `now`. In another start of the machine the wall clock counts, and one that
    /// stands before this instant tells nothing.
    pub(crate) fn until(&self, now: &Mark) -> Option<u64> {
        if self.boot_id == now.boot_id {
            return Some(now.boot.saturating_sub(self.boot));
        }
        u64::try_from(now.wall.saturating_sub(self.wall)).ok()
    }
}

/// When the centre was last heard, as far as that was written down.
pub(crate) fn read_heard(dir: &Path) -> Option<Mark> {
    read(&dir.join(HEARD)).ok().flatten()
}

/// Notes it. Written once in a while and without waiting for the disk: what is lost only shortens a grace.
pub(crate) fn note_heard(dir: &Path, mark: &Mark) -> std::io::Result<()> {
    let path = dir.join(HEARD);
    let temporary = dir.join(format!("{HEARD}.new"));
    let text = toml::to_string(mark).map_err(std::io::Error::other)?;
    std::fs::write(&temporary, text)?;
    std::fs::rename(temporary, path)
}

/// Forgets these files. What is not there is forgotten already.
pub(crate) fn wipe(dir: &Path) -> Result<(), FileError> {
    for name in [CONSENT, NEWS, REVOKED, HEARD, REDACTION] {
        let path = dir.join(name);
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(FileError::Unreadable { path, message: e.to_string() }),
        }
    }
    Ok(())
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, FileError> {
    let unreadable = |message: String| FileError::Unreadable { path: path.to_owned(), message };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(e.to_string())),
    };
    toml::from_str(&text).map(Some).map_err(|e| unreadable(e.to_string()))
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), FileError> {
    let text = toml::to_string(value)
        .map_err(|e| FileError::Unreadable { path: path.to_owned(), message: e.to_string() })?;
    Ok(write_private(path, text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nothing_is_allowed_until_the_owner_says_so_and_a_spoilt_file_allows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Consent::read(dir.path()).unwrap(), Consent::default());
        let said = Consent {
            accept_jobs: true,
            accept_answers: false,
            share_earlier_sessions: true,
            enrolled_at: 7,
        };
        said.write(dir.path()).unwrap();
        assert_eq!(Consent::read(dir.path()).unwrap(), said);
        let path = dir.path().join(CONSENT);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "accept_jbs = true\n").unwrap();
        Consent::read(dir.path()).unwrap_err();
        wipe(dir.path()).unwrap();
        wipe(dir.path()).unwrap();
        assert_eq!(Consent::read(dir.path()).unwrap(), Consent::default());
    }

    #[test]
    fn time_is_counted_on_the_boot_clock_and_across_starts_on_the_wall() {
        let mark = |boot_id: &str, boot, wall| Mark { boot_id: boot_id.to_owned(), boot, wall };
        let then = mark("a", 1_000, 50_000);
        assert_eq!(then.until(&mark("a", 4_000, 0)), Some(3_000), "a clock set back changes nothing");
        assert_eq!(then.until(&mark("b", 10, 52_000)), Some(2_000));
        assert_eq!(then.until(&mark("b", 10, 49_999)), None);
        let dir = tempfile::tempdir().unwrap();
        note_heard(dir.path(), &then).unwrap();
        assert_eq!(read_heard(dir.path()), Some(then));
    }

    #[test]
    fn what_was_heard_outlives_the_host_and_not_its_enrolment() {
        let dir = tempfile::tempdir().unwrap();
        let (us, others) = (AgentId::new("agent_1").unwrap(), AgentId::new("agent_2").unwrap());
        assert_eq!(read_news(dir.path(), &us).unwrap(), PolicyNews::default());
        let news = PolicyNews { epoch: 4, revoked: Some("Ann: \"no\"".to_owned()) };
        write_news(dir.path(), &us, &news).unwrap();
        assert_eq!(read_news(dir.path(), &us).unwrap(), news);
        assert_eq!(read_news(dir.path(), &others).unwrap(), PolicyNews::default(), "another enrolment's");
        write_revoked(dir.path(), &us, "lost").unwrap();
        assert_eq!(read_revoked(dir.path(), &us).unwrap().as_deref(), Some("lost"));
        assert_eq!(read_revoked(dir.path(), &others).unwrap(), None);
    }
}
