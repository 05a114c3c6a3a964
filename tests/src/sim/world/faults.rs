//! Breaking things.
//!
//! A fault that finds nothing to break, no link or a host that is down already, does not count.

use crdt_core::VersionVector;
use crdt_store::MemoryStore;

use super::{Happening, World};
use crate::sim::host::copied;
use crate::sim::oracle::{Broken, replica_in};
use crate::sim::plan::{Fault, FaultKind, LOG_BYTES};
use crate::sim::trace::Who;
use crate::sim::wire::{Wire, WireNumber};

/// Ten years in milliseconds.
const TEN_YEARS_MS: i64 = 10 * 365 * 24 * 3_600 * 1_000;

impl World<'_> {
    pub(super) fn fault(&mut self, fault: Fault) -> Result<(), Broken> {
        let took_effect = match fault.kind {
            FaultKind::Cut | FaultKind::HalfOpen | FaultKind::Late | FaultKind::Delay => self.break_wire(fault),
            FaultKind::Drop | FaultKind::Duplicate | FaultKind::Swap => self.tamper(fault),
            FaultKind::Partition | FaultKind::OneWay => self.part(fault),
            FaultKind::SecondLink => self.dial_again(fault)?,
            FaultKind::Restart | FaultKind::LogLimit => self.restart(fault)?,
            FaultKind::Truncation => self.truncate(fault),
            FaultKind::Rest => self.rest(fault.at % self.machines.len())?,
            FaultKind::Crash | FaultKind::TornCrash => self.crash(fault),
            FaultKind::Restored => self.set_back(fault),
            FaultKind::Cloned => self.clone_store(fault),
            _ => self.afflict(fault),
        };
        if took_effect {
            *self.tally.faults.entry(fault.kind).or_default() += 1;
            self.trace.note(self.now_ms, Who::World, fault.kind.name().as_bytes(), || fault.to_string());
        }
        Ok(())
    }

    /// Breaks the order in which a link delivers.
    fn tamper(&mut self, fault: Fault) -> bool {
        // Most lanes are empty at most times: one with enough messages is looked for.
        let least = if fault.kind == FaultKind::Swap { 2 } else { 1 };
        let full = |wire: &Wire, end: usize| wire.lanes[end].messages.len() >= least;
        let lanes: Vec<(WireNumber, usize)> = self
            .wires
            .iter()
            .filter(|(number, _)| self.is_whole(**number))
            .flat_map(|(number, wire)| (0..2).filter(|end| full(wire, *end)).map(|end| (*number, end)))
            .collect();
        let Some((number, end)) = lanes.get(fault.at % lanes.len().max(1)).copied() else { return false };
        let wire = self.wires.get_mut(&number).expect("it was just found");
        wire.is_tampered = true;
        self.oracle.tampered();
        let lane = &mut wire.lanes[end];
        let at = fault.with % (lane.messages.len() + 1 - least);
        match fault.kind {
            FaultKind::Drop => {
                lane.drop_at(at);
                self.tally.messages_lost += 1;
            }
            FaultKind::Duplicate => {
                lane.double(at);
                let at_ms = lane.last_ms;
                self.enter(at_ms, Happening::Arrival { wire: number, end });
            }
            _ => lane.messages.swap(at, at + 1),
        }
        true
    }

    fn break_wire(&mut self, fault: Fault) -> bool {
        let live: Vec<WireNumber> = self.wires.keys().copied().filter(|wire| self.is_whole(*wire)).collect();
        let Some(number) = live.get(fault.at % live.len().max(1)).copied() else { return false };
        let wire = self.wires.get_mut(&number).expect("it is live");
        if fault.kind == FaultKind::Delay {
            wire.delay_ms = fault.lasts_ms;
            return true;
        }
        wire.is_lost = true;
        for lane in &mut wire.lanes {
            let kept = match fault.kind {
                FaultKind::Late => lane.messages.len(),
                FaultKind::HalfOpen => 0,
                _ => fault.with % (lane.messages.len() + 1),
            };
            self.tally.messages_lost += lane.lose(kept) as u64;
        }
        let ends: &[usize] = match fault.kind {
            FaultKind::HalfOpen => &[[0], [1]][fault.with % 2],
            _ => &[0, 1],
        };
        for end in ends {
            let hears_ms = match fault.kind {
                FaultKind::Late => 0,
                _ => self.choices.below(fault.lasts_ms as usize + 1) as u64,
            };
            self.enter(self.now_ms + hears_ms, Happening::Down { wire: number, end: *end });
        }
        true
    }

    /// Nothing breaks any more: what is slow gets quick, and what was tampered with is replaced.
    pub(super) fn mend_wires(&mut self) {
        for machine in &mut self.machines {
            machine.fails_next = false;
            machine.cuts_next = None;
        }
        let mut gone = Vec::new();
        for (number, wire) in &mut self.wires {
            wire.delay_ms = 0;
            if wire.is_tampered && !std::mem::replace(&mut wire.is_lost, true) {
                gone.push(*number);
            }
        }
        for (wire, end) in gone.into_iter().flat_map(|wire| [(wire, 0), (wire, 1)]) {
            self.enter(self.now_ms, Happening::Down { wire, end });
        }
    }

    fn part(&mut self, fault: Fault) -> bool {
        let (from, to) = (fault.at % self.machines.len(), fault.with % self.machines.len());
        let until_ms = self.now_ms + fault.lasts_ms;
        self.blocked.insert((from, to), until_ms);
        if fault.kind == FaultKind::Partition {
            self.blocked.insert((to, from), until_ms);
        }
        self.edges.iter().any(|edge| (edge.from, edge.to) == (from, to) || (edge.to, edge.from) == (from, to))
    }

    fn dial_again(&mut self, fault: Fault) -> Result<bool, Broken> {
        let (from, to) = (fault.at % self.machines.len(), fault.with % self.machines.len());
        let are_up = self.machines[from].host.is_some() && self.machines[to].host.is_some();
        if from == to || !are_up {
            return Ok(false);
        }
        self.connect(from, to)?;
        Ok(true)
    }

    /// Stops a host in good order, and starts it again.
    fn restart(&mut self, fault: Fault) -> Result<bool, Broken> {
        let host = fault.at % self.machines.len();
        let life = self.machines[host].life;
        self.sync(host, life)?;
        let machine = &self.machines[host];
        if machine.host.as_ref().is_none_or(|up| !up.unsynced().is_empty()) {
            return Ok(false);
        }
        let (before, after) = (self.machines[host].limits.log_bytes, LOG_BYTES[fault.with % LOG_BYTES.len()]);
        if fault.kind == FaultKind::LogLimit {
            self.machines[host].limits.log_bytes = after;
        }
        self.stop(host, 0);
        self.enter(self.now_ms + fault.lasts_ms.min(500), Happening::Start { host });
        Ok(fault.kind == FaultKind::Restart || before != after)
    }

    /// Cuts logs of a host that is up, at once or in the midst of its next turn.
    fn truncate(&mut self, fault: Fault) -> bool {
        let host = fault.at % self.machines.len();
        let machine = &mut self.machines[host];
        let Some(up) = &mut machine.host else { return false };
        let bytes_max = [0, 0, 100, 500][fault.with % 4];
        let before = up.endpoint.footprint().all_documents.log_deltas;
        match fault.with / 4 % 4 {
            0 => up.endpoint.truncate_log(&self.ids[fault.at / 8 % self.ids.len()], bytes_max),
            1 => up.endpoint.truncate_logs(bytes_max),
            // Counts when it bites.
            _ => machine.cuts_next = Some(bytes_max),
        }
        up.endpoint.footprint().all_documents.log_deltas < before
    }

    /// Cuts the logs of a host that has not yet got all of what it asks for.
    pub(super) fn cut_in_between(&mut self, host: usize) {
        let machine = &mut self.machines[host];
        let Some((bytes_max, up)) = machine.cuts_next.take().zip(machine.host.as_mut()) else { return };
        let before = up.endpoint.footprint().all_documents.log_deltas;
        up.endpoint.truncate_logs(bytes_max);
        let cut = before - up.endpoint.footprint().all_documents.log_deltas;
        if cut > 0 {
            *self.tally.faults.entry(FaultKind::Truncation).or_default() += 1;
            self.note(host, &cut.to_le_bytes(), || format!("cuts {cut} deltas off its logs before it is through"));
        }
    }

    fn crash(&mut self, fault: Fault) -> bool {
        let host = fault.at % self.machines.len();
        let Some(up) = &self.machines[host].host else { return false };
        let waiting = up.unsynced().len();
        let kept = if fault.kind == FaultKind::TornCrash { fault.with % (waiting + 1) } else { 0 };
        self.stop(host, kept);
        self.enter(self.now_ms + fault.lasts_ms, Happening::Start { host });
        true
    }

    /// Sets a host's disk back to what was on it once; if nothing was kept of it yet, that is done now.
    fn set_back(&mut self, fault: Fault) -> bool {
        let host = fault.at % self.machines.len();
        let Some(backup) = self.machines[host].backup.take() else {
            let machine = &self.machines[host];
            let kept = copied(&machine.store, machine.replica, machine.limits.store_bytes);
            self.machines[host].backup = Some((kept, self.oracle.all_durable(host).to_vec()));
            return false;
        };
        self.replace_store(host, backup, fault.lasts_ms)
    }

    /// Gives a host a copy of another one's disk in place of its own.
    fn clone_store(&mut self, fault: Fault) -> bool {
        let (host, from) = (fault.at % self.machines.len(), fault.with % self.machines.len());
        let source = (self.machines[from].store.clone(), self.oracle.all_durable(from).to_vec());
        host != from && self.replace_store(host, source, fault.lasts_ms)
    }

    /// A host loses its disk and gets another one. Only if that is no loss: what nobody else holds durably cannot come
    /// back from anybody.
    fn replace_store(&mut self, host: usize, (store, durable): (MemoryStore, Vec<VersionVector>), off_ms: u64) -> bool {
        if !self.oracle.is_held_elsewhere(host) {
            return false;
        }
        self.stop(host, 0);
        let machine = &mut self.machines[host];
        machine.renewals += 1;
        machine.replica = replica_in(host, machine.renewals);
        machine.store = copied(&store, machine.replica, machine.limits.store_bytes);
        machine.backup = None;
        self.oracle.replaced(host, machine.replica, durable);
        let id = machine.replica;
        self.note(host, &id.to_bytes(), || format!("has another store, and goes by {id}"));
        self.enter(self.now_ms + off_ms, Happening::Start { host });
        true
    }

    fn afflict(&mut self, fault: Fault) -> bool {
        let host = fault.at % self.machines.len();
        let until_ms = self.now_ms + fault.lasts_ms;
        let machine = &mut self.machines[host];
        match fault.kind {
            FaultKind::SlowReader => machine.reads_from_ms = until_ms,
            FaultKind::SlowDisk => machine.slow_until_ms = until_ms,
            // These two count when they bite.
            FaultKind::DiskFull | FaultKind::DiskError => {
                match fault.kind {
                    FaultKind::DiskFull => machine.full_until_ms = until_ms,
                    _ => machine.fails_next = true,
                }
                return false;
            }
            FaultKind::Skew => machine.skew_ms = (fault.with as i64 - 32) * (TEN_YEARS_MS / 32),
            _ => return false,
        }
        machine.host.is_some()
    }

    /// Tells whether a wire joins two hosts that are both up and take it for up.
    fn is_whole(&self, wire: WireNumber) -> bool {
        let is_lost = self.wires.get(&wire).is_none_or(|wire| wire.is_lost);
        !is_lost && self.is_up_at(wire, 0) && self.is_up_at(wire, 1)
    }

    /// A disk has failed: the host stops with nothing more written, and is started again a while later.
    pub(super) fn stop_and_start(&mut self, host: usize) {
        let again_ms = self.now_ms + 100 + self.choices.below(2_000) as u64;
        self.stop(host, 0);
        self.enter(again_ms, Happening::Start { host });
    }

    /// Ends a host's life; the oldest `kept` of its writes still reach the disk.
    pub(super) fn stop(&mut self, host: usize, kept: usize) {
        let Some(up) = self.machines[host].host.take() else { return };
        for unsynced in up.unsynced().iter().take(kept) {
            let document = self.oracle.document(&unsynced.document);
            self.oracle.persisted(host, document, &unsynced.write);
        }
        up.crash(kept);
        self.tally.transactions_lost += self.oracle.stopped(host);
        let machine = &mut self.machines[host];
        machine.is_syncing = false;
        machine.cuts_next = None;
        machine.is_loading = false;
        machine.timer_ms = None;
        let links: Vec<(WireNumber, usize)> = std::mem::take(&mut machine.links).into_values().collect();
        for (number, end) in links {
            self.end(number, end);
            // A computer that loses its power says nothing; one whose program dies does.
            if self.choices.below(3) > 0 {
                let hears_ms = self.now_ms + self.choices.below(500) as u64;
                self.enter(hears_ms, Happening::Down { wire: number, end: 1 - end });
            }
        }
        self.note(host, &kept.to_le_bytes(), || format!("stops; {kept} of its last writes reach the disk"));
    }
}
