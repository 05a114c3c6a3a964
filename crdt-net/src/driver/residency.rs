//! Documents that are not in memory: read from the store when they are needed.
//!
//! A store reads at once here, so nobody waits: what the endpoint asks for is answered in the same turn, and a
//! caller's document is in memory before its command runs. If a document cannot be read, the replica closes; it
//! is never taken for an empty one.

use std::ops::ControlFlow;

use crdt_core::Snapshot;
use crdt_store::StoreError;
use crdt_sync::{DocumentId, Stored};
use tracing::error;

use super::Driver;

impl Driver {
    /// Takes a document into memory for a caller; breaks if the store fails.
    pub(super) fn bring(&mut self, document: &DocumentId) -> ControlFlow<()> {
        if self.endpoint.wake(self.clock.now(), document) {
            return ControlFlow::Continue(());
        }
        match self.load(document) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                error!(%error, %document, "a document cannot be read: closing");
                ControlFlow::Break(())
            }
        }
    }

    /// Reads a document at rest, unless a caller was faster.
    pub(super) fn load(&mut self, document: &DocumentId) -> Result<(), StoreError> {
        if self.endpoint.is_resident(document) {
            return Ok(());
        }
        let stored = self.store.load(document.as_str())?;
        let stored = stored.ok_or_else(|| StoreError::Damaged(format!("document {document} is not there any more")))?;
        let stored = Stored { snapshot: stored.snapshot, deltas: stored.deltas };
        let loaded = self.endpoint.loaded(self.clock.now(), document, stored);
        loaded.map_err(|error| StoreError::Damaged(format!("document {document}: {error}")))
    }

    /// Returns the content of a document that was brought into memory.
    pub(super) fn snapshot(&self, document: &DocumentId) -> Snapshot {
        self.endpoint.document(document).map_or_else(Snapshot::empty, |document| document.snapshot())
    }

    /// Lets snapshots take the place of deltas that have become heavy. Right behind a sync, so that each
    /// document is still in memory.
    pub(super) fn checkpoint(&mut self) -> Result<(), StoreError> {
        for document in std::mem::take(&mut self.checkpoints) {
            // Every write that the endpoint asked for is in the store, so this adds nothing to it.
            if let Some(open) = self.endpoint.document(&document) {
                self.store.replace(document.as_str(), open.snapshot())?;
            }
        }
        Ok(())
    }
}
