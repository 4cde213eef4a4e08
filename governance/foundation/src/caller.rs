//! Who calls. Made by authentication, never from a body.

use lanyard_governance_api::endpoint::{AgentScope, Endpoint};
use lanyard_governance_api::id::{AgentId, TenantId, UserId};
use lanyard_governance_api::people::Role;

use crate::fault::Fault;

/// An authenticated caller, or nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// No credential, or one that is not known.
    Nobody,
    /// A credential that was good once.
    Revoked {
        /// What is told.
        reason: String,
        /// Whose it was.
        whose: Agent,
    },
    /// Somebody in the console.
    Person(Person),
    /// A host.
    Agent(Agent),
    /// Another service of this installation, for a tenant or for all.
    Service {
        /// The tenant it acts for; absent for chores.
        tenant: Option<TenantId>,
    },
}

/// Somebody in the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The tenant worked in.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// Name for people.
    pub name: String,
    /// As what.
    pub role: Role,
    /// Operator of the installation.
    pub operator: bool,
    /// SHA-256 of the credential: which sign-in this is.
    pub credential: [u8; 32],
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its tenant.
    pub tenant: TenantId,
    /// Which.
    pub agent: AgentId,
    /// Whose.
    pub user: UserId,
    /// What the credential reaches.
    pub scope: AgentScope,
}

impl Caller {
    /// The tenant whose data is meant.
    pub fn tenant(&self) -> Result<&TenantId, Fault> {
        match self {
            Caller::Person(person) => Ok(&person.tenant),
            Caller::Agent(agent) => Ok(&agent.tenant),
            Caller::Service { tenant: Some(tenant) } => Ok(tenant),
            Caller::Service { tenant: None } => Err(Fault::invalid("this call needs a tenant")),
            Caller::Nobody => Err(nobody()),
            Caller::Revoked { reason, .. } => Err(revoked(reason)),
        }
    }

    /// The person who calls.
    pub fn person(&self) -> Result<&Person, Fault> {
        match self {
            Caller::Person(person) => Ok(person),
            Caller::Nobody => Err(nobody()),
            _ => Err(Fault::forbidden("only people may do this")),
        }
    }

    /// The host that calls.
    pub fn agent(&self) -> Result<&Agent, Fault> {
        match self {
            Caller::Agent(agent) => Ok(agent),
            Caller::Nobody => Err(nobody()),
            Caller::Revoked { reason, .. } => Err(revoked(reason)),
            _ => Err(Fault::forbidden("only hosts may do this")),
        }
    }

    /// Whether the caller may call an endpoint at all. `own_agent` is the `{agent_id}` of the path, if it has one: an
    /// agent reaches only itself.
    pub fn admit(&self, endpoint: &Endpoint, own_agent: Option<&str>) -> Result<(), Fault> {
        let access = endpoint.access;
        if access.public {
            return Ok(());
        }
        match self {
            Caller::Nobody => Err(nobody()),
            Caller::Revoked { reason, .. } => Err(revoked(reason)),
            Caller::Service { .. } if access.service => Ok(()),
            Caller::Service { .. } => Err(Fault::forbidden("services do not call this")),
            Caller::Person(person) => {
                if access.operator && person.operator {
                    return Ok(());
                }
                match access.person {
                    Some(role) if person.role >= role => Ok(()),
                    Some(role) => Err(Fault::forbidden(format!(
                        "this needs the role {}, and yours is {}; ask an administrator of your tenant",
                        role.as_str(),
                        person.role.as_str()
                    ))),
                    None => Err(Fault::forbidden("people do not call this")),
                }
            }
            Caller::Agent(agent) => match access.agent {
                Some(scope) if agent.scope >= scope => match own_agent {
                    Some(id) if id != agent.agent.as_str() => {
                        Err(Fault::forbidden("a host reaches only itself"))
                    }
                    _ => Ok(()),
                },
                Some(_) => Err(Fault::forbidden(
                    "this credential is for heartbeats only; use the client certificate or an access token",
                )),
                None => Err(Fault::forbidden("hosts do not call this")),
            },
        }
    }
}

fn nobody() -> Fault {
    Fault::unknown_caller("sign in, or send a credential that is known here")
}

fn revoked(reason: &str) -> Fault {
    Fault::new(lanyard_protocol::ErrorCode::AgentRevoked, reason)
}
