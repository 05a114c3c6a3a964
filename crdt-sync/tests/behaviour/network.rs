//! Endpoints joined by first-in-first-out wires. Nothing happens by itself: tests say when messages
//! are delivered, writes become durable and time passes.

use std::collections::{BTreeMap, VecDeque};

use crdt_core::{Head, ReplicaId, Snapshot, Transaction};
use crdt_sync::{
    CloseReason, Config, DisputeError, DocumentId, Endpoint, Event, Input, LinkId, Now, Output, Stored, Ticket, Write,
};

mod asked;

pub(crate) const HELLO: u8 = 0x01;
pub(crate) const OFFER: u8 = 0x02;
pub(crate) const DELTA: u8 = 0x03;
pub(crate) const SNAPSHOT: u8 = 0x04;
pub(crate) const BEGIN: u8 = 0x05;
pub(crate) const PART: u8 = 0x06;
pub(crate) const ACK: u8 = 0x07;
pub(crate) const CREDIT: u8 = 0x08;
pub(crate) const DIGEST: u8 = 0x09;
pub(crate) const REJECT: u8 = 0x0a;
pub(crate) const PING: u8 = 0x0b;

/// Kinds that count against credit.
pub(crate) const DATA: [u8; 5] = [OFFER, DELTA, SNAPSHOT, BEGIN, PART];

pub(crate) fn replica(number: u128) -> ReplicaId {
    ReplicaId::from_u128(number)
}

pub(crate) fn id(name: &str) -> DocumentId {
    DocumentId::new(name).unwrap()
}

pub(crate) struct Node {
    pub(crate) endpoint: Endpoint,
    pub(crate) events: Vec<Event>,
    pub(crate) closes: Vec<(LinkId, CloseReason)>,
    /// What was made durable, as a store would give it back.
    pub(crate) store: BTreeMap<DocumentId, Stored>,
    /// Writes become durable at once.
    pub(crate) persists: bool,
    waiting: VecDeque<(Ticket, DocumentId, Write)>,
    /// What the endpoint asks to be loaded is loaded at once.
    pub(crate) loads: bool,
    /// What it has asked for and not got yet.
    pub(crate) asked: VecDeque<DocumentId>,
    /// How often it has asked.
    pub(crate) asked_for: usize,
    /// What has left its memory, in order.
    pub(crate) rested: Vec<(DocumentId, Head)>,
    /// It takes another id when asked to, and gives what it wrote another name.
    pub(crate) settles: bool,
    /// What it is asked to settle: all of its identity, or that of a document.
    disputes: VecDeque<Option<Dispute>>,
    /// What a store keeps of that: ids that were left, and in which documents it is settled whose dots are whose.
    pub(crate) disputed: Vec<ReplicaId>,
    pub(crate) settled: Vec<(DocumentId, ReplicaId)>,
}

struct Dispute {
    document: DocumentId,
    replica: ReplicaId,
    trail: Vec<(u64, u64)>,
}

/// One link: its number at both ends, and what is on its way to each.
pub(crate) struct Wire {
    ends: [(usize, LinkId); 2],
    towards: [VecDeque<Vec<u8>>; 2],
    paused: [bool; 2],
    /// One end has closed it; the other hears of it behind what was sent.
    closed: bool,
}

/// A message that an endpoint has put on a wire.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    pub(crate) fn kind(&self) -> u8 {
        self.bytes[0]
    }

    pub(crate) fn is_data(&self) -> bool {
        DATA.contains(&self.kind())
    }
}

pub(crate) struct Network {
    pub(crate) now: Now,
    pub(crate) nodes: Vec<Node>,
    pub(crate) wires: BTreeMap<usize, Wire>,
    /// Every message sent so far.
    pub(crate) sent: Vec<Sent>,
    links: u64,
    ids: u128,
    /// How many processes have been given a number.
    pub(crate) processes: u64,
}

impl Network {
    /// Makes nodes 0, 1, … with the replicas 1, 2, ….
    pub(crate) fn new(nodes: usize) -> Self {
        Self::with_config(nodes, Config::default)
    }

    pub(crate) fn with_config(nodes: usize, config: impl Fn() -> Config) -> Self {
        let now = Now { monotonic_ms: 1_000, wall_ms: 1_700_000_000_000 };
        let mut network = Self {
            now,
            nodes: Vec::new(),
            wires: BTreeMap::new(),
            sent: Vec::new(),
            links: 0,
            ids: 1_000,
            processes: 0,
        };
        for number in 0..nodes {
            network.start(number as u128 + 1, config());
        }
        network
    }

    /// Starts a process on an empty store, as another node.
    pub(crate) fn start(&mut self, id: u128, config: Config) -> usize {
        let endpoint = self.process(replica(id), config);
        self.add(endpoint)
    }

    /// Makes the endpoint of a process that nobody has seen before.
    pub(crate) fn process(&mut self, replica: ReplicaId, config: Config) -> Endpoint {
        self.processes += 1;
        Endpoint::new(replica, scattered(self.processes), config)
    }

    pub(crate) fn add(&mut self, endpoint: Endpoint) -> usize {
        self.nodes.push(Node {
            endpoint,
            events: Vec::new(),
            closes: Vec::new(),
            store: BTreeMap::new(),
            persists: true,
            waiting: VecDeque::new(),
            loads: true,
            asked: VecDeque::new(),
            asked_for: 0,
            rested: Vec::new(),
            settles: false,
            disputes: VecDeque::new(),
            disputed: Vec::new(),
            settled: Vec::new(),
        });
        self.nodes.len() - 1
    }

    /// Dials; both ends see the link come up, the dialling one first.
    pub(crate) fn connect(&mut self, from: usize, to: usize) -> usize {
        let wire = self.lay(from, to);
        self.up(wire, 0);
        self.up(wire, 1);
        wire
    }

    /// Lays a wire without either end knowing of it yet.
    pub(crate) fn lay(&mut self, from: usize, to: usize) -> usize {
        let ends = [(from, LinkId(self.links + 1)), (to, LinkId(self.links + 2))];
        self.links += 2;
        let wire = self.wires.last_key_value().map_or(0, |(last, _)| last + 1);
        let towards = [VecDeque::new(), VecDeque::new()];
        self.wires.insert(wire, Wire { ends, towards, paused: [false; 2], closed: false });
        wire
    }

    /// Tells one end of a wire that it is up.
    pub(crate) fn up(&mut self, wire: usize, end: usize) {
        let (node, link) = self.wires[&wire].ends[end];
        self.nodes[node].endpoint.handle(self.now, Input::LinkUp { link, nonce: scattered(link.0) });
        self.drain(node);
    }

    pub(crate) fn link(&self, wire: usize, end: usize) -> LinkId {
        self.wires[&wire].ends[end].1
    }

    /// Cuts a wire: what is on its way is lost, and both ends hear of it.
    pub(crate) fn cut(&mut self, wire: usize) {
        let Some(wire) = self.wires.remove(&wire) else { return };
        for (node, link) in wire.ends {
            self.nodes[node].endpoint.handle(self.now, Input::LinkDown { link });
            self.drain(node);
        }
    }

    /// From now on nothing arrives at one end of a wire.
    pub(crate) fn pause(&mut self, wire: usize, end: usize) {
        self.wires.get_mut(&wire).unwrap().paused[end] = true;
    }

    pub(crate) fn resume(&mut self, wire: usize, end: usize) {
        self.wires.get_mut(&wire).unwrap().paused[end] = false;
    }

    /// Bytes of data frames on their way to one end.
    pub(crate) fn queued_data_bytes(&self, wire: usize, end: usize) -> usize {
        let queue = &self.wires[&wire].towards[end];
        queue.iter().filter(|bytes| DATA.contains(&bytes[0])).map(Vec::len).sum()
    }

    /// Commits one transaction.
    pub(crate) fn write(&mut self, node: usize, document: &str, edit: impl FnOnce(&mut Transaction<'_>)) {
        self.now.wall_ms += 1;
        let edit = |transaction: &mut Transaction<'_>| {
            edit(transaction);
            Ok::<(), std::convert::Infallible>(())
        };
        self.nodes[node].endpoint.transact(self.now, &id(document), edit).unwrap();
        self.drain(node);
    }

    /// Adds one element to the set "s".
    pub(crate) fn insert(&mut self, node: usize, document: &str, element: &str) {
        self.write(node, document, |tx| tx.set("s").insert(element).unwrap());
    }

    pub(crate) fn open(&mut self, node: usize, document: &str) {
        self.nodes[node].endpoint.open(self.now, &id(document), None).unwrap();
        self.drain(node);
    }

    /// Makes the oldest write of a node durable that is not.
    pub(crate) fn persist_one(&mut self, node: usize) -> bool {
        let Some((ticket, document, write)) = self.nodes[node].waiting.pop_front() else { return false };
        store(&mut self.nodes[node].store, document, write);
        self.nodes[node].endpoint.handle(self.now, Input::Persisted { ticket });
        self.drain(node);
        true
    }

    /// Gives a node the content of the document that it has asked for first.
    pub(crate) fn load_one(&mut self, node: usize) -> bool {
        let Some(document) = self.nodes[node].asked.pop_front() else { return false };
        let stored = self.nodes[node].store.get(&document).expect("it is in the store").clone();
        self.nodes[node].endpoint.loaded(self.now, &document, stored).unwrap();
        self.drain(node);
        true
    }

    /// Does as a driver does that is asked to settle something.
    fn settle_one(&mut self, node: usize) -> bool {
        let Some(dispute) = self.nodes[node].disputes.pop_front() else { return false };
        self.ids += 2;
        let (renewed, fresh) = (replica(self.ids), replica(self.ids + 1));
        let Node { endpoint, store, disputed, .. } = &mut self.nodes[node];
        let former = endpoint.replica();
        match dispute {
            None => endpoint.renew(self.now, renewed),
            Some(Dispute { document, replica, trail }) => {
                let nothing = || Stored { snapshot: Snapshot::empty(), deltas: Vec::new() };
                let stored = store.get(&document).cloned().unwrap_or_else(nothing);
                let reissue = |endpoint: &mut Endpoint| {
                    endpoint.reissue(self.now, &document, (replica, &trail), stored.clone(), fresh)
                };
                if let Err(DisputeError::NotRenewed { .. }) = reissue(endpoint) {
                    endpoint.renew(self.now, renewed);
                    // What cannot be settled stays as it is: tests look at what has become of it.
                    let _ = reissue(endpoint);
                }
            }
        }
        if endpoint.replica() != former {
            disputed.push(former);
        }
        self.drain(node);
        true
    }

    /// Lets a node go by another id, as a driver does that its store has told it.
    pub(crate) fn renew(&mut self, node: usize) {
        self.ids += 1;
        let Node { endpoint, disputed, .. } = &mut self.nodes[node];
        disputed.push(endpoint.replica());
        endpoint.renew(self.now, replica(self.ids));
        self.drain(node);
    }

    /// Puts a document to rest.
    pub(crate) fn rest(&mut self, node: usize, document: &str) -> bool {
        let is_at_rest = self.nodes[node].endpoint.rest(self.now, &id(document));
        self.drain(node);
        is_at_rest
    }

    /// Delivers until nothing is on its way any more.
    pub(crate) fn run(&mut self) {
        for _ in 0..1_000_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the network does not come to rest");
    }

    /// Lets time pass, timer by timer, delivering everything in between.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end_ms = self.now.monotonic_ms + ms;
        self.run();
        loop {
            let next = self.nodes.iter().filter_map(|node| node.endpoint.poll_timeout()).min();
            let Some(next) = next.filter(|next| *next <= end_ms) else { break };
            assert!(next >= self.now.monotonic_ms, "a deadline in the past: the timer does not settle");
            self.now.monotonic_ms = next;
            for node in 0..self.nodes.len() {
                self.nodes[node].endpoint.handle(self.now, Input::Timeout);
                self.drain(node);
                let again = self.nodes[node].endpoint.poll_timeout();
                assert!(again.is_none_or(|again| again > next), "a timer that has fired must move on");
            }
            self.run();
        }
        self.now.monotonic_ms = end_ms;
    }

    /// Delivers one message on every wire and makes one write durable everywhere; false at rest.
    fn step(&mut self) -> bool {
        let mut busy = false;
        let wires: Vec<usize> = self.wires.keys().copied().collect();
        for wire in wires {
            for end in 0..2 {
                busy |= self.deliver(wire, end);
            }
        }
        for node in 0..self.nodes.len() {
            busy |= self.nodes[node].persists && self.persist_one(node);
            busy |= self.nodes[node].loads && self.load_one(node);
            busy |= self.nodes[node].settles && self.settle_one(node);
        }
        busy
    }

    /// Delivers one message at one end of a wire.
    pub(crate) fn deliver(&mut self, wire: usize, end: usize) -> bool {
        let Some(it) = self.wires.get_mut(&wire) else { return false };
        if it.paused[end] {
            return false;
        }
        let (node, link) = it.ends[end];
        let input = it.towards[end].pop_front();
        match &input {
            Some(bytes) => self.nodes[node].endpoint.handle(self.now, Input::Received { link, bytes }),
            None if it.closed => {
                self.wires.remove(&wire);
                self.nodes[node].endpoint.handle(self.now, Input::LinkDown { link });
            }
            None => return false,
        }
        self.drain(node);
        true
    }

    /// Puts bytes of our own making on a wire.
    pub(crate) fn inject(&mut self, wire: usize, towards: usize, bytes: &[u8]) {
        let (node, link) = self.wires[&wire].ends[towards];
        self.nodes[node].endpoint.handle(self.now, Input::Received { link, bytes });
        self.drain(node);
    }

    /// Carries out everything that an endpoint asks for.
    pub(crate) fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].endpoint.poll_output() {
            match output {
                Output::Persist { ticket, document, write } => {
                    self.nodes[node].waiting.push_back((ticket, document, write));
                }
                Output::Event(event) => self.nodes[node].events.push(event),
                Output::Load { document } => {
                    self.nodes[node].asked.push_back(document);
                    self.nodes[node].asked_for += 1;
                }
                Output::Rested { document, head } => self.nodes[node].rested.push((document, head)),
                Output::Renew => self.nodes[node].disputes.push_back(None),
                Output::Disputed { document, replica, trail } => {
                    self.nodes[node].disputes.push_back(Some(Dispute { document, replica, trail }));
                }
                Output::Settled { document, replica } => self.nodes[node].settled.push((document, replica)),
                Output::Transmit { link, bytes } => self.transmit(node, link, bytes),
                Output::Close { link, reason, .. } => {
                    self.nodes[node].closes.push((link, reason));
                    self.close(node, link);
                }
            }
        }
    }

    fn transmit(&mut self, node: usize, link: LinkId, bytes: Vec<u8>) {
        let Some((wire, end)) = self.find(node, link) else { return };
        let wire = self.wires.get_mut(&wire).unwrap();
        let other = 1 - end;
        self.sent.push(Sent { from: node, to: wire.ends[other].0, bytes: bytes.clone() });
        if !wire.closed {
            wire.towards[other].push_back(bytes);
        }
    }

    fn close(&mut self, node: usize, link: LinkId) {
        let Some((number, end)) = self.find(node, link) else { return };
        let wire = self.wires.get_mut(&number).unwrap();
        if wire.closed {
            self.wires.remove(&number);
            return;
        }
        wire.closed = true;
        wire.towards[end].clear();
        wire.paused[end] = true;
    }

    /// Starts a node anew from what it had made durable.
    pub(crate) fn restart(&mut self, node: usize, config: Config) {
        let wires: Vec<usize> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.ends.iter().any(|end| end.0 == node))
            .map(|(number, _)| *number)
            .collect();
        for wire in wires {
            self.cut(wire);
        }
        let endpoint = self.process(self.nodes[node].endpoint.replica(), config);
        let node = &mut self.nodes[node];
        let mut endpoint = endpoint.with_former(node.disputed.clone()).with_disputed(node.disputed.clone());
        for (id, stored) in &node.store {
            endpoint.open(self.now, id, Some(stored.clone())).unwrap();
        }
        for (id, replica) in &node.settled {
            endpoint.settled(id, *replica);
        }
        node.endpoint = endpoint;
        node.waiting.clear();
        node.asked.clear();
        node.disputes.clear();
    }

    fn find(&self, node: usize, link: LinkId) -> Option<(usize, usize)> {
        self.wires.iter().find_map(|(number, wire)| {
            let end = wire.ends.iter().position(|end| *end == (node, link))?;
            Some((*number, end))
        })
    }
}

/// Makes numbers look random: a different one for each, the same in every run.
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

pub(crate) fn store(store: &mut BTreeMap<DocumentId, Stored>, document: DocumentId, write: Write) {
    let held = store.entry(document).or_insert_with(|| Stored { snapshot: Snapshot::empty(), deltas: Vec::new() });
    match write {
        Write::Delta(delta) => held.deltas.push(delta),
        Write::Snapshot(snapshot) => *held = Stored { snapshot, deltas: Vec::new() },
    }
}
