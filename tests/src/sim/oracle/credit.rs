//! Credit as seen from outside: what a replica has taken in on a link, and what it has given back for it.
//!
//! How can that be judged without asking the replica? Each delta and snapshot that arrives is done with once
//! its receiver holds all that is in it; until then its bytes must not come back. Which frame a credit is for
//! cannot be told, so sums are compared: never may more have been returned than is done with. Parts that are not the
//! last, and offers, are done with at once.

use crdt_core::{ReplicaId, VersionVector};
use crdt_sync::{CloseReason, FrameReader, FrameSummary, LinkId};

use super::{Broken, Check, Oracle, broken};

/// One link, one way.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Reads what arrives.
    reader: FrameReader,
    due: Vec<Due>,
    /// The beginning of a message in parts.
    parts: Vec<u8>,
    done_bytes: u64,
    returned_bytes: u64,
}

/// A frame that is not done with.
#[derive(Debug)]
struct Due {
    document: usize,
    bytes: u64,
    counters: Vec<(ReplicaId, u64)>,
}

impl Book {
    /// Takes note of a message that has arrived; `document_of` tells which one a handle of its sender is.
    pub(super) fn heard(
        &mut self,
        bytes: &[u8],
        document_of: impl Fn(u32) -> Option<usize>,
    ) -> Result<FrameSummary, CloseReason> {
        let summary = self.reader.read(bytes)?;
        match &summary {
            FrameSummary::Begin { bytes: count, .. } => self.parts = bytes[bytes.len() - count..].to_vec(),
            FrameSummary::Part { bytes: count } => self.parts.extend(&bytes[bytes.len() - count..]),
            whole => {
                self.owe(whole, bytes.len() as u64, document_of);
                return Ok(summary);
            }
        }
        match self.reader.read(&self.parts) {
            Ok(whole) => {
                self.parts.clear();
                self.owe(&whole, bytes.len() as u64, document_of);
            }
            Err(_) => self.done_bytes += bytes.len() as u64,
        }
        Ok(summary)
    }

    fn owe(&mut self, whole: &FrameSummary, bytes: u64, document_of: impl Fn(u32) -> Option<usize>) {
        let (handle, counters) = match whole {
            FrameSummary::Delta { handle, ranges, .. } => {
                (*handle, ranges.iter().map(|range| (range.replica, range.through)).collect())
            }
            FrameSummary::Snapshot { handle, version, .. } => (*handle, version.iter().collect()),
            FrameSummary::Offer { .. } => {
                self.done_bytes += bytes;
                return;
            }
            _ => return,
        };
        match document_of(handle) {
            Some(document) => self.due.push(Due { document, bytes, counters }),
            None => self.done_bytes += bytes,
        }
    }

    /// Tells whether more was returned than is done with, at these versions of the receiver's documents.
    fn is_overdrawn(&mut self, versions: &[VersionVector]) -> bool {
        let holds =
            |due: &mut Due| due.counters.iter().all(|(of, counter)| *counter <= versions[due.document].counter(*of));
        self.done_bytes += self.due.extract_if(.., holds).map(|due| due.bytes).sum::<u64>();
        self.returned_bytes > self.done_bytes
    }
}

impl Oracle {
    /// Takes note of what a message returns.
    pub fn returned(&mut self, host: usize, link: LinkId, summary: &FrameSummary) {
        let credit = match summary {
            FrameSummary::Ack { credit, .. } => *credit,
            FrameSummary::Credit { bytes } => *bytes,
            _ => 0,
        };
        if let Some(said) = self.hosts[host].said.get_mut(&link) {
            said.book.returned_bytes += credit;
        }
    }

    /// Judges what a replica has returned on a link so far, by its documents as they were last seen.
    ///
    /// # Errors
    /// The check that failed, and how.
    pub fn credit(&mut self, host: usize, link: LinkId) -> Result<(), Broken> {
        let known = &mut self.hosts[host];
        let Some(said) = known.said.get_mut(&link) else { return Ok(()) };
        if said.book.is_overdrawn(&known.versions) {
            let Book { done_bytes, returned_bytes, .. } = said.book;
            let detail = format!("host {host} has returned {returned_bytes} bytes and is done with {done_bytes}");
            return broken(Check::CreditLast, detail);
        }
        Ok(())
    }
}
