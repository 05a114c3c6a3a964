//! Two endpoints joined in memory: the protocol without sockets and stores.
//!
//! Every write is durable at once, and messages arrive as soon as they are sent, so all time that passes is the
//! protocol's.

use std::collections::VecDeque;

use crdt_core::{Document, Snapshot};
use crdt_sync::{Config, DocumentId, Endpoint, Input, LinkId, Now, Output, Stored};

use crate::{WALL_MS, replica};

/// The moment at which everything happens.
pub const NOW: Now = Now { monotonic_ms: 0, wall_ms: WALL_MS };

/// Two endpoints, and how many bytes of messages each has sent.
#[derive(Debug)]
pub struct Pair {
    /// Replicas 1 and 2.
    pub ends: [Endpoint; 2],
    /// The bytes of all messages that each end has sent.
    pub sent_bytes: [usize; 2],
    /// How many links there have been.
    links: u64,
    /// How many replicas there have been.
    replicas: u32,
}

/// Names the document of all benchmarks.
///
/// # Panics
/// Never: the name is short.
#[must_use]
pub fn document_id() -> DocumentId {
    DocumentId::new("document").expect("a short name")
}

fn endpoint(number: u32) -> Endpoint {
    Endpoint::new(replica(number.into()), number.into(), Config::default())
}

impl Pair {
    /// Makes two that are not linked yet. The first holds the document with this content.
    ///
    /// # Panics
    /// If the document is refused.
    #[must_use]
    pub fn apart(content: Snapshot) -> Self {
        let mut ends = [1, 2].map(endpoint);
        let stored = Stored { snapshot: content, deltas: Vec::new() };
        ends[0].open(NOW, &document_id(), Some(stored)).expect("room for one");
        Self { ends, sent_bytes: [0; 2], links: 0, replicas: 2 }
    }

    /// Links the two; nothing is carried over yet.
    pub fn link(&mut self) {
        self.links += 1;
        for (end, nonce) in self.ends.iter_mut().zip([2 * self.links, 2 * self.links + 1]) {
            end.handle(NOW, Input::LinkUp { link: LinkId(self.links), nonce });
        }
    }

    /// Ends the link: what is on its way is lost.
    pub fn cut(&mut self) {
        for end in &mut self.ends {
            end.handle(NOW, Input::LinkDown { link: LinkId(self.links) });
        }
        self.exchange(|_, _| {});
    }

    /// Puts a fresh replica in the place of the second.
    pub fn refresh(&mut self) {
        self.replicas += 1;
        self.ends[1] = endpoint(self.replicas);
    }

    /// Inserts one key into the set "s" at one end; nothing is carried over yet.
    ///
    /// # Panics
    /// If the document refuses it.
    pub fn insert(&mut self, end: usize, number: usize) {
        let key = crate::key(number);
        let write = self.ends[end].transact(NOW, &document_id(), |edit| edit.set("s").insert(key));
        write.expect("within all limits");
    }

    /// Carries messages over until nobody has anything to say. `look` sees each, with the end that sent it.
    pub fn exchange(&mut self, mut look: impl FnMut(usize, &[u8])) {
        let mut on_their_way = VecDeque::new();
        loop {
            let mut quiet = true;
            for from in 0..2 {
                while let Some(output) = self.ends[from].poll_output() {
                    quiet = false;
                    match output {
                        Output::Persist { ticket, .. } => self.ends[from].handle(NOW, Input::Persisted { ticket }),
                        Output::Transmit { bytes, .. } => on_their_way.push_back(bytes),
                        _ => {}
                    }
                }
                for bytes in on_their_way.drain(..) {
                    look(from, &bytes);
                    self.sent_bytes[from] += bytes.len();
                    self.ends[1 - from].handle(NOW, Input::Received { link: LinkId(self.links), bytes: &bytes });
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// Returns the document of one end.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn document(&self, end: usize) -> &Document {
        self.ends[end].document(&document_id()).expect("it was opened or offered")
    }

    /// Tells whether both ends hold the same.
    #[must_use]
    pub fn is_level(&self) -> bool {
        let [left, right] = [0, 1].map(|end| self.document(end));
        left.version() == right.version() && left.digest() == right.digest()
    }
}
