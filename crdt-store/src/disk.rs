//! A store on disk: one folder with one redb database for all documents of a replica.
//!
//! How does a store that writes kilobytes at a time keep documents of any size? A document is a snapshot, then a few
//! coalesced deltas (*layers*), then the latest deltas one by one (the *tail*). Writing appends to the tail; a tail
//! that is long is folded into the layers in the same commit; only when the layers outweigh the snapshot is a new
//! snapshot due. Opening reads the rows of the documents and nothing of their content; a row may tell where its
//! document stands, so that this need not be loaded either.
//!
//! How does a store know that it may go on under its id? A witness beside it remembers which file it was, on which
//! machine, and how far it had come; see [`Identity`].
//!
//! Every table and byte stands in docs/storage.md, the choice of redb in docs/decisions/0007-durable-store.md.

mod backup;
mod base;
mod error;
mod fault;
mod files;
mod fold;
mod folder;
mod identity;
mod lock;
mod overlay;
mod read;
mod row;
mod rows;
mod table;
#[cfg(test)]
mod tests;
mod verify;
mod witness;
mod write;

use std::io;
use std::path::Path;
use std::sync::Arc;

use crdt_core::{Delta, Head, ReplicaId, Snapshot};
use redb::StorageBackend;
use redb::backends::FileBackend;
use tracing::{debug, info};

use crate::store::{Checkpoint, Listed, Store, StoreError, Stored};

pub use self::backup::Backup;
pub use self::error::{BackupError, CompactError, DiskOpenError, Holder, RestoreError, VerifyError};
pub use self::identity::{Identity, Renewal};
pub use self::verify::Verified;

use self::fault::Fault;
use self::files::FileMark;
use self::folder::{Folder, STORE_FILE, fresh_identity};
use self::identity::Continued;
use self::overlay::Overlay;
use self::row::IdentityRow;
use self::rows::{Limits, Rows};
use self::witness::{Place, Witness};

/// How a store is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DiskOptions {
    /// The id that a new store takes, a random one unless given. One that exists must belong to it, or have belonged to
    /// it.
    pub replica: Option<ReplicaId>,
    /// The most memory for pages of the file; 16 MiB unless set.
    pub cache_bytes: usize,
    /// How long the deltas of a document may be that are not coalesced yet; 64 KiB unless set.
    pub tail_bytes_max: usize,
    /// Up to which length the file is checked whole on opening; 16 MiB unless set, which takes some 15 ms. Rows are
    /// checked when they are read in any case; [`DiskStore::verify`] checks a file of any length.
    pub check_bytes_max: u64,
    /// Whether the id is kept without proof.
    pub continuity: Continuity,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            replica: None,
            cache_bytes: 16 * 1024 * 1024,
            tail_bytes_max: 64 * 1024,
            check_bytes_max: 16 * 1024 * 1024,
            continuity: Continuity::default(),
        }
    }
}

impl DiskOptions {
    fn limits(&self) -> Limits {
        let tail_bytes_max = self.tail_bytes_max as u64;
        Limits { cache_bytes: self.cache_bytes, tail_bytes_max, check_bytes_max: self.check_bytes_max }
    }
}

/// What it takes for a store to keep its id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Continuity {
    /// Proof that it is the file written last, where it was written. Anything else takes a new id.
    #[default]
    Prove,
    /// The word of the operator that no other copy will ever write: for a folder carried to another machine. A store
    /// that was restored or set back takes a new id all the same.
    Vouched,
}

/// Documents of one replica, on disk.
///
/// ```
/// use crdt_core::Document;
/// use crdt_store::{DiskOptions, DiskStore, Store};
/// use std::sync::Arc;
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("cart");
/// let mut store = DiskStore::open(&folder, DiskOptions::default())?;
/// let mut cart = Document::new(store.replica());
/// let mut edit = cart.transact(0);
/// edit.counter("tea").add(2)?;
/// let delta = edit.commit().expect("something was changed").delta;
/// let _ = store.append("cart", &Arc::new(delta))?;
/// store.sync()?;
/// drop(store);
///
/// let store = DiskStore::open(&folder, DiskOptions::default())?;
/// assert_eq!(store.load("cart")?.expect("was stored").version, cart.version());
/// assert_eq!(store.replica(), cart.replica());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DiskStore {
    // Dropped in this order: the database is closed before the folder is free.
    rows: Rows,
    identity: Identity,
    folder: Option<Folder>,
}

impl DiskStore {
    /// Opens the store in a folder, or makes one. O(documents), and a few syncs of the disk.
    ///
    /// # Errors
    /// [`DiskOpenError`].
    pub fn open(folder: impl AsRef<Path>, options: DiskOptions) -> Result<Self, DiskOpenError> {
        Self::open_at(folder.as_ref(), &options, identity::machine())
    }

    fn open_at(path: &Path, options: &DiskOptions, machine: u64) -> Result<Self, DiskOpenError> {
        let folder = Folder::take(path)?;
        folder.remove_stale()?;
        if !folder.store().try_exists()? {
            folder.create(options, machine)?;
        }
        let file = files::private().open(folder.store())?;
        if file.metadata()?.len() == 0 {
            // redb would make an empty database of it.
            return Err(DiskOpenError::Damaged("the file is empty".to_owned()));
        }
        let place = Place { file: FileMark::of(&file)?, machine };
        let backend = FileBackend::new(file).map_err(Fault::from)?;
        let mut rows = Rows::open(Overlay::holding(backend)?, options.limits())?;
        check_owner(options, rows.identity())?;
        let continued = folder.settle_identity(&mut rows, options.continuity, place)?;
        let identity = Identity::of(rows.identity(), continued);
        info!(replica = %identity.replica, folder = %path.display(), "opened the store");
        Ok(Self { rows, identity, folder: Some(folder) })
    }

    /// Opens a store on a backend of redb, or makes one if the backend is empty: for simulated disks. There is no
    /// folder, so no lock and no witness: the id continues.
    ///
    /// Making one is not atomic here, as it is in a folder: what is left by a crash in the middle may never open.
    ///
    /// # Errors
    /// [`DiskOpenError`].
    pub fn open_on(backend: impl StorageBackend, options: DiskOptions) -> Result<Self, DiskOpenError> {
        let rows = if backend.len()? == 0 {
            Rows::create(backend, options.limits(), fresh_identity(&options)?)?
        } else {
            Rows::open(Overlay::holding(backend)?, options.limits())?
        };
        check_owner(&options, rows.identity())?;
        let identity = Identity::of(rows.identity(), Continued::Proven);
        Ok(Self { rows, identity, folder: None })
    }

    /// Returns who writes to this store, who has, and whether that had changed with this opening.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Tells whoever finds the folder taken how to reach the holder, in one line of at most 512 characters. Without a
    /// folder it does nothing.
    ///
    /// # Errors
    /// The lock file cannot be written; the store is as it was.
    pub fn announce(&self, text: &str) -> io::Result<()> {
        self.folder.as_ref().map_or(Ok(()), |folder| folder.lock.announce(Some(text)))
    }

    /// Begins a backup of all that is durable now. O(1); the store goes on as before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn start_backup(&self) -> Result<Backup, StoreError> {
        self.rows.reader().map(Backup::new).map_err(Fault::into_store_error)
    }

    /// Makes a store of a backup, in a folder that holds none. Its first opening takes a new id.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn restore(backup: impl AsRef<Path>, folder: impl AsRef<Path>) -> Result<Verified, RestoreError> {
        let folder = Folder::take(folder.as_ref())?;
        folder.remove_stale()?;
        if folder.store().try_exists()? {
            return Err(RestoreError::Occupied);
        }
        let temporary = folder.temporary();
        let made = folder.restore(backup.as_ref());
        if made.is_err() {
            // Best effort: the next opening tries again, and the error that led here says more.
            let _ = files::remove_stale(&temporary);
        }
        Ok(made?)
    }

    /// Reads and checks everything in a folder that is not open. O(bytes); the store is not changed.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(folder: impl AsRef<Path>) -> Result<Verified, VerifyError> {
        if !folder.as_ref().join(STORE_FILE).try_exists()? {
            return Err(VerifyError::Missing);
        }
        let folder = Folder::take(folder.as_ref())?;
        let (verified, rows) = verify::file(&folder.store()).map_err(DiskOpenError::from)?;
        let witness = Witness::open(&folder.witness())?;
        let is_same = |witness: &Witness| witness.record().seals.contains(&rows.identity().seal);
        if witness.filter(is_same).is_some_and(|witness| rows.commits() < witness.commits()) {
            return Err(VerifyError::Damaged("the latest commits are missing".to_owned()));
        }
        Ok(verified)
    }

    /// Reads and checks all that is durable, as [`verify`](Self::verify) does, while the store stays open. O(bytes).
    ///
    /// # Errors
    /// [`VerifyError`]; the store takes nothing more after [`Damaged`](VerifyError::Damaged).
    pub fn check(&mut self) -> Result<Verified, VerifyError> {
        let damage = |fault| match fault {
            Fault::Poisoned => VerifyError::Poisoned,
            fault => DiskOpenError::from(fault).into(),
        };
        let verified = verify::rows(&self.rows).map_err(damage)?;
        let Some(folder) = &self.folder else { return Ok(verified) };
        let (on_disk, rows) = verify::file(&folder.store()).map_err(DiskOpenError::from)?;
        if rows.commits() != self.rows.commits() {
            return Err(damage(self.rows.fail(Fault::damaged("the latest commits are missing"))));
        }
        Ok(on_disk)
    }

    /// Gives free pages back to the file system; tells whether any could be. O(bytes), and the store waits.
    ///
    /// # Errors
    /// [`CompactError`].
    pub fn compact(&mut self) -> Result<bool, CompactError> {
        match self.rows.compact() {
            Err(Fault::Busy) => Err(CompactError::Busy),
            outcome => outcome.map_err(|fault| fault.into_store_error().into()),
        }
    }
}

impl Store for DiskStore {
    fn replica(&self) -> ReplicaId {
        self.identity.replica
    }

    fn former(&self) -> Vec<ReplicaId> {
        self.identity.former.clone()
    }

    fn renew(&mut self, replica: ReplicaId) -> Result<(), StoreError> {
        let mut row = self.rows.identity().clone();
        if replica == row.replica {
            return Ok(());
        }
        let left = std::mem::replace(&mut row.replica, replica);
        row.former.push(left);
        row.disputed.push(left);
        self.rows.set_identity(row).map_err(Fault::into_store_error)?;
        let IdentityRow { replica, former, .. } = self.rows.identity().clone();
        self.identity = Identity { replica, former, ..self.identity };
        info!(%replica, "the store goes by another id");
        Ok(())
    }

    fn disputed(&self) -> Vec<ReplicaId> {
        self.rows.identity().disputed.clone()
    }

    fn note_settled(&mut self, document: &str, replica: ReplicaId) -> Result<(), StoreError> {
        self.rows.note_settled(document, replica).map_err(Fault::into_store_error)
    }

    fn settled(&self) -> Result<Vec<(Arc<str>, ReplicaId)>, StoreError> {
        self.rows.settled().map_err(Fault::into_store_error)
    }

    fn documents(&self) -> Result<Vec<Arc<str>>, StoreError> {
        self.rows.names().map_err(Fault::into_store_error)
    }

    fn heads(&self) -> Result<Vec<Listed>, StoreError> {
        self.rows.heads().map_err(Fault::into_store_error)
    }

    fn note_head(&mut self, document: &str, head: &Head) -> Result<(), StoreError> {
        self.rows.note_head(document, head).map_err(Fault::into_store_error)
    }

    fn load(&self, document: &str) -> Result<Option<Stored>, StoreError> {
        self.rows.load(document).map_err(Fault::into_store_error)
    }

    fn append(&mut self, document: &str, delta: &Arc<Delta>) -> Result<Checkpoint, StoreError> {
        self.rows.append(document, delta)
    }

    fn replace(&mut self, document: &str, snapshot: Snapshot) -> Result<(), StoreError> {
        debug!("a snapshot takes the place of deltas");
        self.rows.replace(document, snapshot).map_err(Fault::into_store_error)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.rows.sync().map_err(Fault::into_store_error)
    }
}

impl Identity {
    fn of(row: &IdentityRow, continued: Continued) -> Self {
        let (renewed, vouched) = match continued {
            Continued::Proven => (None, None),
            Continued::Vouched(doubt) => (None, Some(doubt)),
            Continued::Renewed(renewal) => (Some(renewal), None),
        };
        Self { replica: row.replica, former: row.former.clone(), renewed, vouched }
    }
}

fn check_owner(options: &DiskOptions, row: &IdentityRow) -> Result<(), DiskOpenError> {
    match options.replica {
        Some(replica) if replica != row.replica && !row.former.contains(&replica) => {
            Err(DiskOpenError::OtherReplica { owner: row.replica })
        }
        _ => Ok(()),
    }
}
