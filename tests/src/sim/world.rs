//! The world of one run: machines, wires and a clock that jumps from one happening to the next.
//!
//! How is a run repeatable? There is one thread, one queue of happenings ordered by time and then by
//! when they were entered, and one stream of choices for each thing that draws any, all from the
//! plan's seed. Nothing here looks at a real clock or at anything in hash order.
//!
//! `links` carries messages, `faults` breaks things, `memory` loads documents, `turn` carries out what endpoints
//! ask for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crdt_core::{EditError, Transaction, VersionVector};
use crdt_sync::{DocumentId, Input, SessionStatus, TransactError};

use super::host::{Host, folded};
use super::machine::Machine;
use super::oracle::{Broken, Check, Oracle, Violation, broken, replica_of};
use super::plan::{Action, Ending, Plan, Step};
use super::tally::Tally;
use super::trace::{Detail, Trace, Who};
use super::wire::{Wire, WireNumber};
use crate::choices::Choices;
use crate::op::{Edit, Op};

mod faults;
mod links;
mod memory;
mod turn;

use links::Edge;
use turn::Commit;

/// How long the replicas have to become equal, with no dead link left, once nothing breaks any more.
/// The longest wait of the protocol is 45 s, and a link that dies of it may be one of several in a line.
const MEND_MS_MAX: u64 = 300_000;

/// How long writes may take to get everywhere once all is mended. No link may be lost meanwhile, so
/// nothing is rescued by a new one.
const SPREAD_MS_MAX: u64 = 60_000;

/// How long all must stay well after that: beyond every wait of the protocol.
const REST_MS: u64 = 50_000;

/// How often the end is looked for.
const LOOK_EVERY_MS: u64 = 500;

/// Happenings in one run at most: beyond, something goes round in circles.
const HAPPENINGS_MAX: u64 = 1_000_000;

/// What is left of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What was found to be broken, if anything.
    pub violation: Option<Violation>,
    /// What happened, in numbers.
    pub tally: Tally,
    /// What happened, as a hash and perhaps as text.
    pub trace: Trace,
}

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// A step of the plan.
    Step(usize),
    /// One end learns that a wire is up.
    Up { wire: WireNumber, end: usize },
    /// A message reaches an end.
    Arrival { wire: WireNumber, end: usize },
    /// One end learns that a wire is gone.
    Down { wire: WireNumber, end: usize },
    /// An edge of the topology wants a link.
    Dial { edge: usize },
    /// What a host has asked its disk for becomes durable.
    Sync { host: usize, life: u64 },
    /// A document that a host has asked for is loaded.
    Load { host: usize, life: u64 },
    /// A host's timer.
    Timer { host: usize },
    /// A host is switched on.
    Start { host: usize },
    /// Looks whether all is well that ends well.
    Look,
}

/// Everything there is.
pub struct World<'p> {
    plan: &'p Plan,
    now_ms: u64,
    /// When the last fault is over.
    calm_ms: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    entered: u64,
    machines: Vec<Machine>,
    ids: Vec<DocumentId>,
    edges: Vec<Edge>,
    wires: BTreeMap<WireNumber, Wire>,
    wires_laid: u64,
    links_numbered: u64,
    /// By (from, to): nothing passes before this moment.
    blocked: BTreeMap<(usize, usize), u64>,
    oracle: Oracle,
    choices: Choices,
    tally: Tally,
    trace: Trace,
    /// The host that is dealt with has got a document, and all that has waited for it at once.
    has_loaded: bool,
    /// Everybody was equal, and all links alive: from now on they have to stay so.
    is_mended: bool,
    /// Everybody is equal once more, and must be so then.
    rests_until_ms: Option<u64>,
    /// When everybody must be equal.
    deadline_ms: u64,
    is_over: bool,
}

impl<'p> World<'p> {
    /// Sets a run up.
    #[must_use]
    pub fn new(plan: &'p Plan, detail: Detail) -> Self {
        let ids: Vec<DocumentId> =
            (0..plan.documents).map(|number| DocumentId::new(format!("d{number}")).expect("a short name")).collect();
        let machines = (0..plan.hosts).map(|host| Machine::new(replica_of(host), plan.limits_of(host))).collect();
        let over = |step: &Step| match &step.action {
            Action::Fault(fault) => step.at_ms + fault.lasts_ms,
            Action::Write { .. } => step.at_ms,
        };
        Self {
            plan,
            now_ms: 0,
            calm_ms: plan.steps.iter().map(over).max().unwrap_or_default(),
            queue: BinaryHeap::new(),
            entered: 0,
            machines,
            edges: plan.edges().into_iter().map(|(from, to)| Edge { from, to, wire: None, dials: false }).collect(),
            wires: BTreeMap::new(),
            wires_laid: 0,
            links_numbered: 0,
            blocked: BTreeMap::new(),
            oracle: Oracle::new(plan.hosts, ids.clone(), plan.seed),
            ids,
            choices: Choices::new(plan.seed ^ 0x776f_726c_6473),
            tally: Tally { seeds: 1, ..Tally::default() },
            trace: Trace::new(detail),
            has_loaded: false,
            is_mended: false,
            rests_until_ms: None,
            deadline_ms: 0,
            is_over: false,
        }
    }

    /// Lets everything happen; a panic is a broken promise like any other.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        let result = catch_unwind(AssertUnwindSafe(|| self.go_on())).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text");
            broken(Check::NoPanic, text.to_owned())
        });
        let violation = result.err().map(|Broken { check, detail }| Violation { at_ms: self.now_ms, check, detail });
        Outcome { violation, tally: self.tally, trace: self.trace }
    }

    fn go_on(&mut self) -> Result<(), Broken> {
        for host in 0..self.machines.len() {
            self.start(host)?;
        }
        for edge in 0..self.edges.len() {
            let within_ms = self.choices.below(200) as u64;
            self.dial_after(edge, within_ms);
        }
        for (number, step) in self.plan.steps.iter().enumerate() {
            self.enter(step.at_ms, Happening::Step(number));
        }
        self.deadline_ms = self.calm_ms + MEND_MS_MAX;
        self.enter(self.calm_ms + LOOK_EVERY_MS, Happening::Look);
        while !self.is_over {
            let Some(Reverse((at_ms, _, happening))) = self.queue.pop() else { break };
            self.now_ms = at_ms;
            self.tally.happenings += 1;
            if self.tally.happenings > HAPPENINGS_MAX {
                return broken(Check::Bounds, "the network does not come to rest".to_owned());
            }
            self.happen(happening)?;
        }
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        match happening {
            Happening::Step(number) => self.step(number),
            Happening::Up { wire, end } => self.up(wire, end),
            Happening::Arrival { wire, end } => self.arrive(wire, end),
            Happening::Down { wire, end } => self.hear_down(wire, end),
            Happening::Dial { edge } => self.dial(edge),
            Happening::Sync { host, life } => self.sync(host, life),
            Happening::Load { host, life } => self.load(host, life),
            Happening::Timer { host } => self.timer(host),
            Happening::Start { host } => self.start(host),
            Happening::Look => self.look(),
        }
    }

    fn enter(&mut self, at_ms: u64, happening: Happening) {
        self.entered += 1;
        self.queue.push(Reverse((at_ms.max(self.now_ms), self.entered, happening)));
    }

    fn step(&mut self, number: usize) -> Result<(), Broken> {
        match &self.plan.steps[number].action {
            Action::Write { host, document, ops, ending } => {
                self.write(host % self.machines.len(), document % self.ids.len(), ops, *ending)
            }
            Action::Fault(fault) => self.fault(*fault),
        }
    }

    fn write(&mut self, host: usize, document: usize, ops: &[Op], ending: Ending) -> Result<(), Broken> {
        self.bring(host, document)?;
        let machine = &mut self.machines[host];
        let now = machine.now(self.now_ms);
        let Some(Host { endpoint, .. }) = &mut machine.host else { return Ok(()) };
        let before = endpoint.document(&self.ids[document]).map_or_else(VersionVector::new, |open| open.version());
        let dot = before.next(machine.replica);
        let truth = &mut self.oracle.truths[document];
        let Ok(past) = truth.events(&before) else {
            return broken(Check::NoInvention, format!("{before:?} covers what was never spent"));
        };
        if truth.is_spent(dot) {
            return broken(Check::OneContent, format!("{dot} is about to be spent again"));
        }
        let event = truth.model.begin(dot, past);
        let result = endpoint.transact(now, &self.ids[document], |transaction| -> Result<(), Stop> {
            for op in ops {
                truth.model.push(op.clone());
                play(transaction, op)?;
            }
            if ending == Ending::RollBack { Err(Stop::ByPlan) } else { Ok(()) }
        });
        if let Err(TransactError::Open(error)) = result {
            return broken(Check::Reopens, error.to_string());
        }
        let is_committed = endpoint.document(&self.ids[document]).is_some_and(|open| open.version().covers(dot));
        if !is_committed {
            let is_wrong = result.is_ok() && truth.model.changes_anything(event);
            truth.model.abandon();
            if is_wrong {
                return broken(Check::Model, format!("{ops:?} was not committed, though it changes something"));
            }
            return self.settle(host, None);
        }
        if result.is_err() {
            return broken(Check::Model, format!("{ops:?} failed, and was committed"));
        }
        self.tally.transactions += 1;
        self.note(host, &dot.counter.to_le_bytes(), || format!("writes d{document}: {ops:?}"));
        self.settle(host, Some(Commit { event, document }))
    }

    /// Looks for the end: everybody is up and holds everything.
    fn look(&mut self) -> Result<(), Broken> {
        self.mend_wires();
        for host in 0..self.machines.len() {
            let machine = &mut self.machines[host];
            let now = machine.now(self.now_ms);
            // Whoever takes only what was opened would wait for ever.
            let Some(up) = machine.host.as_mut().filter(|_| machine.limits.opened_only) else { continue };
            for id in &self.ids {
                up.endpoint.open(now, id, None).map_err(|error| reopens(&error))?;
            }
            self.settle(host, None)?;
        }
        match self.is_unfinished() {
            Some(why) if self.now_ms > self.deadline_ms => return broken(Check::Converges, why),
            None if self.rests_until_ms.is_some_and(|until_ms| self.now_ms >= until_ms) => {
                self.is_over = true;
                return self.conclude();
            }
            None if self.is_mended => {
                let until_ms = *self.rests_until_ms.get_or_insert(self.now_ms + REST_MS);
                self.deadline_ms = until_ms + SPREAD_MS_MAX;
                self.enter(until_ms.max(self.now_ms + LOOK_EVERY_MS), Happening::Look);
                return Ok(());
            }
            None => self.write_once_more()?,
            Some(_) => {}
        }
        self.enter(self.now_ms + LOOK_EVERY_MS, Happening::Look);
        Ok(())
    }

    /// All is well: now writes have to get everywhere by themselves, and no link may be lost over it.
    fn write_once_more(&mut self) -> Result<(), Broken> {
        self.is_mended = true;
        self.deadline_ms = self.now_ms + SPREAD_MS_MAX;
        let (hosts, documents) = (self.machines.len(), self.ids.len());
        for number in 0..hosts * documents {
            let (host, document) = (number % hosts, number / hosts);
            let op = Op { map: vec!["a"], name: "last", edit: Edit::Add(1) };
            self.write(host, document, &[op], Ending::Commit)?;
        }
        Ok(())
    }

    /// Returns what is still missing.
    fn is_unfinished(&self) -> Option<String> {
        if let Some(link) = self.restless() {
            return Some(link);
        }
        for (number, machine) in self.machines.iter().enumerate() {
            let Some(host) = &machine.host else { return Some(format!("host {number} is down")) };
            if !host.unsynced().is_empty() || !host.asked().is_empty() {
                return Some(format!("host {number} waits for its disk"));
            }
            for (document, id) in self.ids.iter().enumerate() {
                let all = self.oracle.truths[document].version();
                let version = host.endpoint.head(id).map_or_else(VersionVector::new, |head| head.version());
                if version != all {
                    return Some(format!("host {number} holds {version:?} of d{document}, not {all:?}"));
                }
            }
            let is_busy = |session: &SessionStatus| {
                session.peer.is_none() || session.in_sync < session.documents || session.in_flight_bytes > 0
            };
            if let Some(busy) = host.endpoint.sessions().find(is_busy) {
                return Some(format!("host {number} does not know that its peer has everything: {busy:?}"));
            }
        }
        None
    }

    fn conclude(&mut self) -> Result<(), Broken> {
        for (host, machine) in self.machines.iter().enumerate() {
            self.oracle.at_rest(host, machine)?;
        }
        for document in 0..self.ids.len() {
            let mut held = Vec::new();
            for host in 0..self.machines.len() {
                held.extend(self.bring(host, document)?.map(|content| (host, content)));
            }
            let bytes: BTreeSet<Vec<u8>> = held.iter().map(|(_, content)| content.encode()).collect();
            if bytes.len() > 1 {
                return broken(Check::EqualStates, format!("d{document} has {} encodings", bytes.len()));
            }
            self.trace.note(self.now_ms, Who::World, &bytes.into_iter().flatten().collect::<Vec<u8>>(), || {
                format!("d{document} is the same everywhere")
            });
            for (host, content) in held {
                if let Some(stored) = self.machines[host].store.load(self.ids[document].as_str()) {
                    let stored = folded(stored.snapshot, &stored.deltas);
                    self.oracle.conclude(host, document, &content, &stored)?;
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, host: usize, content: &[u8], text: impl FnOnce() -> String) {
        self.trace.note(self.now_ms, Who::Host(host), content, text);
    }
}

/// Why a transaction of the plan fails.
enum Stop {
    /// The plan says so.
    ByPlan,
    /// The document refuses it.
    Refused,
}

fn play(transaction: &mut Transaction<'_>, op: &Op) -> Result<(), Stop> {
    match op.play(&mut transaction.root()) {
        Ok(_) => Ok(()),
        Err(EditError::CounterOverflow) => Err(Stop::Refused),
        Err(error) => panic!("{op:?} is within all limits: {error}"),
    }
}

fn reopens(error: &crdt_sync::OpenError) -> Broken {
    Broken { check: Check::Reopens, detail: error.to_string() }
}

impl World<'_> {
    /// Switches a host on, if it is off.
    fn start(&mut self, host: usize) -> Result<(), Broken> {
        let machine = &mut self.machines[host];
        if machine.host.is_some() {
            return Ok(());
        }
        machine.life += 1;
        let (now, config) = (machine.now(self.now_ms), machine.config());
        let start = if machine.limits.starts_at_rest { Host::start_at_rest } else { Host::start };
        let incarnation = (host as u64 + 1) << 32 | machine.life;
        let up = start(now, (machine.replica, incarnation), config, &machine.store).map_err(|error| reopens(&error))?;
        let stored = |id: &DocumentId| machine.store.load(id.as_str()).expect("it was opened from there");
        let documents = up.endpoint.heads().map(|(id, head)| {
            let held = stored(id);
            (id.clone(), head, folded(held.snapshot, &held.deltas))
        });
        self.oracle.started(host, documents)?;
        self.machines[host].host = Some(up);
        let life = self.machines[host].life;
        self.note(host, &life.to_le_bytes(), || format!("starts, life {life}"));
        self.settle(host, None)
    }

    fn timer(&mut self, host: usize) -> Result<(), Broken> {
        let machine = &mut self.machines[host];
        if machine.timer_ms != Some(self.now_ms) {
            return Ok(());
        }
        machine.timer_ms = None;
        let now = machine.now(self.now_ms);
        let Some(up) = &mut machine.host else { return Ok(()) };
        up.endpoint.handle(now, Input::Timeout);
        self.settle(host, None)
    }
}
