//! Two nodes and the links between them, with hands in between.
//!
//! Links may be up at one end only, closed by one end and not yet heard of by the other, or several
//! at a time. Nothing moves by itself. A link keeps account of forgeries: once one has been delivered
//! towards an end, whatever that end changes for what it hears on the link may be the forger's
//! work, and the pair counts as tainted.

use std::collections::VecDeque;

use crdt_core::Transaction;
use crdt_sync::{CloseReason, DocumentId, Input, LinkId, Now};

use super::node::{Node, Sent};
use crate::network::replica;
use crate::script::WALL_MS;

/// Links that there are at most at a time.
const WIRES_MAX: usize = 3;
/// Links are numbered above what a node may have used before.
const FIRST_LINK: u64 = 100;
/// Rounds of delivery after which honest endpoints must be silent.
const ROUNDS_MAX: usize = 2_000;

/// One link: its number at both ends.
#[derive(Debug)]
pub(crate) struct Wire {
    links: [LinkId; 2],
    /// The end knows of the link.
    up: [bool; 2],
    /// What is on its way towards each end.
    pub(crate) towards: [VecDeque<Vec<u8>>; 2],
    /// Something forged has arrived at the end.
    forged: [bool; 2],
}

impl Wire {
    /// Returns the link's number at one end.
    pub(crate) fn link(&self, end: usize) -> LinkId {
        self.links[end]
    }
}

/// Two nodes, mostly replicas 1 and 2.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) now: Now,
    pub(crate) nodes: [Node; 2],
    pub(crate) wires: Vec<Wire>,
    /// Why links were closed, in order.
    pub(crate) closes: Vec<CloseReason>,
    /// A document has changed for what may be a forgery.
    pub(crate) tainted: bool,
    links: u64,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::of([Node::new(replica(1)), Node::new(replica(2))], 1_000)
    }

    /// Puts two nodes side by side that have never met.
    pub(crate) fn of(nodes: [Node; 2], monotonic_ms: u64) -> Self {
        Self {
            now: Now { monotonic_ms, wall_ms: WALL_MS },
            nodes,
            wires: Vec::new(),
            closes: Vec::new(),
            tainted: false,
            links: FIRST_LINK,
        }
    }

    /// Lays a link and tells both ends, `first` before the other, unless there are too many.
    pub(crate) fn connect(&mut self, first: usize) {
        if self.wires.len() == WIRES_MAX {
            return;
        }
        let links = [LinkId(self.links + 1), LinkId(self.links + 2)];
        self.links += 2;
        let towards = [VecDeque::new(), VecDeque::new()];
        self.wires.push(Wire { links, up: [true; 2], towards, forged: [false; 2] });
        for end in [first, 1 - first] {
            let link = links[end];
            let nonce = link.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let sent = self.nodes[end].handle(self.now, Input::LinkUp { link, nonce });
            self.post(end, sent);
        }
    }

    /// Tells one end that a link has ended; the link is gone once both know.
    pub(crate) fn hang_up(&mut self, wire: usize, end: usize) {
        let it = &mut self.wires[wire];
        if std::mem::replace(&mut it.up[end], false) {
            let link = it.links[end];
            let sent = self.nodes[end].handle(self.now, Input::LinkDown { link });
            self.post(end, sent);
        }
        self.wires.retain(|wire| wire.up != [false; 2]);
    }

    /// Ends every link at both ends; what was on its way is lost.
    pub(crate) fn hang_up_all(&mut self) {
        while !self.wires.is_empty() {
            self.hang_up(0, 0);
            if !self.wires.is_empty() {
                self.hang_up(0, 1);
            }
        }
    }

    /// Delivers the next message towards one end, or the news that the other end has closed. False if
    /// there is neither.
    pub(crate) fn deliver(&mut self, wire: usize, end: usize) -> bool {
        let it = &mut self.wires[wire];
        match it.towards[end].pop_front() {
            Some(bytes) => self.receive(wire, end, &bytes),
            None if it.up[end] && !it.up[1 - end] => self.hang_up(wire, end),
            None => return false,
        }
        true
    }

    /// Delivers a message that nobody has sent.
    pub(crate) fn forge(&mut self, wire: usize, end: usize, bytes: &[u8]) {
        self.wires[wire].forged[end] = true;
        self.receive(wire, end, bytes);
    }

    fn receive(&mut self, wire: usize, end: usize, bytes: &[u8]) {
        let it = &self.wires[wire];
        if !it.up[end] {
            return;
        }
        let (link, before) = (it.links[end], it.forged[end].then(|| self.nodes[end].mark()));
        let sent = self.nodes[end].handle(self.now, Input::Received { link, bytes });
        self.tainted |= before.is_some_and(|before| before != self.nodes[end].mark());
        self.post(end, sent);
    }

    pub(crate) fn write(&mut self, node: usize, document: &DocumentId, act: impl FnOnce(&mut Transaction<'_>)) {
        let sent = self.nodes[node].write(self.now, document, act);
        self.post(node, sent);
    }

    pub(crate) fn persist_one(&mut self, node: usize) {
        let sent = self.nodes[node].persist_one(self.now);
        self.post(node, sent);
    }

    pub(crate) fn persist_all(&mut self) {
        for node in 0..2 {
            let sent = self.nodes[node].persist_all(self.now);
            self.post(node, sent);
        }
    }

    /// Opens a document without writing.
    pub(crate) fn open(&mut self, node: usize, document: &DocumentId) {
        self.nodes[node].endpoint.open(self.now, document, None).expect("few documents are open");
        self.fire(node);
    }

    /// Crashes a node and starts it again. Its links are gone; the other end has yet to hear of it.
    pub(crate) fn restart(&mut self, node: usize) {
        for wire in (0..self.wires.len()).rev() {
            self.hang_up(wire, node);
        }
        self.nodes[node].restart(self.now);
    }

    /// Lets time pass in one go and fires what is due then.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.wall_ms += ms;
        for node in 0..2 {
            self.fire(node);
        }
    }

    /// The next moment at which a timer is due, in milliseconds from now.
    pub(crate) fn next_timer_ms(&self) -> u64 {
        let next = self.nodes.iter().filter_map(|node| node.endpoint.poll_timeout()).min();
        next.map_or(0, |next_ms| next_ms.saturating_sub(self.now.monotonic_ms))
    }

    fn fire(&mut self, node: usize) {
        let sent = self.nodes[node].fire_timers(self.now);
        self.post(node, sent);
    }

    /// Delivers everything honestly until both are silent.
    ///
    /// # Panics
    /// If they never are.
    pub(crate) fn run(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut busy = false;
            for end in 0..2 {
                for wire in (0..self.wires.len()).rev() {
                    busy |= wire < self.wires.len() && self.deliver(wire, end);
                }
            }
            if !busy {
                return;
            }
        }
        panic!("two endpoints that never fall silent");
    }

    /// Puts what a node sends on its links.
    fn post(&mut self, from: usize, sent: Vec<Sent>) {
        for sent in sent {
            let (Sent::Frame(link, _) | Sent::Close(link, _)) = &sent;
            let Some(at) = self.wires.iter().position(|wire| wire.links[from] == *link) else { continue };
            match sent {
                Sent::Frame(_, bytes) => self.wires[at].towards[1 - from].push_back(bytes),
                Sent::Close(_, reason) => {
                    self.closes.push(reason);
                    self.wires[at].up[from] = false;
                    self.wires.retain(|wire| wire.up != [false; 2]);
                }
            }
        }
    }
}
