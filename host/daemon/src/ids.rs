//! Fresh ids and plain refusals, as handlers need them.

use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::IdError;

use crate::host::Host;

/// A fresh id of any kind.
pub(crate) fn fresh<T: TryFrom<String, Error = IdError>>(host: &Host, prefix: &str) -> Result<T, WireError> {
    T::try_from(host.ids.fresh(prefix)).map_err(|e| WireError::new(ErrorCode::InternalError, e.to_string()))
}

/// `INVALID_REQUEST` with a text.
pub(crate) fn invalid(text: impl Into<String>) -> WireError {
    WireError::new(ErrorCode::InvalidRequest, text)
}
