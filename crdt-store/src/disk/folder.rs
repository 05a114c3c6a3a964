//! The folder of a store: making one, making one of a backup, and settling under which id it goes on.
//!
//! How is a store never half made? Its file is written and closed under another name, under the lock; then the
//! witness, which knows the file by its inode; the name comes last.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crdt_core::ReplicaId;
use rand::TryRng;
use rand::rngs::SysRng;
use redb::backends::FileBackend;
use tracing::{info, warn};

use super::error::DiskOpenError;
use super::fault::Fault;
use super::files::{self, FileMark};
use super::identity::{self, Continued};
use super::lock::{Attempt, Lock};
use super::overlay::Overlay;
use super::row::{IdentityRow, Seal};
use super::rows::Rows;
use super::verify::{self, Verified};
use super::witness::{Place, Record, Witness};
use super::{Continuity, DiskOptions, backup};

pub(super) const STORE_FILE: &str = "store.redb";
pub(super) const WITNESS_FILE: &str = "witness";
pub(super) const LOCK_FILE: &str = "lock";

/// A folder that is ours.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    pub(super) lock: Lock,
}

impl Folder {
    /// Takes the folder, which is made if it is missing.
    pub(super) fn take(path: &Path) -> Result<Self, DiskOpenError> {
        let lock = path.join(LOCK_FILE);
        // A lock that is there was made in a folder whose name was durable.
        if !lock.try_exists()? {
            files::make_folder(path)?;
        }
        match Lock::attempt(&lock)? {
            Attempt::Taken(lock) => Ok(Self { path: path.to_path_buf(), lock }),
            Attempt::HeldBy(holder) => Err(DiskOpenError::Held { holder }),
        }
    }

    pub(super) fn store(&self) -> PathBuf {
        self.path.join(STORE_FILE)
    }

    pub(super) fn witness(&self) -> PathBuf {
        self.path.join(WITNESS_FILE)
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.path.join("store.tmp")
    }

    /// Removes what a crash in the middle of a creation has left.
    pub(super) fn remove_stale(&self) -> io::Result<()> {
        files::remove_stale(&self.temporary())?;
        files::remove_stale(&self.witness().with_extension("tmp"))
    }

    /// Makes an empty store. The witness comes before the name: a store that has one is whole.
    pub(super) fn create(&self, options: &DiskOptions, machine: u64) -> Result<(), DiskOpenError> {
        let row = fresh_identity(options)?;
        let seal = row.seal;
        let file = files::private().create_new(true).open(self.temporary())?;
        let place = Place { file: FileMark::of(&file)?, machine };
        let backend = FileBackend::new(file.try_clone()?).map_err(Fault::from)?;
        let rows = Rows::create(backend, options.limits(), row)?;
        let commits = rows.commits();
        rows.close()?;
        file.sync_all()?;
        Witness::create(&self.witness(), Record { seals: [seal; 2], place }, commits)?;
        fs::rename(self.temporary(), self.store())?;
        files::sync_folder(&self.path)?;
        info!(folder = %self.path.display(), "made a new store");
        Ok(())
    }

    /// Makes a store of a backup.
    pub(super) fn restore(&self, backup: &Path) -> Result<Verified, DiskOpenError> {
        backup::copy_file(backup, &self.temporary())?;
        // Checked before redb opens it for writing, which a damaged file might not survive.
        let (verified, _) = verify::file(&self.temporary())?;
        let file = files::private().open(self.temporary())?;
        let backend = FileBackend::new(file.try_clone()?).map_err(Fault::from)?;
        let mut rows = Rows::open(Overlay::holding(backend)?, DiskOptions::default().limits())?;
        // It is marked already, unless somebody took the file of a store for a backup.
        rows.set_identity(IdentityRow { is_backup: true, ..rows.identity().clone() })?;
        rows.close()?;
        file.sync_all()?;
        files::remove_stale(&self.witness())?;
        fs::rename(self.temporary(), self.store())?;
        files::sync_folder(&self.path)?;
        info!(folder = %self.path.display(), "made a store of a backup");
        Ok(verified)
    }

    /// Proves that the store may keep its id, or gives it another; durable on return.
    pub(super) fn settle_identity(
        &self,
        rows: &mut Rows,
        continuity: Continuity,
        place: Place,
    ) -> Result<Continued, DiskOpenError> {
        let witness = Witness::open(&self.witness())?;
        let continued = match identity::judge(witness.as_ref(), rows.identity(), rows.commits(), place) {
            None => Continued::Proven,
            Some(doubt) if continuity == Continuity::Vouched && doubt.is_doubt() => Continued::Vouched(doubt),
            Some(renewal) => Continued::Renewed(renewal),
        };
        let (was, seal) = (rows.identity().clone(), random()?);
        let mut witness = match (continued, witness) {
            (Continued::Renewed(_), _) => {
                Witness::create(&self.witness(), Record { seals: [seal; 2], place }, rows.commits())?
            }
            (_, Some(mut witness)) => {
                witness.set_record(Record { seals: [was.seal, seal], place })?;
                witness
            }
            (_, None) => Witness::create(&self.witness(), Record { seals: [was.seal, seal], place }, rows.commits())?,
        };
        let mut row = IdentityRow { seal, is_backup: false, ..was.clone() };
        if let Continued::Renewed(renewal) = continued {
            row.replica = ReplicaId::from_random_bytes(random()?);
            row.former.push(was.replica);
            warn!(former = %was.replica, replica = %row.replica, %renewal, "the store takes a new id");
        }
        if let Continued::Vouched(doubt) = continued {
            warn!(replica = %row.replica, %doubt, "the store keeps its id, as the operator vouches for it");
        }
        rows.set_identity(row)?;
        if !matches!(continued, Continued::Renewed(_)) {
            witness.set_record(Record { seals: [seal; 2], place })?;
        }
        witness.note_commits(rows.commits())?;
        rows.attach(witness);
        Ok(continued)
    }
}

pub(super) fn fresh_identity(options: &DiskOptions) -> io::Result<IdentityRow> {
    let replica = match options.replica {
        Some(replica) => replica,
        None => ReplicaId::from_random_bytes(random()?),
    };
    Ok(IdentityRow { replica, seal: random()?, is_backup: false, former: Vec::new(), disputed: Vec::new() })
}

pub(super) fn random() -> io::Result<Seal> {
    let mut bytes = [0; 16];
    SysRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}
