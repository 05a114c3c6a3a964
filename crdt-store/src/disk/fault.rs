//! What goes wrong below the store, before it is told as the error of one operation.
//!
//! redb trusts a file that was closed cleanly, and a damaged one can make it panic. How does that become an error?
//! Everything that calls it runs under [`guarded`], which turns a panic into damage; whoever owns the database then
//! never writes to it again (the gate in [`base`](super::base)).

use std::any::Any;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crdt_core::DecodeError;
use thiserror::Error;

use crate::store::StoreError;

/// Why something below the store failed.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Damaged(String),
    #[error("the store has failed before")]
    Poisoned,
    /// A reader is in the way of something that needs the file alone.
    #[error("a backup is being written")]
    Busy,
}

impl Fault {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    /// Bytes that do not decode, of `what`.
    pub(super) fn decode(what: &str, error: DecodeError) -> Self {
        Self::Damaged(format!("{what}: {error}"))
    }

    pub(super) fn into_store_error(self) -> StoreError {
        match self {
            Self::Io(error) => StoreError::Io(Arc::new(error)),
            Self::Damaged(what) => StoreError::Damaged(what),
            Self::Busy => {
                StoreError::Io(Arc::new(io::Error::new(ErrorKind::ResourceBusy, "a backup is being written")))
            }
            Self::Poisoned => StoreError::Poisoned,
        }
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        match error {
            // What redb says of a file that is none of its own, and of one that ends too early.
            redb::Error::Io(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
                Self::Damaged(error.to_string())
            }
            redb::Error::Io(error) => Self::Io(error),
            redb::Error::Backend(error) => Self::Io(io::Error::other(error)),
            redb::Error::Unsupported => Self::Io(ErrorKind::Unsupported.into()),
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => Self::Poisoned,
            redb::Error::ValueTooLarge(_) => Self::Io(ErrorKind::FileTooLarge.into()),
            redb::Error::DatabaseAlreadyOpen => Self::Io(ErrorKind::ResourceBusy.into()),
            redb::Error::TransactionInProgress => Self::Busy,
            other => Self::Damaged(other.to_string()),
        }
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}
from_redb!(CommitError, CompactionError, DatabaseError, SetDurabilityError, StorageError, TableError, TransactionError);

/// Runs what calls redb, and turns a panic inside it into damage.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // Unwind safe because nothing that the call has touched is used again: a fault closes the gate for good,
    // and what is dropped later is dropped under this guard.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(Fault::Damaged(describe(panic.as_ref()))))
}

fn describe(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a check of the database failed: {}", message.unwrap_or("without a message"))
}
