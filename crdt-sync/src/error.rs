//! What can go wrong in calls of the application.

use crdt_core::ApplyError;
use thiserror::Error;

/// A document could not be opened. The endpoint is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// As many documents are open as [`Config::documents_max`](crate::Config::documents_max) allows.
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
}

/// A local transaction failed. The document is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransactError<E> {
    /// The document was not open and could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The caller's edit failed and was rolled back.
    #[error("the edit failed: {0}")]
    Edit(E),
}
