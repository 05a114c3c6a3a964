//! A document: a root map and its version, held by one replica.
//!
//! The unit of atomicity, causality and replication. What changes it is a [`Transaction`] of its
//! own, a [`Delta`] of another replica, or a whole [`Snapshot`]; all three leave every invariant
//! intact or are refused with nothing changed.
//!
//! A document holds the identity of its writer, so it is not `Clone`: a clone would spend the same
//! dots for other changes. To hand the data around, take a [`Snapshot`].

use std::collections::BTreeSet;

use thiserror::Error;

use crate::changes::Changes;
use crate::clock::HybridClock;
use crate::context::TooManyReplicas;
use crate::delta::Delta;
use crate::digest::Digest;
use crate::frontier::Frontier;
use crate::head::Head;
use crate::id::{Dot, ReplicaId};
use crate::path::Path;
use crate::read::MapRef;
use crate::snapshot::Snapshot;
use crate::state::{Effects, State};
use crate::transaction::Transaction;
use crate::version::VersionVector;

mod survey;

/// Replicated data with the identity of the replica that holds it.
///
/// `==` compares what is replicated: two replicas that have applied the same transactions are equal.
///
/// ```
/// use crdt_core::{Document, ReplicaId};
///
/// let mut phone = Document::new(ReplicaId::from_u128(1));
/// let mut laptop = Document::new(ReplicaId::from_u128(2));
///
/// let mut tx = phone.transact(1_700_000_000_000);
/// tx.map("cart").counter("apples").add(2)?;
/// let committed = tx.commit().expect("something was written");
///
/// laptop.apply(&committed.delta)?;
/// assert_eq!(laptop.root().map("cart").unwrap().counter("apples"), Some(2));
/// assert_eq!(phone, laptop);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Document {
    replica: ReplicaId,
    pub(crate) state: State,
    pub(crate) clock: HybridClock,
    /// Counters in which our own entry has been reset as a whole: the next transaction takes it out.
    pub(crate) own_resets: BTreeSet<Path>,
}

impl Document {
    /// Makes an empty document for the one writer `replica`.
    #[must_use]
    pub fn new(replica: ReplicaId) -> Self {
        Self::from_snapshot(replica, Snapshot::empty())
    }

    /// Makes a document with the content and version of a snapshot. O(map keys).
    ///
    /// The caller vouches that `replica` has spent no dot beyond the snapshot's version: a backup
    /// is opened with a new id.
    #[must_use]
    pub fn from_snapshot(replica: ReplicaId, snapshot: Snapshot) -> Self {
        let state = snapshot.into_state();
        let (own_resets, clock) = survey::survey(&state, replica);
        Self { replica, state, clock, own_resets }
    }

    /// Returns who writes here.
    #[must_use]
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Returns the version: which transactions of whom are in. O(replicas).
    #[must_use]
    pub fn version(&self) -> VersionVector {
        self.state.context.version()
    }

    /// Returns the version and the chain hash of each replica at it. O(replicas).
    #[must_use]
    pub fn frontier(&self) -> Frontier {
        self.state.frontier()
    }

    /// Returns the hash of the content, kept up to date with every change. O(1).
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.state.digest
    }

    /// Returns where it stands, without its content. O(replicas).
    #[must_use]
    pub fn head(&self) -> Head {
        Head { frontier: self.frontier(), digest: self.digest() }
    }

    /// Returns the clock that stamps what is written here.
    ///
    /// It knows of stamps that are not in the content any more. A document that is opened on a snapshot does
    /// not, so whoever closes it for a while hands the clock on with [`resume_clock`](Self::resume_clock).
    #[must_use]
    pub fn clock(&self) -> &HybridClock {
        &self.clock
    }

    /// Goes on with a clock from where it was when the document was last open.
    pub fn resume_clock(&mut self, earlier: &HybridClock) {
        self.clock.resume_from(earlier);
    }

    /// Takes the content and version as of now. O(1); later writes do not show in it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::from_state(self.state.clone())
    }

    /// Reads the content.
    #[must_use]
    pub fn root(&self) -> MapRef<'_> {
        MapRef::root(&self.state)
    }

    /// Starts a transaction at a wall time in milliseconds since the Unix epoch.
    ///
    /// Nothing changes until [`Transaction::commit`]; dropping the transaction drops its edits.
    pub fn transact(&mut self, wall_ms: u64) -> Transaction<'_> {
        Transaction::begin(self, wall_ms)
    }

    /// Applies a delta of another replica. O(entries of the delta × log n), whatever the size of
    /// the document.
    ///
    /// A delta that the version covers already changes nothing.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing has changed.
    pub fn apply(&mut self, delta: &Delta) -> Result<Changes, ApplyError> {
        let own = delta.ranges().find(|range| range.replica == self.replica);
        if let Some(range) = own.filter(|range| range.through > self.state.context.counter_of(self.replica)) {
            return Err(ApplyError::OwnDot { dot: Dot::new(self.replica, range.through) });
        }
        if !self.state.admits(delta)? {
            return Ok(Changes::default());
        }
        let effects = self.state.apply(delta, Some(self.replica));
        Ok(self.absorb(effects))
    }

    /// Merges a whole state and adopts its version. O(entries of both), less what they share.
    ///
    /// # Errors
    /// [`MergeError`]; nothing has changed.
    pub fn merge(&mut self, snapshot: &Snapshot) -> Result<Changes, MergeError> {
        self.state.accepts(snapshot.state(), self.replica)?;
        let effects = self.state.merge(snapshot.state(), self.replica);
        Ok(self.absorb(effects))
    }

    pub(crate) fn absorb(&mut self, effects: Effects) -> Changes {
        self.clock.observe(effects.latest);
        self.own_resets.extend(effects.own_resets);
        effects.changes
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.state == other.state
    }
}

impl Eq for Document {}

/// Why a delta was not applied. The document is unchanged in every case.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// An earlier delta of the same replica is missing. Fetch everything after `have`.
    #[error("transactions {} to {after} of {replica} are missing", have + 1)]
    Gap {
        /// Whose transactions.
        replica: ReplicaId,
        /// The highest counter that is covered here.
        have: u64,
        /// The counter after which the delta starts.
        after: u64,
    },
    /// The delta takes out something that has not arrived here. Fetch what precedes it.
    #[error("the delta supersedes {dot}, which has not arrived here")]
    Uncovered {
        /// What is missing.
        dot: Dot,
    },
    /// The history of a replica differs from the one known here: two writers have used its id.
    /// Neither side is wrong alone; one of the writers must go on under a new id.
    #[error("two writers have used the id of {dot}: their histories differ")]
    IdentityConflict {
        /// The last transaction known here of the id in question.
        dot: Dot,
    },
    /// The delta holds a transaction of this replica that it has never made: another writer has
    /// used its id. Go on under a new id.
    #[error("another writer has used this replica's id: {dot} was never made here")]
    OwnDot {
        /// The transaction that was never made here.
        dot: Dot,
    },
    /// The document would pass the limit of replicas.
    #[error(transparent)]
    TooManyReplicas(#[from] TooManyReplicas),
}

/// Why a snapshot was not merged. The document is unchanged in every case.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The history of a replica differs from the one known here: two writers have used its id.
    #[error("two writers have used the id of {dot}: their histories differ")]
    IdentityConflict {
        /// Where both stand, with different histories.
        dot: Dot,
    },
    /// The snapshot holds a transaction of this replica that it has never made. Go on under a new id.
    #[error("another writer has used this replica's id: {dot} was never made here")]
    OwnDot {
        /// The transaction that was never made here.
        dot: Dot,
    },
    /// The document would pass the limit of replicas.
    #[error(transparent)]
    TooManyReplicas(#[from] TooManyReplicas),
}
