//! A state of all replicas and the links between them, and what can happen next.
//!
//! A wire carries messages towards one end of a link. An end that has heard that the link is down
//! gets nothing more; what it had sent may still arrive at the other.

use std::hash::{Hash, Hasher};

use super::live::{Input, MessageId};
use super::replicas::{BROKEN_LINK, CUT_LOSS, Fault, Marks, REPLICAS_MAX, Replicas, StateId};
use super::scenario::{Allowance, Scenario};

/// The most pairs that dial each other.
const DIALS_MAX: usize = 3;

/// Replicas, links, and the faults that are left.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) replicas: [StateId; REPLICAS_MAX],
    pub(super) links: Vec<Link>,
    pub(super) now_ms: u32,
    /// What may still happen. `dials` is not counted here, but below.
    pub(super) left: Allowance,
    pub(super) dials_left: [u8; DIALS_MAX],
    /// When each pair was last dialled.
    pub(super) dialled_ms: [Option<u32>; DIALS_MAX],
    /// What was found wrong on the way here.
    pub(super) fault: Option<Fault>,
    /// What was new in the last step. Not part of the state: another way here may differ.
    pub(super) marks: Marks,
}

/// A connection, from its dialling until both ends have heard of its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Link {
    /// Which of the pairs of the scenario. The one that dials is end 0.
    pub(super) pair: u8,
    pub(super) ends: [End; 2],
    /// What is on its way to each end.
    pub(super) wires: [Vec<MessageId>; 2],
}

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    /// It has been dialled and does not know yet.
    Ringing,
    /// Up, under this number.
    Up(u8),
    /// It was closed by its replica, which the other end will be told behind the last message.
    Closed,
    /// It has gone silently: crashed or cut.
    Gone,
}

impl End {
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Ringing | Self::Up(_))
    }
}

/// Something that happens next. Replicas, pairs and links by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A replica makes its next write.
    Write {
        /// Who.
        at: u8,
    },
    /// Its oldest writes become durable.
    Sync {
        /// Who.
        at: u8,
        /// How many.
        count: u8,
    },
    /// It crashes and starts again.
    Crash {
        /// Who.
        at: u8,
        /// How many of the writes that were not durable have become so.
        kept: u8,
    },
    /// A pair gets a new link, which is up at the end that dialled.
    Dial {
        /// Which pair.
        pair: u8,
    },
    /// The link is up at the other end too.
    Accept {
        /// Which link.
        link: u8,
    },
    /// The first message on a wire arrives.
    Deliver {
        /// Which link.
        link: u8,
        /// To which end.
        to: u8,
    },
    /// The first message on a wire arrives and is still there.
    Repeat {
        /// Which link.
        link: u8,
        /// To which end.
        to: u8,
    },
    /// The first message on a wire vanishes.
    Lose {
        /// Which link.
        link: u8,
        /// To which end.
        to: u8,
    },
    /// One end hears that the link is down.
    Hear {
        /// Which link.
        link: u8,
        /// Which end.
        end: u8,
    },
    /// Time goes on.
    Tick {
        /// To when.
        now_ms: u32,
    },
}

/// Hash and equality leave out the marks.
impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place() && (self.left, self.dials_left) == (other.left, other.dials_left)
    }
}

impl Eq for World {}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place().hash(state);
        (self.left, self.dials_left).hash(state);
    }
}

impl World {
    pub(super) fn new(scenario: &Scenario, replicas: [StateId; REPLICAS_MAX]) -> Self {
        Self {
            replicas,
            links: Vec::new(),
            now_ms: 0,
            left: Allowance { dials: 0, ..scenario.allowance },
            dials_left: std::array::from_fn(|pair| match pair < scenario.dials.len() {
                true => scenario.allowance.dials,
                false => 0,
            }),
            dialled_ms: [None; DIALS_MAX],
            fault: None,
            marks: 0,
        }
    }

    /// All of the state but what may still go wrong.
    pub(super) fn place(&self) -> impl Hash + PartialEq + '_ {
        (&self.replicas, &self.links, self.now_ms, &self.dialled_ms, self.fault)
    }

    /// Tells whether each two that have dialled still have a link that is sound at both ends, or
    /// something has gone wrong that excuses them.
    pub(super) fn keeps_links(&self, scenario: &Scenario) -> bool {
        let untouched = Allowance { dials: 0, ..scenario.allowance };
        let between = |pair: usize| {
            let (from, to) = scenario.dials[pair];
            (from.min(to), from.max(to))
        };
        self.left != untouched
            || (0..scenario.dials.len()).filter(|pair| self.dialled_ms[*pair].is_some()).all(|pair| {
                let mut links = self.links.iter().filter(|link| between(usize::from(link.pair)) == between(pair));
                links.any(|link| link.ends.iter().all(|end| end.is_open()))
            })
    }

    /// Lists what can happen next.
    pub(super) fn actions(&self, scenario: &Scenario, replicas: &Replicas, actions: &mut Vec<Action>) {
        for at in 0..scenario.writes.len() {
            let facts = replicas.facts(self.replicas[at]);
            let (writes, at) = (scenario.writes[at].len(), small(at));
            if usize::from(facts.written) < writes {
                actions.push(Action::Write { at });
            }
            actions.extend((1..=facts.unsynced).map(|count| Action::Sync { at, count }));
            if self.left.crashes > 0 {
                actions.extend((0..=facts.unsynced).map(|kept| Action::Crash { at, kept }));
            }
        }
        for pair in (0..small(scenario.dials.len())).filter(|pair| self.dials_left[usize::from(*pair)] > 0) {
            if !self.links.iter().any(|link| link.pair == pair && link.ends[0].is_open()) {
                actions.push(Action::Dial { pair });
            }
        }
        for (link, number) in self.links.iter().zip(0..) {
            self.link_actions(link, number, actions);
        }
        if self.left.ticks > 0
            && let Some(now_ms) = self.next_timer_ms(scenario, replicas)
        {
            actions.push(Action::Tick { now_ms });
        }
    }

    fn link_actions(&self, link: &Link, number: u8, actions: &mut Vec<Action>) {
        if link.ends[1] == End::Ringing {
            actions.push(Action::Accept { link: number });
        }
        for end in 0..2 {
            let End::Up(_) = link.ends[end] else { continue };
            let to = small(end);
            if !link.wires[end].is_empty() {
                actions.push(Action::Deliver { link: number, to });
                if self.left.repeats > 0 {
                    actions.push(Action::Repeat { link: number, to });
                }
                if self.left.losses > 0 {
                    actions.push(Action::Lose { link: number, to });
                }
            }
            if self.left.cuts > 0 || !link.ends[1 - end].is_open() {
                actions.push(Action::Hear { link: number, end: to });
            }
        }
    }

    /// When some replica must next be told the time.
    pub(super) fn next_timer_ms(&self, scenario: &Scenario, replicas: &Replicas) -> Option<u32> {
        let states = self.replicas[..scenario.writes.len()].iter();
        let first = states.filter_map(|state| replicas.facts(*state).deadline_ms).min()?;
        let first = u32::try_from(first).expect("a scenario lasts minutes");
        Some(first.max(self.now_ms + 1))
    }
}

/// The world while something happens in it, perhaps told as a story.
pub(super) struct Turn<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) replicas: &'a mut Replicas,
    pub(super) world: World,
    pub(super) story: Option<&'a mut Vec<String>>,
}

impl Turn<'_> {
    /// Lets one thing happen.
    pub(super) fn act(&mut self, action: Action) {
        self.world.marks = 0;
        match action {
            Action::Write { at } => self.input(usize::from(at), Input::Write),
            Action::Sync { at, count } => self.input(usize::from(at), Input::Sync { count }),
            Action::Crash { at, kept } => self.crash(usize::from(at), kept),
            Action::Dial { pair } => self.dial(pair),
            Action::Accept { link } => {
                self.world.links[usize::from(link)].ends[1] = End::Up(0);
                self.bring_up(usize::from(link), 1);
            }
            Action::Deliver { link, to } => {
                let message = self.world.links[usize::from(link)].wires[usize::from(to)].remove(0);
                self.deliver(usize::from(link), usize::from(to), message);
            }
            Action::Repeat { link, to } => {
                self.world.left.repeats -= 1;
                self.world.marks |= BROKEN_LINK;
                let message = self.world.links[usize::from(link)].wires[usize::from(to)][0];
                self.deliver(usize::from(link), usize::from(to), message);
            }
            Action::Lose { link, to } => {
                self.world.left.losses -= 1;
                self.world.marks |= BROKEN_LINK;
                self.world.links[usize::from(link)].wires[usize::from(to)].remove(0);
            }
            Action::Hear { link, end } => self.hear(usize::from(link), usize::from(end)),
            Action::Tick { now_ms } => {
                self.world.left.ticks = self.world.left.ticks.saturating_sub(1);
                self.world.now_ms = now_ms;
                for at in 0..self.scenario.writes.len() {
                    self.input(at, Input::Clock { now_ms });
                }
            }
        }
        self.world.links.retain(|link| link.ends.iter().any(|end| end.is_open()));
    }

    fn crash(&mut self, at: usize, kept: u8) {
        self.world.left.crashes = self.world.left.crashes.saturating_sub(1);
        for link in 0..self.world.links.len() {
            for end in 0..2 {
                if self.replica_at(link, end) == at && self.world.links[link].ends[end].is_open() {
                    self.world.links[link].ends[end] = End::Gone;
                    self.world.links[link].wires[end].clear();
                }
            }
        }
        self.input(at, Input::Crash { kept });
    }

    fn dial(&mut self, pair: u8) {
        let pair_at = usize::from(pair);
        self.world.dials_left[pair_at] = self.world.dials_left[pair_at].saturating_sub(1);
        self.world.dialled_ms[pair_at] = Some(self.world.now_ms);
        self.world.links.push(Link { pair, ends: [End::Up(0), End::Ringing], wires: [Vec::new(), Vec::new()] });
        self.bring_up(self.world.links.len() - 1, 0);
    }

    /// Tells a replica of its new link; its answer is the first message on it.
    fn bring_up(&mut self, link: usize, end: usize) {
        let at = self.replica_at(link, end);
        let number = self.replicas.facts(self.world.replicas[at]).links + 1;
        self.world.links[link].ends[end] = End::Up(number);
        self.input(at, Input::LinkUp);
    }

    fn deliver(&mut self, link: usize, to: usize, message: MessageId) {
        if let End::Up(number) = self.world.links[link].ends[to] {
            self.input(self.replica_at(link, to), Input::Receive { link: number, message });
        }
    }

    /// One end hears that the link is down. What was on its way to it comes too late to do anything.
    fn hear(&mut self, link: usize, end: usize) {
        let End::Up(number) = self.world.links[link].ends[end] else { return };
        if self.world.links[link].ends[1 - end].is_open() {
            self.world.left.cuts = self.world.left.cuts.saturating_sub(1);
            if self.world.links[link].wires.iter().any(|wire| !wire.is_empty()) {
                self.world.marks |= CUT_LOSS;
            }
        }
        self.world.links[link].ends[end] = End::Gone;
        let late = std::mem::take(&mut self.world.links[link].wires[end]);
        let at = self.replica_at(link, end);
        self.input(at, Input::LinkDown { link: number });
        let state = self.world.replicas[at];
        for message in late {
            let step = self.replicas.step(state, Input::Receive { link: number, message });
            if step.to != state || !step.sent.is_empty() || !step.closed.is_empty() {
                self.world.fault = Some(Fault::Late);
            }
        }
    }

    /// Gives a replica an input, and puts what it says on the wires.
    fn input(&mut self, at: usize, input: Input) {
        let from = self.world.replicas[at];
        if let Some(story) = &mut self.story {
            story.push(format!("  replica {}: {}", at + 1, self.replicas.describe(from, input)));
        }
        let step = self.replicas.step(from, input);
        self.world.replicas[at] = step.to;
        self.world.marks |= step.marks;
        self.world.fault = self.world.fault.or(step.fault);
        for (number, message) in &step.sent {
            if let Some((link, end)) = self.find(at, *number) {
                let link = &mut self.world.links[link];
                if link.ends[1 - end].is_open() {
                    link.wires[1 - end].push(*message);
                }
            }
        }
        for number in &step.in_sync {
            self.check_in_sync(at, *number);
        }
        for number in &step.closed {
            if let Some((link, end)) = self.find(at, *number) {
                self.world.links[link].ends[end] = End::Closed;
                self.world.links[link].wires[end].clear();
            }
        }
    }

    /// Who is in sync with a peer holds nothing that the peer could lose.
    fn check_in_sync(&mut self, at: usize, number: u8) {
        let Some((link, end)) = self.find(at, number) else { return };
        let peer = self.replica_at(link, 1 - end);
        let ours = self.replicas.facts(self.world.replicas[at]).version;
        let theirs = self.replicas.facts(self.world.replicas[peer]).stored;
        if ours.iter().zip(theirs).any(|(ours, theirs)| *ours > theirs) {
            self.world.fault = self.world.fault.or(Some(Fault::InSync));
        }
    }

    /// Finds the link that a replica calls by this number.
    fn find(&self, at: usize, number: u8) -> Option<(usize, usize)> {
        let ends = (0..self.world.links.len()).flat_map(|link| [(link, 0), (link, 1)]);
        ends.into_iter().find(|(link, end)| {
            self.world.links[*link].ends[*end] == End::Up(number) && self.replica_at(*link, *end) == at
        })
    }

    fn replica_at(&self, link: usize, end: usize) -> usize {
        let (from, to) = self.scenario.dials[usize::from(self.world.links[link].pair)];
        [from, to][end]
    }
}

fn small(place: usize) -> u8 {
    u8::try_from(place).expect("a scenario is small")
}
