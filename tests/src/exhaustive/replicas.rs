//! The replicas as tables: what each does in each of its states, found out when it is first asked.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crdt_core::{Snapshot, VersionVector};
use crdt_sync::{CloseReason, Event};
use xxhash_rust::xxh3::xxh3_128;

use super::live::{Input, Live, MessageId, Said, document_id, replica_id};
use super::scenario::Scenario;
use super::text::Printer;

/// The most replicas of a scenario.
pub(super) const REPLICAS_MAX: usize = 3;

/// How many replicas are kept at hand.
const HOT_MAX: usize = 32;

/// Every so many steps, one is run by a second history too.
const CONFIRM_EVERY: u64 = 8;

/// A version: how many dots of each replica.
pub(super) type Counters = [u64; REPLICAS_MAX];

/// A state of one replica, by its number in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StateId(u32);

/// What a state is checked for, and what decides which inputs are possible.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// What it shows.
    pub(super) version: Counters,
    /// What would survive a crash.
    pub(super) stored: Counters,
    /// Canonical bytes and digest.
    pub(super) content: u128,
    /// (replica, counter, chain hash): what it has seen each dot to be.
    pub(super) dots: Vec<(u8, u64, u64)>,
    pub(super) written: u8,
    pub(super) unsynced: u8,
    /// How many links it has had since it started.
    pub(super) links: u8,
    /// Its links that are in sync, by bit.
    pub(super) in_sync: u128,
    /// When it must be told the time.
    pub(super) deadline_ms: Option<u64>,
}

/// What one input does to one replica.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) to: StateId,
    /// By link, in order.
    pub(super) sent: Vec<(u8, MessageId)>,
    /// Links that it closed behind that.
    pub(super) closed: Vec<u8>,
    /// Links on which it says that both ends hold the same.
    pub(super) in_sync: Vec<u8>,
    pub(super) marks: Marks,
    pub(super) fault: Option<Fault>,
}

/// What must never happen, as seen in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// An honest peer was blamed, or a document was found divergent or written by two.
    Blame,
    /// A version went back.
    Regress,
    /// One frontier with two contents, or one dot with two.
    Content,
    /// A message of a link that has ended did something.
    Late,
    /// In sync, it was said, with a peer that would lose something in a crash.
    InSync,
}

/// What a scenario is meant to reach, as bits.
pub(super) type Marks = u16;

/// A whole state went on a wire.
pub(super) const SNAPSHOT: Marks = 1;
/// Something went on a wire in parts.
pub(super) const PARTS: Marks = 2;
/// One of two links to the same replica was closed.
pub(super) const DUPLICATE_LINK: Marks = 4;
/// A replica that has started again was taken for an impostor.
pub(super) const DUPLICATE_IDENTITY: Marks = 8;
/// A crash took writes.
pub(super) const CRASH_LOSS: Marks = 16;
/// A link broke with messages on it.
pub(super) const CUT_LOSS: Marks = 32;
/// A replica gave up a link that was silent or took no data.
pub(super) const TIMED_OUT: Marks = 128;
/// A message vanished or came twice.
pub(super) const BROKEN_LINK: Marks = 64;

/// The first byte of a frame, as docs/protocol.md numbers them.
const KINDS: [&str; 13] =
    ["?", "Hello", "Offer", "Delta", "Snapshot", "Begin", "Part", "Ack", "Credit", "Digest", "Reject", "Ping", "Pong"];

#[derive(Debug)]
struct Known {
    index: usize,
    facts: Facts,
    /// The first way here; none for the start.
    came: Option<(StateId, Input)>,
    /// Another way here.
    also: Option<(StateId, Input)>,
    steps: Vec<(Input, Arc<Step>)>,
}

/// All that is known of the replicas of one scenario.
#[derive(Debug)]
pub(super) struct Replicas {
    scenario: Arc<Scenario>,
    known: Vec<Known>,
    by_print: HashMap<u128, StateId>,
    messages: Vec<Arc<[u8]>>,
    by_bytes: HashMap<Arc<[u8]>, MessageId>,
    /// Frontier → content: equal histories must be equal states, wherever and however they came about.
    contents: HashMap<u64, u128>,
    /// Replicas as they were left behind by the last few steps: the next step often starts there.
    hot: VecDeque<(StateId, Live)>,
    printer: Printer,
    /// How many steps were run for real, and how many were found the same by a second history.
    pub(super) run: u64,
    pub(super) confirmed: u64,
}

impl Replicas {
    /// Starts them all; returns their first states.
    pub(super) fn new(scenario: &Arc<Scenario>) -> (Self, [StateId; REPLICAS_MAX]) {
        let mut replicas = Self {
            scenario: Arc::clone(scenario),
            known: Vec::new(),
            by_print: HashMap::new(),
            messages: Vec::new(),
            by_bytes: HashMap::new(),
            contents: HashMap::new(),
            hot: VecDeque::new(),
            printer: Printer::default(),
            run: 0,
            confirmed: 0,
        };
        let mut first = [StateId(0); REPLICAS_MAX];
        for (index, state) in first.iter_mut().enumerate().take(scenario.writes.len()) {
            let live = Live::start(scenario, index);
            let (facts, _) = replicas.look(&live, &[]);
            let print = live.print(&mut replicas.printer);
            *state = replicas.learn(print, facts, index, None);
        }
        (replicas, first)
    }

    pub(super) fn facts(&self, state: StateId) -> &Facts {
        &self.known[state.0 as usize].facts
    }

    pub(super) fn states(&self) -> usize {
        self.known.len()
    }

    pub(super) fn messages(&self) -> usize {
        self.messages.len()
    }

    /// Returns what an input does in a state.
    pub(super) fn step(&mut self, from: StateId, input: Input) -> Arc<Step> {
        let steps = &self.known[from.0 as usize].steps;
        if let Some((_, step)) = steps.iter().find(|(known, _)| *known == input) {
            return Arc::clone(step);
        }
        let step = Arc::new(self.find_out(from, input));
        self.known[from.0 as usize].steps.push((input, Arc::clone(&step)));
        step
    }

    /// Tells in words what an input does in a state.
    pub(super) fn describe(&self, from: StateId, input: Input) -> String {
        let (_, said) = self.replay(from, self.known[from.0 as usize].came, input);
        let mut text = match input {
            Input::Receive { link, message } => {
                format!("Receive {} on {link}", name(&self.messages[message.0 as usize]))
            }
            other => format!("{other:?}"),
        };
        for (link, bytes) in &said.sent {
            text += &format!("; sends {} on {link}", name(bytes));
        }
        for (link, reason) in &said.closed {
            text += &format!("; closes {link}: {reason}");
        }
        for event in &said.events {
            text += &format!("; says {event:?}");
        }
        text
    }

    fn find_out(&mut self, from: StateId, input: Input) -> Step {
        let origin = &self.known[from.0 as usize];
        let (came, also) = (origin.came, origin.also);
        let run = catch_unwind(AssertUnwindSafe(|| match self.hot.iter().position(|(hot, _)| *hot == from) {
            Some(at) => {
                let (_, live) = self.hot.remove(at).expect("it was just found");
                self.take(live, input)
            }
            None => self.replay(from, came, input),
        }));
        let (live, said) = run.unwrap_or_else(|panic| {
            eprintln!("a replica panicked after {:#?}", self.inputs(came, input));
            resume_unwind(panic)
        });
        let print = live.print(&mut self.printer);
        self.run += 1;
        if also.is_some() && self.run.is_multiple_of(CONFIRM_EVERY) {
            let (other, other_said) = self.replay(from, also, input);
            assert!(
                other.print(&mut self.printer) == print
                    && other_said.sent == said.sent
                    && other_said.closed == said.closed,
                "two histories with the same text go on differently: the text says too little"
            );
            self.confirmed += 1;
        }
        let before = self.facts(from).clone();
        let crashed = matches!(input, Input::Crash { .. });
        let (facts, fault) = self.look(&live, &before.dots);
        let goes_back = |from: &Counters, to: &Counters| from.iter().zip(to).any(|(from, to)| to < from);
        let regress = goes_back(&before.stored, &facts.stored)
            || match crashed {
                true => facts.version != facts.stored,
                false => goes_back(&before.version, &facts.version),
            };
        let blame = is_blame(&said, self.scenario.has_broken_links());
        let fault = fault.or(regress.then_some(Fault::Regress)).or(blame.then_some(Fault::Blame));
        let lost = crashed && facts.version != before.version;
        let index = self.known[from.0 as usize].index;
        let to = self.learn(print, facts, index, Some((from, input)));
        if self.hot.len() == HOT_MAX {
            self.hot.pop_front();
        }
        self.hot.push_back((to, live));
        self.write_down(to, &said, if lost { CRASH_LOSS } else { 0 }, fault)
    }

    fn write_down(&mut self, to: StateId, said: &Said, mut marks: Marks, fault: Option<Fault>) -> Step {
        for (_, bytes) in &said.sent {
            marks |= match bytes[0] {
                4 => SNAPSHOT,
                5 => PARTS,
                _ => 0,
            };
        }
        for (_, reason) in &said.closed {
            marks |= match reason {
                CloseReason::DuplicateLink => DUPLICATE_LINK,
                CloseReason::DuplicateIdentity => DUPLICATE_IDENTITY,
                CloseReason::HelloTimeout | CloseReason::Dead | CloseReason::Stalled => TIMED_OUT,
                _ => 0,
            };
        }
        let in_sync = said.events.iter().filter_map(|event| match event {
            Event::InSync { link, .. } => Some(u8::try_from(link.0).expect("a scenario has few links")),
            _ => None,
        });
        Step {
            to,
            sent: said.sent.iter().map(|(link, bytes)| (*link, self.message(bytes))).collect(),
            closed: said.closed.iter().map(|(link, _)| *link).collect(),
            in_sync: in_sync.collect(),
            marks,
            fault,
        }
    }

    /// Runs a replica to `state`, whose last step is `last`, and gives it one more input.
    fn replay(&self, state: StateId, last: Option<(StateId, Input)>, input: Input) -> (Live, Said) {
        let mut live = Live::start(&self.scenario, self.known[state.0 as usize].index);
        let mut said = Said::default();
        for input in self.inputs(last, input) {
            (live, said) = self.take(live, input);
        }
        (live, said)
    }

    /// Lists what a replica was told on its way: all before `last`, that, and `input`.
    fn inputs(&self, last: Option<(StateId, Input)>, input: Input) -> Vec<Input> {
        let mut inputs = vec![input];
        let mut before = last;
        while let Some((state, input)) = before {
            inputs.push(input);
            before = self.known[state.0 as usize].came;
        }
        inputs.reverse();
        inputs
    }

    fn take(&self, mut live: Live, input: Input) -> (Live, Said) {
        let said = match input {
            Input::Crash { kept } => return (live.crash(kept), Said::default()),
            Input::Receive { message, .. } => live.take(input, &self.messages[message.0 as usize]),
            _ => live.take(input, &[]),
        };
        (live, said)
    }

    /// Reads off a replica what it is checked for. `dots` are those that it had seen before.
    fn look(&mut self, live: &Live, dots: &[(u8, u64, u64)]) -> (Facts, Option<Fault>) {
        let id = document_id();
        let snapshot = live.host.endpoint.document(&id).map_or_else(Snapshot::empty, |document| document.snapshot());
        let version = counters(&snapshot.version());
        let stored = live.host.store().load(id.as_str()).map_or_else(VersionVector::new, |stored| stored.version);
        let mut bytes = snapshot.encode();
        bytes.extend(format!("{:?}", snapshot.digest()).bytes());
        let content = xxh3_128(&bytes);
        let mut fault = None;
        if *self.contents.entry(snapshot.frontier().hash()).or_insert(content) != content {
            fault = Some(Fault::Content);
        }
        // A crash may have taken the last of them.
        let mut dots: Vec<_> = dots.iter().copied().filter(|dot| dot.1 <= version[usize::from(dot.0)]).collect();
        for (replica, counter, chain) in snapshot.frontier().iter() {
            let index = (0..REPLICAS_MAX as u8).find(|index| replica_id(usize::from(*index)) == replica);
            let index = index.expect("nobody else writes");
            match dots.iter().find(|dot| (dot.0, dot.1) == (index, counter)) {
                Some(dot) if dot.2 != chain => fault = Some(Fault::Content),
                Some(_) => {}
                None => dots.push((index, counter, chain)),
            }
        }
        let in_sync = live
            .host
            .endpoint
            .sessions()
            .filter(|session| session.peer.is_some() && session.in_sync == session.documents);
        let facts = Facts {
            version,
            stored: counters(&stored),
            content,
            dots,
            written: live.written,
            unsynced: u8::try_from(live.host.unsynced().len()).expect("a scenario has few writes"),
            links: live.links,
            in_sync: in_sync.fold(0, |bits, session| bits | bit(session.link.0)),
            deadline_ms: live.host.endpoint.poll_timeout(),
        };
        (facts, fault)
    }

    fn learn(&mut self, print: u128, facts: Facts, index: usize, came: Option<(StateId, Input)>) -> StateId {
        let next = StateId(u32::try_from(self.known.len()).expect("memory ends first"));
        let id = *self.by_print.entry(print).or_insert(next);
        if id == next {
            self.known.push(Known { index, facts, came, also: None, steps: Vec::new() });
        } else {
            self.known[id.0 as usize].also = came;
        }
        id
    }

    fn message(&mut self, bytes: &[u8]) -> MessageId {
        if let Some(id) = self.by_bytes.get(bytes) {
            return *id;
        }
        let id = MessageId(u32::try_from(self.messages.len()).expect("memory ends first"));
        let bytes: Arc<[u8]> = bytes.into();
        self.messages.push(Arc::clone(&bytes));
        self.by_bytes.insert(bytes, id);
        id
    }
}

/// The bit of a link. Beyond 128 links nothing is in sync any more, which will be noticed.
pub(super) fn bit(link: u64) -> u128 {
    u32::try_from(link).ok().and_then(|link| 1_u128.checked_shl(link)).unwrap_or(0)
}

fn counters(version: &VersionVector) -> Counters {
    std::array::from_fn(|index| version.counter(replica_id(index)))
}

/// Tells whether a replica has found fault with an honest network.
fn is_blame(said: &Said, has_broken_links: bool) -> bool {
    let events = said
        .events
        .iter()
        .any(|event| matches!(event, Event::Diverged { .. } | Event::IdentityConflict { .. } | Event::Refused { .. }));
    let closes = said.closed.iter().any(|(_, reason)| {
        !matches!(
            reason,
            CloseReason::DuplicateLink
                | CloseReason::DuplicateIdentity
                | CloseReason::HelloTimeout
                | CloseReason::Dead
                | CloseReason::Stalled
        )
    });
    events || (closes && !has_broken_links)
}

fn name(bytes: &[u8]) -> String {
    format!("{}({} bytes)", KINDS.get(usize::from(bytes[0])).unwrap_or(&"?"), bytes.len())
}
