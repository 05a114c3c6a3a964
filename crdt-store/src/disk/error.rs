//! Why an operation on a store's folder failed, one type an operation.

use std::fmt;
use std::io;
use std::sync::Arc;

use crdt_core::ReplicaId;
use thiserror::Error;

use super::fault::Fault;
use super::row::FORMAT;
use super::rows::RowsError;

/// Who has a store open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The process, where the system lets others read it.
    pub pid: Option<u32>,
    /// How to reach it, if it has [said so](crate::DiskStore::announce).
    pub note: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}")?,
            None => write!(f, "another process")?,
        }
        match &self.note {
            Some(note) => write!(f, ", at {note}"),
            None => Ok(()),
        }
    }
}

/// Why a store could not be opened. No document has changed in any of these cases.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DiskOpenError {
    /// Another process, or another part of this one, has it open. Ask the holder, or end it.
    #[error("the store is open already: {holder}")]
    Held {
        /// Who that is.
        holder: Holder,
    },
    /// A newer version of this library wrote it. Update this one.
    #[error("the store has format {found}, this version knows {FORMAT}: update it")]
    FormatTooNew {
        /// The format of the store.
        found: u32,
    },
    /// The store belongs, and has belonged, to other ids than the one asked for.
    #[error("the store belongs to replica {owner}")]
    OtherReplica {
        /// Whose it is.
        owner: ReplicaId,
    },
    /// It holds bytes that were never written so. Restore a backup; peers bring the rest.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The folder, or the disk: it cannot be read or written, or is full. Mend it and try again.
    #[error("the store cannot be read or written: {0}")]
    Io(Arc<io::Error>),
}

impl From<io::Error> for DiskOpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<Fault> for DiskOpenError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io(error) => error.into(),
            Fault::Damaged(what) => Self::Damaged(what),
            // Only a database that has failed before says so, and this one has just been opened.
            Fault::Busy | Fault::Poisoned => io::Error::other(fault.to_string()).into(),
        }
    }
}

impl From<RowsError> for DiskOpenError {
    fn from(error: RowsError) -> Self {
        match error {
            RowsError::FormatTooNew(found) => Self::FormatTooNew { found },
            RowsError::Fault(fault) => fault.into(),
        }
    }
}
