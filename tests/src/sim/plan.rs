//! What will happen in one simulated run, drawn from its seed beforehand.
//!
//! Why a plan and not choices on the way? A plan can be shrunk: steps taken out, replicas taken
//! away, and what is left still means what it meant, because hosts, links and documents are named
//! modulo how many there are. Each kind of fault is on for about half of the seeds (swarm testing):
//! a mix of everything at once hides what needs quiet to happen.
//!
//! Source: Groce et al., "Swarm testing" (2012).

use std::fmt;

use crdt_core::{Kind, Value};

use crate::choices::Choices;
use crate::op::{Edit, Name, Op};

/// A run to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything below was drawn from it, and so is whatever is drawn on the way.
    pub seed: u64,
    /// How many replicas take part.
    pub hosts: usize,
    /// Who dials whom.
    pub topology: Topology,
    /// How many documents there are.
    pub documents: usize,
    /// What the replicas are given, by host; a host beyond the end takes the last.
    pub limits: Vec<Limits>,
    /// How long a message takes at least, in milliseconds.
    pub latency_ms: u64,
    /// Both ends of each edge dial.
    pub both_dial: bool,
    /// What happens when, in order.
    pub steps: Vec<Step>,
}

/// Who dials whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Everybody everybody.
    Mesh,
    /// Everybody the first.
    Star,
    /// Everybody the next, the last the first.
    Ring,
    /// Everybody the next.
    Line,
}

/// Sizes and waits of one replica and its store; small ones bring the rare paths on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `Config::log_bytes_max`; one of [`LOG_BYTES`].
    pub log_bytes: usize,
    /// `Config::chunk_bytes_max`.
    pub chunk_bytes: usize,
    /// `Config::in_flight_bytes_max`.
    pub in_flight_bytes: usize,
    /// How many bytes of deltas the store keeps before it folds them.
    pub store_bytes: usize,
    /// Takes only documents that were opened here.
    pub opened_only: bool,
    /// `Config::resident_documents_max`.
    pub residents: usize,
    /// How long a document takes to load at most, in milliseconds; 0: it is there at once.
    pub load_ms: usize,
    /// Starts with every document at rest whose head is noted in the store.
    pub starts_at_rest: bool,
    /// Divides every wait of the protocol.
    pub haste: u64,
}

/// Something that happens at a moment.
#[derive(Clone, Debug)]
pub struct Step {
    /// When, in milliseconds since the start.
    pub at_ms: u64,
    /// What.
    pub action: Action,
}

/// Something that happens. Numbers are taken modulo how many there are.
#[derive(Clone, Debug)]
pub enum Action {
    /// A transaction.
    Write {
        /// Who writes.
        host: usize,
        /// Where.
        document: usize,
        /// The edits.
        ops: Vec<Op>,
        /// What becomes of it.
        ending: Ending,
    },
    /// Something breaks.
    Fault(Fault),
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is committed.
    Commit,
    /// It fails, and must leave no trace.
    RollBack,
}

/// One thing that breaks.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What breaks.
    pub kind: FaultKind,
    /// Where: a host or a link.
    pub at: usize,
    /// Towards which other host, or how badly.
    pub with: usize,
    /// For how long.
    pub lasts_ms: u64,
}

macro_rules! fault_kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// The ways in which things break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        impl FaultKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// Returns what the kind is called in traces and tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

fault_kinds! {
    /// A link is lost with messages on their way; both ends hear of it, each in its own time.
    Cut = "link cut",
    /// A link is lost, and only one end hears of it.
    HalfOpen = "half-open link",
    /// A link is lost, and messages that were on their way still arrive after both ends know.
    Late = "late messages of a lost link",
    /// A message is lost, and those behind it arrive.
    Drop = "message dropped",
    /// A message arrives twice.
    Duplicate = "message duplicated",
    /// A message is overtaken by the next.
    Swap = "messages swapped",
    /// Nothing passes between two hosts, either way.
    Partition = "two-way partition",
    /// Nothing passes from one host to another.
    OneWay = "one-way partition",
    /// Messages of one link are late by seconds.
    Delay = "delay",
    /// A host reads nothing for a while.
    SlowReader = "slow reader",
    /// A host dies; nothing that was not durable survives.
    Crash = "crash, unsynced writes lost",
    /// A host dies while it writes; the oldest of what was not durable survives.
    TornCrash = "crash, unsynced writes torn",
    /// The disk fails to write or to read; the replica stops and is started again.
    DiskError = "disk error",
    /// The disk takes nothing for a while; the replica stops each time it has to write.
    DiskFull = "disk full",
    /// Writes become durable late.
    SlowDisk = "slow disk",
    /// A host is stopped in good order and started again.
    Restart = "restart",
    /// A running host cuts its logs, between two steps or in the midst of one.
    Truncation = "logs truncated",
    /// A host is stopped in good order and started again with another limit of its logs.
    LogLimit = "restart with another log limit",
    /// A host's wall clock is off by up to ten years.
    Skew = "clock skew",
    /// Every document of a host leaves its memory that may.
    Rest = "documents put to rest",
    /// A host dials a peer that it may be linked with already.
    SecondLink = "second link",
    /// A host's disk is set back to what was on it once; it notices, and goes on under another id.
    Restored = "store set back to an old backup",
    /// A host's disk is lost, and gets a copy of another host's; it notices, and goes on under another id.
    Cloned = "store replaced by a clone",
}

impl FaultKind {
    /// Tells whether a host gets another store.
    fn is_of_stores(self) -> bool {
        matches!(self, Self::Restored | Self::Cloned)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {}, with {}, {} ms)", self.kind.name(), self.at, self.with, self.lasts_ms)
    }
}

/// How long logs may get; the last is longer than any gets.
pub const LOG_BYTES: [usize; 4] = [0, 200, 1_000, 4 << 20];

/// How long a run goes on before everything is mended.
const ACTIVE_MS: usize = 60_000;

/// Writes to one document at most; the model holds 128 events.
const WRITES_MAX: usize = 110;

impl Plan {
    /// Draws a run.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut choices = Choices::new(seed);
        let hosts = 2 + choices.below(4);
        let documents = 1 + choices.below(3);
        let topology = [Topology::Mesh, Topology::Star, Topology::Ring, Topology::Line][choices.below(4)];
        let limits = (0..hosts).map(|_| Limits::draw(&mut choices)).collect();
        let latency_ms = [0, 1, 5, 40, 200][choices.below(5)];
        let both_dial = choices.below(4) == 0;
        let mut steps = writes(&mut choices, documents);
        steps.extend(faults(&mut choices));
        steps.extend(other_stores(seed));
        steps.sort_by_key(|step| step.at_ms);
        Self { seed, hosts, topology, documents, limits, latency_ms, both_dial, steps }
    }

    /// Lists who dials whom.
    #[must_use]
    pub fn edges(&self) -> Vec<(usize, usize)> {
        let last = self.hosts - 1;
        let mut edges: Vec<(usize, usize)> = match self.topology {
            Topology::Mesh => (0..self.hosts).flat_map(|to| (0..to).map(move |from| (from, to))).collect(),
            Topology::Star => (1..self.hosts).map(|from| (from, 0)).collect(),
            Topology::Line => (0..last).map(|from| (from, from + 1)).collect(),
            Topology::Ring if self.hosts == 2 => vec![(0, 1)],
            Topology::Ring => (0..self.hosts).map(|from| (from, (from + 1) % self.hosts)).collect(),
        };
        if self.both_dial {
            let back: Vec<(usize, usize)> = edges.iter().map(|(from, to)| (*to, *from)).collect();
            edges.extend(back);
        }
        edges
    }

    /// Returns the limits of a host.
    #[must_use]
    pub fn limits_of(&self, host: usize) -> Limits {
        self.limits[host.min(self.limits.len() - 1)]
    }
}

impl Limits {
    fn draw(choices: &mut Choices) -> Self {
        Self {
            log_bytes: LOG_BYTES[choices.below(LOG_BYTES.len())],
            chunk_bytes: [1_024, 4_096, 64 << 10][choices.below(3)],
            in_flight_bytes: [1, 600, 1 << 20][choices.below(3)],
            store_bytes: [0, 500, 1 << 20][choices.below(3)],
            opened_only: choices.below(8) == 0,
            residents: [1, 2, usize::MAX][choices.below(3)],
            load_ms: [0, 0, 20, 3_000][choices.below(4)],
            starts_at_rest: choices.coin(),
            haste: [1, 1, 3][choices.below(3)],
        }
    }
}

fn writes(choices: &mut Choices, documents: usize) -> Vec<Step> {
    let count = (20 + choices.below(100)).min(WRITES_MAX * documents);
    let counters_only = choices.below(5) == 0;
    // Many at once, or one now and then.
    let bursts = choices.coin();
    let mut at = 0;
    let mut steps = Vec::with_capacity(count);
    for number in 0..count {
        at = if bursts && !choices.bits().is_multiple_of(16) { at } else { choices.below(ACTIVE_MS) };
        let edit = |choices: &mut Choices| if counters_only { counter_op(choices) } else { op(choices) };
        let ops = (0..1 + choices.below(3)).map(|_| edit(choices)).collect();
        let ending = if choices.below(20) == 0 { Ending::RollBack } else { Ending::Commit };
        let action = Action::Write { host: choices.below(16), document: number % documents, ops, ending };
        steps.push(Step { at_ms: at as u64, action });
    }
    steps
}

fn faults(choices: &mut Choices) -> Vec<Step> {
    let kinds = FaultKind::ALL.iter().copied().filter(|kind| !kind.is_of_stores());
    let kinds: Vec<FaultKind> = kinds.filter(|_| choices.coin()).collect();
    if kinds.is_empty() {
        return Vec::new();
    }
    let count = 20 + choices.below(80);
    let fault = |choices: &mut Choices| {
        let kind = kinds[choices.below(kinds.len())];
        // A heavy tail: most pass quickly, one in sixteen outlasts every wait of the protocol.
        let lasts_ms = [50, 50, 50, 500, 500, 2_000, 5_000, 60_000][choices.below(8)];
        let lasts_ms = choices.below(lasts_ms) as u64;
        let fault = Fault { kind, at: choices.below(64), with: choices.below(64), lasts_ms };
        Step { at_ms: choices.below(ACTIVE_MS) as u64, action: Action::Fault(fault) }
    };
    (0..count).map(|_| fault(choices)).collect()
}

/// Hosts that get another store, in one run of three. Drawn by themselves: all else in a run is as it would be without.
fn other_stores(seed: u64) -> Vec<Step> {
    let mut choices = Choices::new(seed ^ 0x7374_6f72_6573);
    if choices.below(3) > 0 {
        return Vec::new();
    }
    let fault = |choices: &mut Choices| {
        let kind = if choices.below(3) == 0 { FaultKind::Cloned } else { FaultKind::Restored };
        let lasts_ms = choices.below(2_000) as u64;
        let fault = Fault { kind, at: choices.below(64), with: choices.below(64), lasts_ms };
        Step { at_ms: choices.below(ACTIVE_MS) as u64, action: Action::Fault(fault) }
    };
    (0..2 + choices.below(10)).map(|_| fault(&mut choices)).collect()
}

/// Edits of one counter and of the map that holds it.
fn counter_op(choices: &mut Choices) -> Op {
    let (map, edit): (Vec<Name>, Edit) = match choices.below(12) {
        0..7 => (vec!["a"], Edit::Add(1 + choices.below(99) as i64)),
        7..9 => (vec!["a"], Edit::Reset),
        9 => (vec!["a"], Edit::Remove(Kind::Counter)),
        10 => (vec![], Edit::Remove(Kind::Map)),
        _ => (vec![], Edit::ClearMap),
    };
    Op { map, name: "a", edit }
}

fn op(choices: &mut Choices) -> Op {
    let maps: [&[Name]; 6] = [&[], &[], &["a"], &["a"], &["b"], &["a", "a"]];
    let map = maps[choices.below(6)].to_vec();
    let name = if choices.below(4) == 0 { "b" } else { "a" };
    let value = |choices: &mut Choices| match choices.below(12) {
        0 => Value::Null,
        1 => Value::from(true),
        2 => Value::from(f64::NAN),
        3..5 => Value::from("x"),
        // Long enough for a message in parts.
        5 if choices.below(4) == 0 => Value::from(vec![7_u8; 1_500]),
        number => Value::from(number as i64 % 3),
    };
    let edit = match choices.below(32) {
        0..6 => Edit::Write(value(choices)),
        6 => Edit::ClearRegister,
        7..13 => Edit::Add(choices.below(100) as i64 - 3),
        13..15 => Edit::Reset,
        15..21 => Edit::Insert(value(choices)),
        21..24 => Edit::RemoveElement(value(choices)),
        24 => Edit::ClearSet,
        25 => Edit::CreateSet,
        26 => Edit::CreateMap,
        27 => Edit::ClearMap,
        _ => Edit::Remove([Kind::Map, Kind::Set, Kind::Register, Kind::Counter][choices.below(4)]),
    };
    Op { map, name, edit }
}
