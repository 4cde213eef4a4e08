//! `--scopes`: rights on the command line.

use lanyard_protocol::principal::Scope;

/// A right, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ScopeArg {
    /// See sessions, their history and the host's condition
    Observe,
    /// Start and cancel tasks
    Operate,
    /// Approve what tasks want to do
    Approve,
    /// Manage devices, policy and settings; stop the host
    Admin,
}

impl From<ScopeArg> for Scope {
    fn from(scope: ScopeArg) -> Self {
        match scope {
            ScopeArg::Observe => Scope::Observe,
            ScopeArg::Operate => Scope::Operate,
            ScopeArg::Approve => Scope::Approve,
            ScopeArg::Admin => Scope::Admin,
        }
    }
}

/// The rights named, sorted and unique; `observe` is always among them. `None` when none were named.
pub(crate) fn scopes(given: &[ScopeArg]) -> Option<Vec<Scope>> {
    if given.is_empty() {
        return None;
    }
    let mut scopes: Vec<Scope> = given.iter().map(|scope| Scope::from(*scope)).collect();
    scopes.push(Scope::Observe);
    scopes.sort_unstable();
    scopes.dedup();
    Some(scopes)
}

#[cfg(test)]
mod tests {
    use super::{ScopeArg, scopes};
    use lanyard_protocol::principal::Scope;

    #[test]
    fn observe_is_always_among_them() {
        assert_eq!(scopes(&[]), None);
        let given = [ScopeArg::Approve, ScopeArg::Operate, ScopeArg::Approve];
        assert_eq!(scopes(&given), Some(vec![Scope::Observe, Scope::Operate, Scope::Approve]));
    }
}
