//! Why an operation on a store's folder failed, one type an operation.

use std::fmt;
use std::io;
use std::sync::Arc;

use crdt_core::ReplicaId;
use thiserror::Error;

use super::fault::Fault;
use super::row::FORMAT;
use super::rows::RowsError;
use crate::store::StoreError;

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
    /// A newer version of this library wrote it, and nothing has changed. Update this one.
    #[error("the store has format {found}, this version knows {FORMAT}: update it")]
    FormatTooNew {
        /// The format of the store.
        found: u32,
    },
    /// An older version of this library wrote it, and this one does not read what that one wrote. Nothing has changed:
    /// open it with the version that wrote it, and write what is in its documents into a new store with this one. No
    /// release has ever written format 1; the builds that did do not speak with this one, so documents cannot be synced
    /// over.
    #[error("the store has format {found}, this version reads {FORMAT} alone: open it with the version that wrote it")]
    FormatTooOld {
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
            RowsError::FormatTooOld(found) => Self::FormatTooOld { found },
            RowsError::Fault(fault) => fault.into(),
        }
    }
}

/// Why a backup could not be written. There is no file of that name that was not there before.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A file of that name is there already. Choose another, or remove it.
    #[error("the file exists already")]
    Exists,
    /// The store has failed or was closed since the backup was begun. Open it and begin again.
    #[error("the store was closed before the backup was written")]
    Closed,
    /// The store holds bytes that were never written so; an earlier backup is worth more.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The disk: it cannot be read or written, or is full.
    #[error("the backup cannot be written: {0}")]
    Io(Arc<io::Error>),
}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists,
            _ => Self::Io(Arc::new(error)),
        }
    }
}

impl From<Fault> for BackupError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io(error) => error.into(),
            Fault::Damaged(what) => Self::Damaged(what),
            Fault::Busy | Fault::Poisoned => Self::Closed,
        }
    }
}

/// Why no store could be made of a backup. The folder holds no store.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The folder holds a store, which is left as it is. Choose another folder, or remove it.
    #[error("the folder holds a store already")]
    Occupied,
    /// The folder is in use.
    #[error("the folder is in use: {holder}")]
    Held {
        /// By whom.
        holder: Holder,
    },
    /// A newer version of this library wrote the backup. Update this one.
    #[error("the backup has format {found}, this version knows {FORMAT}: update it")]
    FormatTooNew {
        /// The format of the backup.
        found: u32,
    },
    /// An older version of this library wrote the backup. Restore it with that one, and see
    /// [`DiskOpenError::FormatTooOld`] for what to do then; the backup is as it was.
    #[error(
        "the backup has format {found}, this version reads {FORMAT} alone: restore it with the version that wrote it"
    )]
    FormatTooOld {
        /// The format of the backup.
        found: u32,
    },
    /// The file is no backup, or a damaged one. Take another.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// The backup cannot be read, or the folder cannot be written.
    #[error("the backup cannot be read or the store not written: {0}")]
    Io(Arc<io::Error>),
}

impl From<DiskOpenError> for RestoreError {
    fn from(error: DiskOpenError) -> Self {
        match error {
            DiskOpenError::Held { holder } => Self::Held { holder },
            DiskOpenError::FormatTooNew { found } => Self::FormatTooNew { found },
            DiskOpenError::FormatTooOld { found } => Self::FormatTooOld { found },
            DiskOpenError::Damaged(what) => Self::Damaged(what),
            DiskOpenError::Io(error) => Self::Io(error),
            DiskOpenError::OtherReplica { .. } => Self::Damaged(error.to_string()),
        }
    }
}

impl From<io::Error> for RestoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

/// Why a store could not be found whole. Nothing has changed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The folder holds no store.
    #[error("the folder holds no store")]
    Missing,
    /// The store is open elsewhere. Ask its holder to check it, or end it.
    #[error("the store is open already: {holder}")]
    Held {
        /// By whom.
        holder: Holder,
    },
    /// A newer version of this library wrote it, and nothing has changed. Update this one.
    #[error("the store has format {found}, this version knows {FORMAT}: update it")]
    FormatTooNew {
        /// The format of the store.
        found: u32,
    },
    /// An older version of this library wrote it. Verify it with that one; see [`DiskOpenError::FormatTooOld`].
    #[error(
        "the store has format {found}, this version reads {FORMAT} alone: verify it with the version that wrote it"
    )]
    FormatTooOld {
        /// The format of the store.
        found: u32,
    },
    /// Something is not as it was written. Restore a backup; peers bring the rest.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The disk cannot be read.
    #[error("the store cannot be read: {0}")]
    Io(Arc<io::Error>),
    /// The store has failed before. Open it again.
    #[error("the store has failed before")]
    Poisoned,
}

impl From<DiskOpenError> for VerifyError {
    fn from(error: DiskOpenError) -> Self {
        match error {
            DiskOpenError::Held { holder } => Self::Held { holder },
            DiskOpenError::FormatTooNew { found } => Self::FormatTooNew { found },
            DiskOpenError::FormatTooOld { found } => Self::FormatTooOld { found },
            DiskOpenError::Damaged(what) => Self::Damaged(what),
            DiskOpenError::Io(error) => Self::Io(error),
            DiskOpenError::OtherReplica { .. } => Self::Damaged(error.to_string()),
        }
    }
}

impl From<io::Error> for VerifyError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

/// Why a store could not be compacted.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum CompactError {
    /// A backup is being written, and needs the pages where they are. Wait for it; nothing has changed.
    #[error("a backup is being written")]
    Busy,
    /// The store has failed, as in any other operation.
    #[error(transparent)]
    Store(#[from] StoreError),
}
