//! Parameters of the methods about the central services.

use serde::{Deserialize, Serialize};

/// Parameters of `GetCentral`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetCentral {}

/// Parameters of `EnrolHost`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnrolHost {
    /// Where the central services are (`https://central.example:7720`).
    pub url: String,
    /// The one-time registration token that an administrator issued. A secret.
    pub token: String,
    /// The centre may have this host do work.
    #[serde(default)]
    pub accept_jobs: bool,
    /// The centre may answer approvals and pairings of this host.
    #[serde(default)]
    pub accept_answers: bool,
    /// Sessions that were made before may go on; each is then sent to the centre whole. Otherwise they can be read, and
    /// go on when the host is its own again.
    #[serde(default)]
    pub share_earlier_sessions: bool,
}

/// Without the token: whoever reads the log must not be able to use it.
impl std::fmt::Debug for EnrolHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, accept_jobs, accept_answers, share_earlier_sessions, .. } = self;
        f.debug_struct("EnrolHost")
            .field("url", url)
            .field("accept_jobs", accept_jobs)
            .field("accept_answers", accept_answers)
            .field("share_earlier_sessions", share_earlier_sessions)
            .finish_non_exhaustive()
    }
}

/// Parameters of `UnenrolHost`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnenrolHost {
    /// Why; told to the centre.
    pub reason: Option<String>,
    /// Although the centre is not reached, or has not received everything yet.
    #[serde(default)]
    pub force: bool,
}

/// Parameters of `SetCentralConsent`: what the owner lets the centre do. Both are said each time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetCentralConsent {
    /// The centre may have this host do work.
    pub accept_jobs: bool,
    /// The centre may answer approvals and pairings of this host.
    pub accept_answers: bool,
}
