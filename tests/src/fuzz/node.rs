//! An endpoint with its store, in one hand: carries out what the endpoint asks for, and checks it.

use std::collections::{BTreeMap, VecDeque};

use crdt_core::{Document, ReplicaId, Snapshot, Transaction};
use crdt_sync::{
    CloseReason, Config, DocumentId, Endpoint, Event, FrameReader, Input, LinkId, Now, Output, Stored, Ticket, Write,
};

use super::documents::still_works;

/// More outputs than one input can ask for within [`config`]: every frame of a window's bytes, with
/// events and writes.
const OUTPUTS_MAX: usize = 4_000;

/// Small limits, so that short scripts reach them: parts, snapshots, exhausted credit.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.frame_bytes_max = 4_096;
    config.chunk_bytes_max = 1_024;
    config.in_flight_bytes_max = 8_192;
    config.log_bytes_max = 600;
    config
}

/// Names a document.
pub(crate) fn id(name: &str) -> DocumentId {
    DocumentId::new(name).expect("a short name")
}

/// What an endpoint puts on a link.
#[derive(Debug)]
pub(crate) enum Sent {
    Frame(LinkId, Vec<u8>),
    Close(LinkId, CloseReason),
}

/// What one end holds of a document, to see whether it has changed.
pub(crate) type Mark = Vec<(DocumentId, u128, u64)>;

/// An endpoint and its store.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) endpoint: Endpoint,
    /// How often it has started.
    lives: u64,
    /// Everything it told the application.
    pub(crate) events: Vec<Event>,
    /// Read what it says, by link.
    readers: BTreeMap<LinkId, FrameReader>,
    store: BTreeMap<DocumentId, Stored>,
    waiting: VecDeque<(Ticket, DocumentId, Write)>,
    /// Writes become durable at once.
    pub(crate) instant: bool,
}

impl Node {
    pub(crate) fn new(replica: ReplicaId) -> Self {
        Self {
            endpoint: start(replica, 1),
            lives: 1,
            events: Vec::new(),
            readers: BTreeMap::new(),
            store: BTreeMap::new(),
            waiting: VecDeque::new(),
            instant: true,
        }
    }

    /// Tells the endpoint what has happened; returns what it sends.
    ///
    /// # Panics
    /// If it sends a frame that is above the limit or cannot be read, or does not come to rest.
    pub(crate) fn handle(&mut self, now: Now, input: Input<'_>) -> Vec<Sent> {
        self.endpoint.handle(now, input);
        self.drain(now)
    }

    /// Runs one transaction; what is refused changes nothing.
    pub(crate) fn write(
        &mut self,
        now: Now,
        document: &DocumentId,
        act: impl FnOnce(&mut Transaction<'_>),
    ) -> Vec<Sent> {
        let edit = |transaction: &mut Transaction<'_>| {
            act(transaction);
            Ok::<(), std::convert::Infallible>(())
        };
        self.endpoint.transact(now, document, edit).expect("few documents are open");
        self.drain(now)
    }

    /// Fires what is due, after which nothing may be due any more.
    pub(crate) fn fire_timers(&mut self, now: Now) -> Vec<Sent> {
        let sent = self.handle(now, Input::Timeout);
        let next = self.endpoint.poll_timeout();
        assert!(next.is_none_or(|next_ms| next_ms > now.monotonic_ms), "a timer that has fired must move on");
        sent
    }

    /// Makes the oldest write durable that is not.
    pub(crate) fn persist_one(&mut self, now: Now) -> Vec<Sent> {
        let Some((ticket, document, write)) = self.waiting.pop_front() else { return Vec::new() };
        self.keep(document, write);
        self.handle(now, Input::Persisted { ticket })
    }

    /// Makes every write durable, and from now on each at once.
    pub(crate) fn persist_all(&mut self, now: Now) -> Vec<Sent> {
        self.instant = true;
        let mut sent = Vec::new();
        while !self.waiting.is_empty() {
            sent.extend(self.persist_one(now));
        }
        sent
    }

    /// Starts anew from what is durable; the rest is lost, as in a crash. Its links have to be cut too.
    pub(crate) fn restart(&mut self, now: Now) {
        self.lives += 1;
        self.endpoint = start(self.endpoint.replica(), self.lives);
        for (id, stored) in &self.store {
            self.endpoint.open(now, id, Some(stored.clone())).expect("what was stored in order opens");
        }
        self.waiting.clear();
    }

    /// Returns what is held, except documents without content or version.
    pub(crate) fn mark(&self) -> Mark {
        let held = self.endpoint.documents().filter(|(_, document)| document.version().iter().next().is_some());
        held.map(|(id, document)| (id.clone(), document.digest().0, document.frontier().hash())).collect()
    }

    /// Insists that the store, once it is done, holds what memory holds.
    ///
    /// # Panics
    /// If not.
    pub(crate) fn check_store(&self) {
        assert!(self.waiting.is_empty(), "ask when everything is durable");
        for (id, document) in self.endpoint.documents() {
            let stored = self.store.get(id).map_or_else(Snapshot::empty, reopened);
            let stored = Document::from_snapshot(document.replica(), stored);
            assert!(stored == *document, "the store differs from its document {id:?}");
        }
    }

    /// Puts every document to use.
    ///
    /// # Panics
    /// If one does not work.
    pub(crate) fn check_documents(&self) {
        self.endpoint.documents().for_each(|(_, document)| still_works(document));
    }

    fn drain(&mut self, now: Now) -> Vec<Sent> {
        let mut sent = Vec::new();
        for _ in 0..OUTPUTS_MAX {
            match self.endpoint.poll_output() {
                Some(Output::Persist { ticket, document, write }) if self.instant && self.waiting.is_empty() => {
                    self.keep(document, write);
                    self.endpoint.handle(now, Input::Persisted { ticket });
                }
                Some(Output::Persist { ticket, document, write }) => self.waiting.push_back((ticket, document, write)),
                Some(Output::Transmit { link, bytes }) => {
                    assert!(bytes.len() <= config().frame_bytes_max, "a frame of {} bytes", bytes.len());
                    let read = self.readers.entry(link).or_default().read(&bytes);
                    let _ = read.expect("what an endpoint sends, one can read");
                    sent.push(Sent::Frame(link, bytes));
                }
                Some(Output::Load { document }) => {
                    let stored = self.store.get(&document).expect("what was put to rest is in the store").clone();
                    self.endpoint.loaded(now, &document, stored).expect("and what was stored in order opens");
                }
                Some(Output::Rested { .. } | Output::Renew | Output::Disputed { .. } | Output::Settled { .. }) => {}
                Some(Output::Close { link, reason, .. }) => sent.push(Sent::Close(link, reason)),
                Some(Output::Event(event)) => self.events.push(event),
                None => return sent,
            }
        }
        panic!("an endpoint that does not come to rest");
    }

    fn keep(&mut self, document: DocumentId, write: Write) {
        let empty = || Stored { snapshot: Snapshot::empty(), deltas: Vec::new() };
        let held = self.store.entry(document).or_insert_with(empty);
        match write {
            Write::Delta(delta) => held.deltas.push(delta),
            Write::Snapshot(snapshot) => *held = Stored { snapshot, deltas: Vec::new() },
        }
    }
}

/// Starts a process that differs from those before it and from those of other replicas.
fn start(replica: ReplicaId, life: u64) -> Endpoint {
    Endpoint::new(replica, u64::from(replica.to_bytes()[15]) << 32 | life, config())
}

fn reopened(stored: &Stored) -> Snapshot {
    let mut snapshot = Snapshot::decode(&stored.snapshot.encode()).expect("our own bytes");
    for delta in &stored.deltas {
        snapshot.apply(delta).expect("what was stored in order applies");
    }
    snapshot
}
