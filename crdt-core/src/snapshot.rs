//! A document's content and version at one moment, without its identity.
//!
//! Taking one copies nothing: a snapshot shares the document's tables, and a later write copies
//! the small table that it touches. So a slow reader never holds up a writer.
//! Encoding one is O(n log n) wherever it runs.

use crate::codec::DecodeError;
use crate::delta::Delta;
use crate::digest::Digest;
use crate::document::ApplyError;
use crate::frontier::Frontier;
use crate::head::Head;
use crate::id::ReplicaId;
use crate::read::MapRef;
use crate::state::{ReissueError, State};
use crate::version::VersionVector;

/// A whole document at one version. Cloning is O(1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    state: State,
}

impl Snapshot {
    /// Returns the empty document at the empty version.
    #[must_use]
    pub fn empty() -> Self {
        Self { state: State::default() }
    }

    pub(crate) fn from_state(state: State) -> Self {
        Self { state }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn into_state(self) -> State {
        self.state
    }

    /// Returns the version at which it was taken. O(replicas).
    #[must_use]
    pub fn version(&self) -> VersionVector {
        self.state.context.version()
    }

    /// Returns the version and the chain hash of each replica at it. O(replicas).
    #[must_use]
    pub fn frontier(&self) -> Frontier {
        self.state.frontier()
    }

    /// Returns the hash of the content. O(1).
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.state.digest
    }

    /// Returns where it stands, without its content. O(replicas).
    #[must_use]
    pub fn head(&self) -> Head {
        Head { frontier: self.frontier(), digest: self.digest() }
    }

    /// Reads the content.
    #[must_use]
    pub fn root(&self) -> MapRef<'_> {
        MapRef::root(&self.state)
    }

    /// Moves the snapshot on by one delta: what a store does with a snapshot and the deltas after
    /// it, those of its own replica included. O(entries of the delta × log n).
    ///
    /// A delta that the version covers already changes nothing.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing has changed.
    pub fn apply(&mut self, delta: &Delta) -> Result<(), ApplyError> {
        if self.state.admits(delta)? {
            self.state.apply(delta, None);
        }
        Ok(())
    }

    /// Returns the document as it would be if everything that `replica` did since `at_fork` had been done
    /// by `heir`: the way out for a writer whose id somebody else has used as well. O(n).
    ///
    /// `at_fork` is this document as it was when the two histories parted. The result goes together with that
    /// of the other writer, who keeps the id, as any two documents do, and nothing of either is lost. Whoever has taken
    /// in deltas of the branch under the old name holds another document, and must not be merged with.
    ///
    /// # Errors
    /// [`ReissueError`].
    pub fn reissued(&self, replica: ReplicaId, at_fork: &Self, heir: ReplicaId) -> Result<Self, ReissueError> {
        self.state.reissued(replica, &at_fork.state, heir).map(Self::from_state)
    }

    /// Returns the same content as a document of its own, in which other ids stand for those who wrote it. O(n).
    ///
    /// Versions, counters and conflicts stay what they are, but which of several values with one timestamp wins. Equal
    /// documents give equal ones; any two others have nothing in common, and merged they hold what is in either,
    /// counters added.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self::from_state(self.state.detached())
    }

    /// Returns the canonical bytes: equal documents have equal bytes on every machine. O(n log n).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.state.encode()
    }

    /// Reads a snapshot; every byte must belong to it. O(bytes).
    ///
    /// Bytes that are refused make it allocate at most twice their length; otherwise that is allowed
    /// on top of twice the snapshot itself.
    ///
    /// # Errors
    /// [`DecodeError`] for whatever [`encode`](Self::encode) would not have written, damage included.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        State::decode(bytes).map(Self::from_state)
    }
}
