//! Where a document stands, without its content: enough to tell whether two copies are the same.
//!
//! What can be said of a document that is not in memory? Equal versions mean equal states (Invariant 1),
//! so its frontier says whether a peer lacks something, and its digest whether both have come to the same by it.
//! Everything else needs the content.

use crate::digest::Digest;
use crate::frontier::Frontier;
use crate::version::VersionVector;

/// The frontier of a document and the hash of its content: 32 bytes a replica, whatever the document holds.
///
/// ```
/// use crdt_core::{Document, Head, ReplicaId};
///
/// let mut cart = Document::new(ReplicaId::from_u128(1));
/// assert_eq!(cart.head(), Head::default());
/// let mut tx = cart.transact(0);
/// tx.counter("apples").add(2)?;
/// assert!(tx.commit().is_some());
/// assert_eq!(cart.head(), cart.snapshot().head());
/// assert_eq!(cart.head().version(), cart.version());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Which transactions are in, and by which history.
    pub frontier: Frontier,
    /// The hash of what they have left.
    pub digest: Digest,
}

impl Head {
    /// Tells whether it is that of a document in which nobody has ever written anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frontier.iter().len() == 0
    }

    /// Returns the version alone. O(replicas).
    #[must_use]
    pub fn version(&self) -> VersionVector {
        self.frontier.version()
    }
}
