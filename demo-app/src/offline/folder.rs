//! Opens the folder of a replica, and says what stands in the way in words that tell what to do.
//!
//! Which commands may make a folder? Those that put something in. The others would answer a typing
//! error in the path with an empty cart, which looks like a loss; they want a store to be there.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crdt_core::ReplicaId;
use crdt_net::{DiskOpenError, Identity, OpenError as NetOpenError, Options, Renewal, Replica, StoreError};
use crdt_store::{BackupError, Continuity, DiskOptions, DiskStore, Holder, RestoreError, VerifyError};
use thiserror::Error;

/// The file in a folder that holds everything; see docs/storage.md.
const STORE_FILE: &str = "store.redb";

/// A replica open on its folder.
#[derive(Debug)]
pub struct Open<T> {
    /// What does the work: a [`Replica`] or a [`DiskStore`].
    pub inner: T,
    /// That the store has taken a new identity on this opening, if it has. Say so to the user.
    pub renewed: Option<Renewed>,
}

/// A store has taken a new identity: it was copied, restored, or set back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Whose dots are spent from here on.
    pub replica: ReplicaId,
    /// Under which id the store was written before.
    pub former: Option<ReplicaId>,
    /// What spoke against keeping that one.
    pub reason: Renewal,
}

impl fmt::Display for Renewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replica, reason, .. } = self;
        write!(f, "this replica goes on as {replica}, because {reason}; everything written before stays")?;
        if reason.is_doubt() {
            let advice = "`cart --data DIR moved` as the first command keeps the identity";
            write!(f, " (next time a folder is moved, and no copy of it stays in use: {advice})")?;
        }
        Ok(())
    }
}

/// Why the carts in a folder cannot be reached, or an operation on the whole folder failed. Nothing in
/// the folder has changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FolderError {
    /// There is no store in the folder; look for a typing error in the path.
    #[error("{} holds no carts; `cart --data {} add SKU` would begin some", folder.display(), folder.display())]
    Missing {
        /// The folder asked for.
        folder: PathBuf,
    },
    /// Another process has the folder open.
    #[error("{}", HeldText { folder, holder })]
    Held {
        /// The folder asked for.
        folder: PathBuf,
        /// Who has it, and how to reach it.
        holder: Holder,
    },
    /// The folder is to be made, and holds a store already.
    #[error("{} holds carts already, which are left as they are; restore into another folder", folder.display())]
    Occupied {
        /// The folder asked for.
        folder: PathBuf,
    },
    /// The store, or the backup, is damaged or of another format, or the disk is at fault; see the source.
    #[error("{} cannot be used", path.display())]
    Unusable {
        /// The folder, or the backup.
        path: PathBuf,
        /// What exactly is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl FolderError {
    fn unusable(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unusable { path: path.to_owned(), source: source.into() }
    }

    fn held(folder: &Path, holder: Holder) -> Self {
        Self::Held { folder: folder.to_owned(), holder }
    }

    /// Says why a folder cannot be opened on disk.
    pub(crate) fn of_open(folder: &Path, error: DiskOpenError) -> Self {
        match error {
            DiskOpenError::Held { holder } => Self::held(folder, holder),
            error => Self::unusable(folder, error),
        }
    }

    /// Says why a replica cannot be opened.
    pub(crate) fn of_replica(folder: &Path, error: NetOpenError) -> Self {
        match error {
            NetOpenError::Disk(error) => Self::of_open(folder, error),
            error => Self::unusable(folder, error),
        }
    }

    /// Says why a folder cannot be checked.
    pub(crate) fn of_verify(folder: &Path, error: VerifyError) -> Self {
        match error {
            VerifyError::Missing => Self::Missing { folder: folder.to_owned() },
            VerifyError::Held { holder } => Self::held(folder, holder),
            error => Self::unusable(folder, error),
        }
    }

    /// Says why a folder cannot be made of a backup.
    pub(crate) fn of_restore(backup: &Path, folder: &Path, error: RestoreError) -> Self {
        match error {
            RestoreError::Occupied => Self::Occupied { folder: folder.to_owned() },
            RestoreError::Held { holder } => Self::held(folder, holder),
            error => Self::unusable(backup, error),
        }
    }

    /// Says why a backup cannot be written.
    pub(crate) fn of_backup(backup: &Path, error: BackupError) -> Self {
        Self::unusable(backup, error)
    }

    /// Says why a store cannot be read.
    pub(crate) fn of_store(folder: &Path, error: StoreError) -> Self {
        Self::unusable(folder, error)
    }

    /// Says that what a store holds makes no sense to a reader of documents.
    pub(crate) fn of_content(folder: &Path, error: crdt_core::ApplyError) -> Self {
        Self::unusable(folder, error)
    }

    /// Says that the system does not let us see the folder.
    pub(crate) fn of_io(folder: &Path, error: io::Error) -> Self {
        Self::unusable(folder, error)
    }
}

/// Who has a folder, and what to do instead of waiting.
struct HeldText<'a> {
    folder: &'a Path,
    holder: &'a Holder,
}

impl fmt::Display for HeldText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is open in ", self.folder.display())?;
        match self.holder.pid {
            Some(pid) => write!(f, "process {pid}")?,
            None => f.write_str("another process")?,
        }
        match &self.holder.note {
            // Several addresses reach one replica: the first will do for the advice.
            Some(note) => {
                let url = note.split(' ').next().unwrap_or(note);
                write!(f, ", which can be reached at {note}; ")?;
                write!(f, "keep a folder of your own and meet it there: cart --data OTHER sync {url}")
            }
            None => f.write_str("; try again when that has ended, or use a folder of your own"),
        }
    }
}

/// Opens the replica in a folder, which is made if there is none.
///
/// # Errors
/// [`FolderError`].
pub async fn open_or_make(options: Options, folder: &Path) -> Result<Open<Replica>, FolderError> {
    let replica = Replica::open(options).await.map_err(|error| FolderError::of_replica(folder, error))?;
    let renewed = replica.identity().and_then(renewed);
    Ok(Open { inner: replica, renewed })
}

/// Opens the replica in a folder that must hold one.
///
/// # Errors
/// [`FolderError`].
pub async fn open(folder: &Path) -> Result<Open<Replica>, FolderError> {
    expect_store(folder)?;
    open_or_make(Options::at(folder), folder).await
}

/// Opens the bare store in a folder that must hold one: for those who look beneath the documents.
///
/// # Errors
/// [`FolderError`].
pub fn open_store(folder: &Path) -> Result<Open<DiskStore>, FolderError> {
    open_store_by(folder, Continuity::Prove)
}

/// Opens the bare store in a folder that must hold one, by proof that it may keep its identity or on the word of
/// whoever asks.
pub(crate) fn open_store_by(folder: &Path, continuity: Continuity) -> Result<Open<DiskStore>, FolderError> {
    expect_store(folder)?;
    let mut options = DiskOptions::default();
    options.continuity = continuity;
    let opened = DiskStore::open(folder, options);
    let store = opened.map_err(|error| FolderError::of_open(folder, error))?;
    let renewed = renewed(store.identity());
    Ok(Open { inner: store, renewed })
}

/// Returns how many bytes of disk a folder's store takes.
pub(crate) fn file_bytes(folder: &Path) -> Result<u64, FolderError> {
    let file = std::fs::metadata(folder.join(STORE_FILE));
    file.map(|file| file.len()).map_err(|error| FolderError::of_io(folder, error))
}

fn expect_store(folder: &Path) -> Result<(), FolderError> {
    match folder.join(STORE_FILE).try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(FolderError::Missing { folder: folder.to_owned() }),
        Err(error) => Err(FolderError::of_io(folder, error)),
    }
}

/// Says that an opening took a new identity, if it did.
pub(crate) fn renewed(identity: &Identity) -> Option<Renewed> {
    let reason = identity.renewed?;
    Some(Renewed { replica: identity.replica, former: identity.former.last().copied(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(pid: Option<u32>, note: Option<&str>) -> String {
        let mut holder = Holder::default();
        (holder.pid, holder.note) = (pid, note.map(str::to_owned));
        FolderError::held(Path::new("shop"), holder).to_string()
    }

    #[test]
    fn a_holder_that_listens_is_named_with_what_to_do() {
        let text = held(Some(7), Some("ws://127.0.0.1:1 ws://[::1]:2"));
        assert_eq!(
            text,
            "shop is open in process 7, which can be reached at ws://127.0.0.1:1 ws://[::1]:2; \
             keep a folder of your own and meet it there: cart --data OTHER sync ws://127.0.0.1:1"
        );
    }

    #[test]
    fn a_holder_that_does_not_is_waited_for() {
        let text = held(None, None);
        assert_eq!(text, "shop is open in another process; try again when that has ended, or use a folder of your own");
    }
}
