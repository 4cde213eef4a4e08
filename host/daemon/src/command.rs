//! Repeated commands: a client that lost an answer asks again with the same key and gets the same answer.

use lanyard_ports::journal::{CommandRecord, JournalError, Write};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{CommandId, PrincipalId};
use lanyard_protocol::method::{Method, Response};
use lanyard_protocol::principal::Principal;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::api::store_error;
use crate::host::Host;
use crate::ids::invalid;

/// A command that carries a key, or does not.
pub(crate) enum Command {
    /// Seen before; this was the answer.
    Known(Box<Response>),
    /// To be carried out.
    New(NewCommand),
}

/// A command that is carried out now.
pub(crate) struct NewCommand {
    record: Option<(CommandId, String)>,
    principal: Principal,
    at: lanyard_protocol::Timestamp,
}

impl Command {
    /// Looks a key up. The same key with other parameters is refused: one of the two is a mistake.
    pub(crate) fn begin<P: Serialize>(
        host: &Host,
        principal: &Principal,
        method: Method,
        key: Option<&CommandId>,
        params: &P,
    ) -> Result<Self, WireError> {
        let at = host.clock.now();
        let Some(key) = key else {
            return Ok(Self::New(NewCommand { record: None, principal: principal.clone(), at }));
        };
        let bytes = lanyard_protocol::codec::to_postcard(&(method.name(), params))
            .map_err(|e| WireError::new(ErrorCode::InternalError, e.to_string()))?;
        let fingerprint = data_encoding::HEXLOWER.encode(&Sha256::digest(bytes));
        match host.journal.command(&principal.id, key).map_err(store_error)? {
            Some(known) if known.fingerprint == fingerprint => Ok(Self::Known(Box::new(known.response))),
            Some(_) => {
                Err(invalid(format!("commandId {key} was used for another request; choose a new one")))
            }
            None => Ok(Self::New(NewCommand {
                record: Some((key.clone(), fingerprint)),
                principal: principal.clone(),
                at,
            })),
        }
    }
}

impl NewCommand {
    /// What to answer when the command's batch was refused: the kept answer when another request with the same key was
    /// faster, else the store's error.
    pub(crate) fn after(
        host: &Host,
        kept: Option<&(PrincipalId, CommandId)>,
        error: JournalError,
    ) -> Result<Response, WireError> {
        let (JournalError::Repeated(_), Some((principal, key))) = (&error, kept) else {
            return Err(store_error(error));
        };
        let known = host.journal.command(principal, key).map_err(store_error)?;
        known.map(|known| known.response).ok_or_else(|| store_error(error))
    }

    /// Principal and key, where there is one.
    pub(crate) fn key(&self) -> Option<(PrincipalId, CommandId)> {
        self.record.as_ref().map(|(key, _)| (self.principal.id.clone(), key.clone()))
    }

    /// The row that remembers the answer; to be written with what the command does.
    pub(crate) fn remember(self, response: &Response) -> Option<Write> {
        let (command_id, fingerprint) = self.record?;
        Some(Write::Command(Box::new(CommandRecord {
            command_id,
            principal: self.principal.id,
            fingerprint,
            response: response.clone(),
            at: self.at,
        })))
    }
}

#[cfg(test)]
impl NewCommand {
    /// A command as [`Command::begin`] would give it.
    pub(crate) fn of(principal: &Principal, key: Option<&str>) -> Self {
        let record = key.map(|key| (CommandId::new(key).unwrap(), "fingerprint".to_owned()));
        Self { record, principal: principal.clone(), at: lanyard_protocol::Timestamp::default() }
    }
}
