//! What redb reports, and what becomes of a batch that cannot be written.

use std::io::ErrorKind;

use lanyard_ports::journal::JournalError;

use crate::keys;
use crate::record::RecordError;
use crate::table::TableId;

/// A fault of the store file or of the disk below it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Fault(redb::Error);

macro_rules! faults {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self(error.into())
            }
        }
    )*};
}

faults!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError,
    std::io::Error
);

impl Fault {
    /// The file's content is at fault, not the machine.
    pub(crate) fn is_corruption(&self) -> bool {
        match &self.0 {
            redb::Error::Corrupted(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableDoesNotExist(_)
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::RepairAborted => true,
            redb::Error::Io(error) => {
                matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
            }
            _ => false,
        }
    }

    /// No room on the disk, by size, quota or file size limit.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(&self.0, redb::Error::Io(error) if is_disk_full(error))
    }

    /// Another process holds the file.
    pub(crate) fn is_in_use(&self) -> bool {
        matches!(self.0, redb::Error::DatabaseAlreadyOpen)
    }

    /// The table asked for is not there, as in a new file.
    pub(crate) fn is_missing_table(&self) -> bool {
        matches!(self.0, redb::Error::TableDoesNotExist(_))
    }
}

/// No room on the disk, by size, quota or file size limit.
pub(crate) fn is_disk_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Why a batch is not written.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// The batch is at fault; its neighbours are written.
    Batch(JournalError),
    /// The disk is at fault; nothing more is written.
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for Rejection {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

/// A batch that breaks an invariant.
pub(crate) fn refused(text: impl Into<String>) -> Rejection {
    Rejection::Batch(JournalError::Refused(text.into()))
}

/// A value that cannot be stored.
pub(crate) fn unstorable(table: TableId, error: &RecordError) -> Rejection {
    refused(format!("a row of {} cannot be encoded: {error}", table.name()))
}

/// A row that cannot be read back.
pub(crate) fn corrupt(table: TableId, key: &[u8], why: &dyn std::fmt::Display) -> JournalError {
    JournalError::Corrupt(format!("{}[{}]: {why}", table.name(), keys::shown(key)))
}
