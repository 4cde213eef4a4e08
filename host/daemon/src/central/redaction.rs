//! What must not leave this machine: the redaction rules of the policy that the centre last granted, and the machine's
//! own. Kept on disk, because what waits is also sent by a host that was started again and has opened no session yet.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lanyard_policy::bundle::default_redactions;
use lanyard_policy::redact::{RedactionFault, Redactor};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::policy::RedactionRule;

use super::consent::{self, FileError};

/// Why nobody can say what has to be taken out. Nothing is sent then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RedactionError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Rules(#[from] RedactionFault),
}

impl RedactionError {
    /// As a session is told that the centre's grant cannot be used.
    pub(super) fn to_wire(&self) -> WireError {
        let code = match self {
            Self::File(_) => ErrorCode::InternalError,
            Self::Rules(_) => ErrorCode::PolicyBundleInvalid,
        };
        WireError::new(code, self.to_string())
    }
}

/// The rules in force, compiled when they are first needed.
#[derive(Debug)]
pub(crate) struct Redaction {
    dir: PathBuf,
    held: Mutex<Option<Held>>,
    /// Held while the file is written, which nobody who sends has to wait for.
    keeping: Mutex<()>,
}

#[derive(Debug)]
struct Held {
    /// The centre's; `None` before it has granted any.
    rules: Option<Vec<RedactionRule>>,
    redactor: Arc<Redactor>,
}

impl Held {
    fn of(rules: Option<Vec<RedactionRule>>) -> Result<Self, RedactionFault> {
        let own = default_redactions();
        let redactor = Arc::new(Redactor::compile(own.iter().chain(rules.iter().flatten()))?);
        Ok(Self { rules, redactor })
    }
}

impl Redaction {
    /// Rules kept in the directory of the enrolment.
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), held: Mutex::default(), keeping: Mutex::default() }
    }

    /// What takes them out. Reads a file the first time.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn redactor(&self) -> Result<Arc<Redactor>, RedactionError> {
        let mut held = self.held();
        if let Some(held) = &*held {
            return Ok(held.redactor.clone());
        }
        let read = Held::of(consent::read_redaction(&self.dir)?)?;
        Ok(held.insert(read).redactor.clone())
    }

    /// Whether the centre has granted any policy yet, and so said what must stay here.
    ///
    /// # Errors
    /// As [`Redaction::redactor`].
    pub(super) fn is_known(&self) -> Result<bool, RedactionError> {
        self.redactor()?;
        Ok(self.held().as_ref().is_some_and(|held| held.rules.is_some()))
    }

    /// From now on these rules of the centre count; on disk when this returns. Blocks.
    ///
    /// # Errors
    /// A rule cannot be applied, or the file cannot be written: then the grant they came with cannot be used.
    pub(super) fn keep(&self, rules: &[RedactionRule]) -> Result<(), RedactionError> {
        let _one_at_a_time = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        if self.held().as_ref().is_some_and(|held| held.rules.as_deref() == Some(rules)) {
            return Ok(());
        }
        let new = Held::of(Some(rules.to_vec()))?;
        consent::write_redaction(&self.dir, rules)?;
        *self.held() = Some(new);
        Ok(())
    }

    /// Looks at the file again when it is asked next: it is another enrolment's, or none's.
    pub(super) fn forget(&self) {
        let _one_at_a_time = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        *self.held() = None;
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        // Held for a look, or to put a finished value there.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str) -> RedactionRule {
        RedactionRule { name: "r".into(), pattern: pattern.into(), replacement: "[gone]".into() }
    }

    #[test]
    fn rules_outlive_the_host_and_what_cannot_be_read_lets_nothing_through() {
        let dir = tempfile::tempdir().unwrap();
        let rules = Redaction::new(dir.path());
        let key = "AKIAIOSFODNN7EXAMPLE";
        assert_eq!(
            rules.redactor().unwrap().apply(key),
            "[AWS key removed]",
            "the machine's own count always"
        );
        assert!(!rules.is_known().unwrap());
        rules.keep(&[rule("hush\\d")]).unwrap();
        assert!(rules.is_known().unwrap());
        rules.keep(&[rule("(")]).unwrap_err();
        for rules in [rules, Redaction::new(dir.path())] {
            assert_eq!(rules.redactor().unwrap().apply("hush1 hush"), "[gone] hush");
        }
        std::fs::write(dir.path().join(consent::REDACTION), "rules = 7").unwrap();
        Redaction::new(dir.path()).redactor().unwrap_err();
        consent::wipe(dir.path()).unwrap();
        let rules = Redaction::new(dir.path());
        assert_eq!(rules.redactor().unwrap().apply("hush1"), "hush1");
        rules.keep(&[rule("hush\\d")]).unwrap();
        consent::wipe(dir.path()).unwrap();
        rules.forget();
        rules.keep(&[rule("hush\\d")]).unwrap();
        assert_eq!(Redaction::new(dir.path()).redactor().unwrap().apply("hush1"), "[gone]", "written anew");
        consent::wipe(dir.path()).unwrap();
        assert_eq!(Redaction::new(dir.path()).redactor().unwrap().apply("hush1"), "hush1");
    }
}
