//! What can go wrong in calls of the application.

use crdt_core::{ApplyError, Head};
use thiserror::Error;

/// A document could not be opened. The endpoint is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// As many documents are known as [`Config::documents_max`](crate::Config::documents_max) allows.
    #[error("{max} documents are open already")]
    TooManyDocuments {
        /// The limit.
        max: usize,
    },
    /// The store's fault: a stored delta does not follow on what was stored before it. The
    /// document is damaged; restore it from a peer, under a new replica id.
    #[error("stored delta {index} does not apply: {error}")]
    Stored {
        /// Which of the deltas, from 0.
        index: usize,
        /// Why it does not apply.
        error: ApplyError,
    },
    /// The store's fault, or its caller's: what it holds of a document at rest is not what it held when
    /// the document was put to rest, or said to be.
    #[error("the store holds the document at {found:?}, not at {known:?}")]
    OtherContent {
        /// Where the document stands, as far as is known.
        known: Box<Head>,
        /// Where that stands which the store has.
        found: Box<Head>,
    },
}

/// A local transaction failed. The document is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransactError<E> {
    /// The document was not open and could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The document is at rest: [wake](crate::Endpoint::wake) it, and try again when it is loaded.
    #[error("the document is not in memory")]
    AtRest,
    /// The caller's edit failed and was rolled back.
    #[error("the edit failed: {0}")]
    Edit(E),
}
