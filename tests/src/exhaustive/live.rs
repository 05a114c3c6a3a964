//! One replica, run for real: inputs go in, and what it says comes out.

use std::sync::Arc;

use crdt_core::ReplicaId;
use crdt_store::MemoryStore;
use crdt_sync::{CloseReason, DocumentId, Event, Input as Told, LinkId, Now};

use super::scenario::Scenario;
use super::text::Printer;
use crate::network::replica;
use crate::script::WALL_MS;
use crate::sim::{Effect, Host};

/// The one document of every scenario.
pub(super) fn document_id() -> DocumentId {
    DocumentId::new("d").expect("a letter is a name")
}

/// What can happen to one replica, as it sees it. Links have the numbers that it gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// It makes its next write.
    Write,
    /// Its oldest writes become durable.
    Sync { count: u8 },
    /// It crashes after its oldest writes have reached the store, and starts again.
    Crash { kept: u8 },
    /// A link comes up, under the next number.
    LinkUp,
    /// A link goes down.
    LinkDown { link: u8 },
    /// A message arrives.
    Receive { link: u8, message: MessageId },
    /// Time goes on.
    Clock { now_ms: u32 },
}

/// A message, by its number in the table of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MessageId(pub(super) u32);

/// What a replica said in answer to one input.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) sent: Vec<(u8, Vec<u8>)>,
    pub(super) closed: Vec<(u8, CloseReason)>,
    pub(super) events: Vec<Event>,
}

/// A replica and its store, with what a caller keeps about it.
#[derive(Debug)]
pub(super) struct Live {
    scenario: Arc<Scenario>,
    pub(super) index: usize,
    pub(super) host: Host,
    store: MemoryStore,
    /// How often it has crashed.
    crashes: u8,
    /// How many of its writes it has made.
    pub(super) written: u8,
    /// How many links it has had since it started.
    pub(super) links: u8,
    now: Now,
}

impl Live {
    pub(super) fn start(scenario: &Arc<Scenario>, index: usize) -> Self {
        let store = MemoryStore::new();
        let now = at(0);
        let host = start(scenario, (index, 0), now, &store);
        Self { scenario: Arc::clone(scenario), index, host, store, crashes: 0, written: 0, links: 0, now }
    }

    /// Takes in something that happens; `bytes` are those of the message, if it is one.
    pub(super) fn take(&mut self, input: Input, bytes: &[u8]) -> Said {
        let now = self.now;
        let link_id = |link| LinkId(u64::from(link));
        match input {
            Input::Write => self.write(),
            Input::Sync { count } => self.host.sync(now, usize::from(count)),
            Input::Crash { .. } => unreachable!("a crash ends a life: see `crash`"),
            Input::LinkUp => {
                self.links += 1;
                let nonce = incarnation(self.index, self.crashes) | u64::from(self.links);
                self.host.endpoint.handle(now, Told::LinkUp { link: link_id(self.links), nonce });
            }
            Input::LinkDown { link } => self.host.endpoint.handle(now, Told::LinkDown { link: link_id(link) }),
            Input::Receive { link, .. } => {
                self.host.endpoint.handle(now, Told::Received { link: link_id(link), bytes });
            }
            Input::Clock { now_ms } => {
                self.now = at(now_ms);
                self.host.endpoint.handle(self.now, Told::Timeout);
            }
        }
        self.said()
    }

    /// Ends the life of the process and begins the next one, on what the store has.
    pub(super) fn crash(self, kept: u8) -> Self {
        self.host.crash(usize::from(kept));
        let crashes = self.crashes + 1;
        let host = start(&self.scenario, (self.index, crashes), self.now, &self.store);
        Self { host, crashes, links: 0, ..self }
    }

    /// Returns a number for all that this replica's future can depend on.
    pub(super) fn print(&self, printer: &mut Printer) -> u128 {
        let Self { host, crashes, written, links, .. } = self;
        printer.print(format_args!("{host:?}/{crashes}/{written}/{links}"))
    }

    fn write(&mut self) {
        let op = &self.scenario.writes[self.index][usize::from(self.written)];
        let written = self.host.endpoint.transact(self.now, &document_id(), |tx| op.play(&mut tx.root()));
        written.expect("scenarios write what a document takes");
        self.written += 1;
    }

    fn said(&mut self) -> Said {
        let number = |link: LinkId| u8::try_from(link.0).expect("a scenario has few links");
        let mut said = Said::default();
        while let Some(effect) = self.host.poll() {
            match effect {
                Effect::Transmit { link, bytes } => said.sent.push((number(link), bytes)),
                Effect::Close { link, reason } => said.closed.push((number(link), reason)),
                Effect::Event(event) => said.events.push(event),
                Effect::Requested | Effect::Asked | Effect::Rested { .. } => {}
            }
        }
        said
    }
}

/// The id of a replica, by its place in the scenario.
pub(super) fn replica_id(index: usize) -> ReplicaId {
    replica(index as u128 + 1)
}

/// The number of a process.
fn incarnation(index: usize, crashes: u8) -> u64 {
    (index as u64 + 1) << 16 | u64::from(crashes) << 8
}

fn start(scenario: &Scenario, (index, crashes): (usize, u8), now: Now, store: &MemoryStore) -> Host {
    let who = (replica_id(index), incarnation(index, crashes));
    Host::start(now, who, scenario.config.clone(), store).expect("what it stored can be opened")
}

fn at(now_ms: u32) -> Now {
    Now { monotonic_ms: u64::from(now_ms), wall_ms: WALL_MS + u64::from(now_ms) }
}
