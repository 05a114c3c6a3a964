//! What every store promises, and what may go wrong.
//!
//! How do many writes share one sync of a disk? A write is only *staged* by [`Store::append`] or
//! [`Store::replace`]; [`Store::sync`] makes everything staged durable at once, all of it or nothing. So
//! whoever gathers writes while the last sync is under way pays one sync for all of them.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use crdt_core::{Delta, Head, ReplicaId, Snapshot, VersionVector};
use thiserror::Error;

/// The documents of one replica, held by their one writer.
///
/// Laws, beside what each method says:
///
/// - *Order*: what survives a crash is a prefix of the calls of `append` and `replace`, over all documents, and
///   contains every call before the last `sync` that returned `Ok`.
/// - *Loading* returns what was staged, synced or not, in the order in which it was staged.
/// - *Poison*: after an error other than [`StoreError::Gap`] nothing more is written, and every later call
///   returns an error; open the store again to learn what is durable.
pub trait Store: Debug + Send {
    /// Returns whose dots the holder spends.
    fn replica(&self) -> ReplicaId;

    /// Lists the ids that the store has gone by before, oldest first.
    fn former(&self) -> Vec<ReplicaId>;

    /// Lets the store go by another id from here on, which nobody may have used; durable when it returns, whatever is
    /// staged, which stays so. The id before joins the [former](Self::former) ones and the [disputed](Self::disputed)
    /// ones. Nothing happens if it goes by that id already.
    ///
    /// # Errors
    /// [`StoreError`]; which id it goes by shows when the store is opened again.
    fn renew(&mut self, replica: ReplicaId) -> Result<(), StoreError>;

    /// Lists the former ids that the store has [left](Self::renew) because another writer uses them as well, or may.
    fn disputed(&self) -> Vec<ReplicaId>;

    /// Stages a note that it is settled in a document whose dots are whose under a [disputed](Self::disputed) id.
    /// Forgotten if there is no such document.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is staged.
    fn note_settled(&mut self, document: &str, replica: ReplicaId) -> Result<(), StoreError>;

    /// Lists what was [noted as settled](Self::note_settled), sorted by document. O(documents) if any id is disputed.
    ///
    /// # Errors
    /// [`StoreError`].
    fn settled(&self) -> Result<Vec<(Arc<str>, ReplicaId)>, StoreError>;

    /// Lists the documents held, sorted by name.
    ///
    /// # Errors
    /// [`StoreError`].
    fn documents(&self) -> Result<Vec<Arc<str>>, StoreError>;

    /// Lists the documents held, sorted by name, with where each stands as far as that was
    /// [noted](Self::note_head): what need not be loaded to be known.
    ///
    /// # Errors
    /// [`StoreError`].
    fn heads(&self) -> Result<Vec<Listed>, StoreError> {
        Ok(self.documents()?.into_iter().map(|document| (document, None)).collect())
    }

    /// Stages a note of where a document stands, which must be what [`load`](Self::load) would return. A
    /// store that cannot keep notes forgets it, as every store does when the document is written to again; and so
    /// does one that holds no such document.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is staged.
    fn note_head(&mut self, document: &str, head: &Head) -> Result<(), StoreError> {
        let _ = (document, head);
        Ok(())
    }

    /// Returns what is held of a document; `None` if there is none of that name. O(its bytes).
    ///
    /// # Errors
    /// [`StoreError`]; a document that cannot be read is never shown as an empty one.
    fn load(&self, document: &str) -> Result<Option<Stored>, StoreError>;

    /// Stages a delta of a document, which is created if need be. It may rest unwritten until
    /// [`sync`](Self::sync).
    ///
    /// # Errors
    /// [`StoreError::Gap`] if the delta does not continue the version held; nothing is staged.
    fn append(&mut self, document: &str, delta: &Arc<Delta>) -> Result<Checkpoint, StoreError>;

    /// Stages that all that is held of a document gives way to a snapshot of it.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is staged.
    fn replace(&mut self, document: &str, snapshot: Snapshot) -> Result<(), StoreError>;

    /// Makes everything staged durable. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`StoreError`]; whether what was staged survives shows when the store is opened again.
    fn sync(&mut self) -> Result<(), StoreError>;
}

/// A document that a store holds: its name, and where it stands if that was noted.
pub type Listed = (Arc<str>, Option<Head>);

/// What a store holds of one document.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The document as of the last checkpoint.
    pub snapshot: Snapshot,
    /// What came after, in the order in which it was applied.
    pub deltas: Vec<Arc<Delta>>,
    /// The version after the last of them.
    pub version: VersionVector,
}

/// Whether the deltas of a document should give way to a snapshot.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// The deltas are light.
    NotDue,
    /// The deltas outweigh the bound: answer with [`Store::replace`] when convenient.
    Due,
}

/// Why a store could not read or write.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// An earlier delta of `replica` is missing, or this one is held already: the writer's fault. Nothing has changed.
    #[error("the delta does not continue the version held: {have} of replica {replica}")]
    Gap {
        /// Whose counter does not fit.
        replica: ReplicaId,
        /// How many of its transactions are held.
        have: u64,
    },
    /// The disk's: it cannot be read or written, or is full. What was durable still is; mend it and open the store
    /// again.
    #[error("the disk cannot be read or written: {0}")]
    Io(Arc<io::Error>),
    /// The file's: it holds bytes that were never written so. Restore a backup; peers bring the rest.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// An earlier error has ended this store. Open it again.
    #[error("the store has failed before, and takes nothing more until it is opened again")]
    Poisoned,
}

impl StoreError {
    /// Checks that a delta continues a version. A coalesced one may begin before it, never behind it, and must bring
    /// something new.
    pub(crate) fn check_continues(version: &VersionVector, delta: &Delta) -> Result<(), Self> {
        let is_covered = delta.is_covered_by(version);
        for range in delta.ranges() {
            let have = version.counter(range.replica);
            if range.after > have || is_covered {
                return Err(Self::Gap { replica: range.replica, have });
            }
        }
        Ok(())
    }
}
