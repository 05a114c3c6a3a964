//! Checks a folder as a whole, copies it into one file, makes a folder of such a file, and keeps the identity of one
//! that was moved.

use std::path::Path;

use crdt_core::ReplicaId;
use crdt_store::{Continuity, DiskStore, Store, Verified};
use serde::Serialize;

use crate::offline::folder::{self, FolderError, Open, Renewed};

/// What was found whole. Serialises to the object that `--json` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// How many documents.
    pub documents: u64,
    /// How many deltas beside their snapshots.
    pub deltas: u64,
    /// The bytes of the snapshots.
    pub snapshot_bytes: u64,
    /// The bytes of the deltas.
    pub delta_bytes: u64,
    /// The bytes of the file.
    pub file_bytes: u64,
}

impl From<Verified> for Checked {
    fn from(verified: Verified) -> Self {
        Self {
            documents: verified.documents,
            deltas: verified.deltas,
            snapshot_bytes: verified.snapshot_bytes,
            delta_bytes: verified.delta_bytes,
            file_bytes: verified.file_bytes,
        }
    }
}

/// Reads and checks every byte of a folder's store: pages, checksums, documents. Changes nothing.
///
/// # Errors
/// [`FolderError`]; damage is in its source.
pub fn verify(folder: &Path) -> Result<Checked, FolderError> {
    DiskStore::verify(folder).map(Checked::from).map_err(|error| FolderError::of_verify(folder, error))
}

/// Writes all carts into one new file, and returns its length in bytes.
///
/// # Errors
/// [`FolderError`]; there is no such file then that was not there before.
pub fn back_up(folder: &Path, file: &Path, notice: &mut dyn FnMut(Renewed)) -> Result<u64, FolderError> {
    let Open { inner: store, renewed } = folder::open_store(folder)?;
    renewed.into_iter().for_each(notice);
    let backup = store.start_backup().map_err(|error| FolderError::of_store(folder, error))?;
    backup.write_to(file).map_err(|error| FolderError::of_backup(file, error))
}

/// Makes a folder of a backup. Its first opening takes a new identity: the one that the backup was taken
/// of goes on under the old.
///
/// # Errors
/// [`FolderError`]; the folder holds no store then that it did not hold before.
pub fn restore(file: &Path, folder: &Path) -> Result<Checked, FolderError> {
    let restored = DiskStore::restore(file, folder);
    restored.map(Checked::from).map_err(|error| FolderError::of_restore(file, folder, error))
}

/// What became of the identity of a folder that was moved. Serialises to the object that `--json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "identity", rename_all = "lowercase")]
pub enum Moved {
    /// It is proven, so there was nothing to vouch for: the folder was moved within a file system or not at all, or
    /// another command has opened it since the move.
    Proven {
        /// Under which id the folder goes on.
        replica: ReplicaId,
    },
    /// It was doubtful, and is kept.
    Vouched {
        /// Under which id the folder goes on.
        replica: ReplicaId,
        /// What spoke against it.
        although: String,
    },
    /// It cannot be kept: what the folder holds comes from a backup, or is not what was written last beside its
    /// witness.
    Renewed {
        /// Under which id the folder goes on.
        replica: ReplicaId,
        /// The id that it had.
        former: Option<ReplicaId>,
        /// What says so.
        because: String,
    },
}

/// Opens a folder on the word that it was moved to where it is and that no copy of it stays in use.
///
/// # Errors
/// [`FolderError`]; the identity is as it was then.
pub fn moved(folder: &Path) -> Result<Moved, FolderError> {
    let Open { inner: store, renewed } = folder::open_store_by(folder, Continuity::Vouched)?;
    let replica = store.replica();
    Ok(match (renewed, store.identity().vouched) {
        (Some(Renewed { former, reason, .. }), _) => Moved::Renewed { replica, former, because: reason.to_string() },
        (None, Some(doubt)) => Moved::Vouched { replica, although: doubt.to_string() },
        (None, None) => Moved::Proven { replica },
    })
}
