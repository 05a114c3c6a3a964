//! The core's part of a takeover, alone and in one thread: what no socket could make faster.

use std::time::Duration;

use crdt_benches::{Failed, ensure, replica};
use crdt_core::{Document, Snapshot};

use crate::timed;

/// How long each step of one round took.
pub(crate) struct Alone {
    pub(crate) encode: Duration,
    pub(crate) decode: Duration,
    pub(crate) merge: Duration,
}

impl Alone {
    pub(crate) fn measure(snapshot: &Snapshot) -> Result<Self, Failed> {
        let (bytes, encode) = timed(|| snapshot.encode());
        let (decoded, decode) = timed(|| Snapshot::decode(&bytes));
        let (decoded, mut document) = (decoded?, Document::new(replica(3)));
        let (merged, merge) = timed(|| document.merge(&decoded));
        ensure(!merged?.is_empty() && document.digest() == snapshot.digest(), || "the core is wrong".to_owned())?;
        Ok(Self { encode, decode, merge })
    }
}
