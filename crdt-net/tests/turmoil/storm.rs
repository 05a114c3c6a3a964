//! The storm: what happens to a network and its hosts, and when, all of it from one seed.
//!
//! Every fault ends by itself; at the end of the storm the ends that are still to come are brought
//! forward, so that what is left is a whole network.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use turmoil::Sim;

use crate::choices::Choices;
use crate::host::{Host, Order, host_name};
use crate::run::step;
use crate::scene::Scene;
use crate::trace::Trace;
use crate::write::{DOCUMENTS, Write};

/// What has been put out of order, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Partition(usize, usize),
    /// Nothing gets from the first to the second.
    OneWay(usize, usize),
    /// Messages wait, and arrive later all at once.
    Hold(usize, usize),
    /// The process ends; the system closes its connections.
    Crash(usize),
    /// The machine is gone from one moment to the next, and its peers hear nothing.
    PowerCut(usize),
    Offline(usize),
    /// The application changes its mind about a peer.
    HungUp(usize, usize),
}

/// Something that happens at a moment.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Write,
    Burst,
    Fault,
    Mend(Fault),
}

/// What is to happen, in order.
pub(crate) struct Storm {
    scene: Arc<Scene>,
    hosts: Vec<Arc<Host>>,
    choices: Choices,
    trace: Trace,
    /// By millisecond, and by number among those of one millisecond.
    agenda: BTreeMap<(u64, u64), Moment>,
    faults: BTreeSet<Fault>,
    moment_next: u64,
    write_next: u64,
}

impl Storm {
    pub(crate) fn new(scene: &Arc<Scene>, hosts: &[Arc<Host>], choices: Choices, trace: &Trace) -> Self {
        let mut storm = Self {
            scene: Arc::clone(scene),
            hosts: hosts.to_vec(),
            choices,
            trace: trace.clone(),
            agenda: BTreeMap::new(),
            faults: BTreeSet::new(),
            moment_next: 0,
            write_next: 0,
        };
        storm.note(1, Moment::Write);
        storm.note(1_000, Moment::Burst);
        storm.note(1_000, Moment::Fault);
        storm
    }

    /// Does what is due.
    pub(crate) fn blow(&mut self, sim: &mut Sim<'static>) {
        let now_ms = millis(sim.elapsed());
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > now_ms {
                break;
            }
            match entry.remove() {
                Moment::Write => {
                    let host = self.choices.below(self.hosts.len());
                    let document = self.choices.pick(&DOCUMENTS);
                    self.write(host, document);
                    self.note_within(now_ms, 1..=120, Moment::Write);
                }
                Moment::Burst => {
                    let host = self.choices.below(self.hosts.len());
                    let document = self.choices.pick(&DOCUMENTS);
                    (0..self.choices.between(10, 400)).for_each(|_| self.write(host, document));
                    self.note_within(now_ms, 2_000..=8_000, Moment::Burst);
                }
                Moment::Fault => {
                    self.break_something(sim, now_ms);
                    self.note_within(now_ms, 100..=1_500, Moment::Fault);
                }
                Moment::Mend(fault) => self.mend(sim, fault),
            }
        }
    }

    /// Mends everything, and lets every host write once more.
    pub(crate) fn end(&mut self, sim: &mut Sim<'static>) {
        sim.set_fail_rate(0.0);
        for fault in self.faults.clone() {
            self.mend(sim, fault);
        }
        // Links that turmoil broke by chance, and did not repair.
        for (left, right) in self.pairs() {
            sim.release(host_name(left), host_name(right));
        }
        self.agenda.clear();
        for host in 0..self.hosts.len() {
            self.write(host, DOCUMENTS[0]);
        }
        self.trace.add_at(sim.elapsed(), "net", format_args!("the storm is over"));
    }

    fn write(&mut self, host: usize, document: &'static str) {
        let write = Write::draw(host, self.write_next, document, &mut self.choices);
        self.write_next += 1;
        self.hosts[host].order(Order::Write(write));
    }

    /// Draws a fault, and when it ends. Nothing happens if it would meet another one.
    fn break_something(&mut self, sim: &mut Sim<'static>, now_ms: u64) {
        let (left, right) = {
            let pairs = self.pairs();
            let (left, right) = self.choices.pick(&pairs);
            if self.choices.once_in(2) { (left, right) } else { (right, left) }
        };
        let fault = match self.choices.below(16) {
            0..3 => Fault::Partition(left, right),
            3..6 => Fault::OneWay(left, right),
            6..9 => Fault::Hold(left, right),
            9..11 => Fault::Crash(left),
            11 | 12 => Fault::PowerCut(left),
            13 => Fault::Offline(left),
            14 => return self.tell(sim, left, Order::Reopen),
            _ => Fault::HungUp(self.scene.dials[0].0, self.scene.dials[0].1),
        };
        if self.faults.iter().any(|other| meet(*other, fault)) {
            return;
        }
        self.trace.add_at(sim.elapsed(), "net", format_args!("{fault:?}"));
        self.faults.insert(fault);
        self.strike(sim, fault);
        self.note_within(now_ms, 100..=5_000, Moment::Mend(fault));
    }

    fn strike(&self, sim: &mut Sim<'static>, fault: Fault) {
        match fault {
            Fault::Partition(left, right) => sim.partition(host_name(left), host_name(right)),
            Fault::OneWay(from, to) => sim.partition_oneway(host_name(from), host_name(to)),
            Fault::Hold(left, right) => sim.hold(host_name(left), host_name(right)),
            Fault::Crash(host) => self.crash(sim, host),
            Fault::PowerCut(host) => {
                self.others(host).for_each(|other| sim.partition(host_name(host), host_name(other)));
                self.crash(sim, host);
            }
            Fault::Offline(host) => self.hosts[host].order(Order::GoOffline),
            Fault::HungUp(from, to) => self.hosts[from].order(Order::HangUp(to)),
        }
    }

    fn mend(&mut self, sim: &mut Sim<'static>, fault: Fault) {
        if !self.faults.remove(&fault) {
            return;
        }
        self.trace.add_at(sim.elapsed(), "net", format_args!("no more {fault:?}"));
        match fault {
            Fault::Partition(left, right) => sim.repair(host_name(left), host_name(right)),
            Fault::OneWay(from, to) => sim.repair_oneway(host_name(from), host_name(to)),
            Fault::Hold(left, right) => sim.release(host_name(left), host_name(right)),
            Fault::Crash(host) => sim.bounce(host_name(host)),
            Fault::PowerCut(host) => {
                self.others(host).for_each(|other| sim.repair(host_name(host), host_name(other)));
                sim.bounce(host_name(host));
            }
            Fault::Offline(host) => self.hosts[host].order(Order::GoOnline),
            Fault::HungUp(from, to) => self.hosts[from].order(Order::Dial(to)),
        }
    }

    fn crash(&self, sim: &mut Sim<'static>, host: usize) {
        let host = &self.hosts[host];
        host.die();
        step(sim);
        sim.crash(host.name.as_str());
        host.crashed();
        drop(host.store.lease(host.replica()).expect("the lease goes with the tasks that held it"));
    }

    fn tell(&self, sim: &Sim<'static>, host: usize, order: Order) {
        self.trace.add_at(sim.elapsed(), "net", format_args!("{order:?} {host}"));
        self.hosts[host].order(order);
    }

    fn others(&self, host: usize) -> impl Iterator<Item = usize> {
        (0..self.hosts.len()).filter(move |other| *other != host)
    }

    fn pairs(&self) -> Vec<(usize, usize)> {
        let hosts = self.hosts.len();
        (0..hosts).flat_map(|left| (left + 1..hosts).map(move |right| (left, right))).collect()
    }

    /// Notes a moment that is so many milliseconds away, drawn from a range.
    fn note_within(&mut self, now_ms: u64, away_ms: RangeInclusive<u64>, moment: Moment) {
        let away_ms = self.choices.between(*away_ms.start(), *away_ms.end());
        self.note(now_ms + away_ms, moment);
    }

    fn note(&mut self, at_ms: u64, moment: Moment) {
        self.agenda.insert((at_ms, self.moment_next), moment);
        self.moment_next += 1;
    }
}

/// Tells whether two faults put the same thing out of order: mending one would mend the other.
fn meet(one: Fault, other: Fault) -> bool {
    use Fault::{Crash, Hold, HungUp, Offline, OneWay, Partition, PowerCut};
    let pair = |fault| match fault {
        Partition(left, right) | OneWay(left, right) | Hold(left, right) => Some((left.min(right), left.max(right))),
        _ => None,
    };
    let host = |fault| match fault {
        Crash(host) | PowerCut(host) | Offline(host) | HungUp(host, _) => Some(host),
        _ => None,
    };
    let is_cut_from_all = |cut, fault| match (cut, pair(fault)) {
        (PowerCut(host), Some((left, right))) => host == left || host == right,
        _ => false,
    };
    let both_cut = matches!((one, other), (PowerCut(_), PowerCut(_)));
    (pair(one).is_some() && pair(one) == pair(other))
        || (host(one).is_some() && host(one) == host(other))
        || both_cut
        || is_cut_from_all(one, other)
        || is_cut_from_all(other, one)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a run lasts an hour at most")
}
