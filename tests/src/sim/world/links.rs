//! Links come up, carry messages in order, and end.

use crdt_sync::{Input, LinkId};

use super::{Happening, World};
use crate::sim::oracle::{Broken, Check, broken};
use crate::sim::trace::host_name;
use crate::sim::wire::{End, EndState, Lane, Wire, WireNumber};

/// Somebody who dials somebody.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    /// The link that came of it.
    pub(super) wire: Option<WireNumber>,
    /// The next attempt is on its way.
    pub(super) dials: bool,
}

impl World<'_> {
    pub(super) fn dial_after(&mut self, edge: usize, wait_ms: u64) {
        if !std::mem::replace(&mut self.edges[edge].dials, true) {
            self.enter(self.now_ms + wait_ms, Happening::Dial { edge });
        }
    }

    pub(super) fn dial(&mut self, edge: usize) -> Result<(), Broken> {
        let Edge { from, to, wire, .. } = self.edges[edge];
        self.edges[edge].dials = false;
        if wire.is_some_and(|wire| self.is_up_at(wire, 0)) {
            return Ok(());
        }
        let wait_ms = 50 + self.choices.below(1_000) as u64;
        let are_up = self.machines[from].host.is_some() && self.machines[to].host.is_some();
        let is_blocked = self.is_blocked(from, to) || self.is_blocked(to, from);
        if !are_up || is_blocked || self.is_linked(from, to) {
            self.dial_after(edge, wait_ms);
            return Ok(());
        }
        let wire = self.connect(from, to)?;
        self.edges[edge].wire = Some(wire);
        Ok(())
    }

    /// Lays a wire: the one who dials knows at once, the other when word has got there.
    pub(super) fn connect(&mut self, from: usize, to: usize) -> Result<WireNumber, Broken> {
        let number = self.wires_laid;
        self.wires_laid += 1;
        let ends = [from, to].map(|host| {
            self.links_numbered += 1;
            let link = LinkId(self.links_numbered);
            self.machines[host].links.insert(link, (number, usize::from(host == to)));
            End { host, life: self.machines[host].life, link, state: EndState::Coming }
        });
        let there_ms = self.now_ms + self.latency();
        let lanes = [Lane::default(), Lane { last_ms: there_ms, ..Lane::default() }];
        self.wires.insert(number, Wire { ends, lanes, delay_ms: 0, is_lost: false, is_tampered: false });
        self.tally.links += 1;
        self.enter(there_ms, Happening::Up { wire: number, end: 1 });
        self.up(number, 0)?;
        Ok(number)
    }

    pub(super) fn up(&mut self, wire: WireNumber, end: usize) -> Result<(), Broken> {
        let Some(Wire { ends, .. }) = self.wires.get_mut(&wire) else { return Ok(()) };
        let other = ends[1 - end].host;
        let End { host, life, link, ref mut state } = ends[end];
        if self.machines[host].life != life || *state != EndState::Coming {
            return Ok(());
        }
        *state = EndState::Up;
        let nonce = self.choices.bits();
        let now = self.machines[host].now(self.now_ms);
        let Some(up) = &mut self.machines[host].host else { return Ok(()) };
        up.endpoint.handle(now, Input::LinkUp { link, nonce });
        self.note(host, &link.0.to_le_bytes(), || format!("link {}: up, to {}", link.0, host_name(other)));
        self.settle(host, None)
    }

    /// Puts a message on its way.
    pub(super) fn send(&mut self, host: usize, link: LinkId, bytes: Vec<u8>) -> Result<(), Broken> {
        let arrives_ms = self.now_ms + self.latency();
        let Some((number, end)) = self.machines[host].links.get(&link).copied() else {
            return broken(Check::Bounds, format!("host {host} sends on link {}, which it was told is gone", link.0));
        };
        let wire = self.wires.get_mut(&number).expect("links lead to wires");
        if wire.is_lost {
            self.tally.messages_lost += 1;
            return Ok(());
        }
        let to = 1 - end;
        // The smaller of both ends' windows counts.
        let windows = wire.ends.each_ref().map(|end| self.machines[end.host].limits.in_flight_bytes);
        let in_flight_max = windows[0].min(windows[1]);
        let (length, before) = (bytes.len(), wire.lanes[to].data_bytes);
        let at_ms = wire.lanes[to].push(bytes, arrives_ms + wire.delay_ms);
        let in_flight = wire.lanes[to].data_bytes;
        // One message of any length is always allowed.
        if in_flight > before && in_flight > in_flight_max.max(length) && !wire.is_tampered {
            return broken(Check::Bounds, format!("host {host} has {in_flight} bytes of data in flight on one link"));
        }
        self.enter(at_ms, Happening::Arrival { wire: number, end: to });
        Ok(())
    }

    pub(super) fn arrive(&mut self, number: WireNumber, end: usize) -> Result<(), Broken> {
        let Some(wire) = self.wires.get_mut(&number) else { return Ok(()) };
        let (from, host) = (wire.ends[1 - end].host, wire.ends[end].host);
        let arrival = Happening::Arrival { wire: number, end };
        let machine = &self.machines[host];
        let not_before_ms = self.blocked.get(&(from, host)).copied().unwrap_or_default().max(machine.reads_from_ms);
        if not_before_ms > self.now_ms || wire.ends[end].state == EndState::Coming {
            self.enter(not_before_ms.max(self.now_ms + 1), arrival);
            return Ok(());
        }
        let Some(bytes) = wire.lanes[end].pop() else { return Ok(()) };
        let End { life, link, .. } = wire.ends[end];
        let peer_link = wire.ends[1 - end].link;
        let now = machine.now(self.now_ms);
        if machine.life != life || machine.host.is_none() {
            self.tally.messages_lost += 1;
            return Ok(());
        }
        let Some(up) = &mut self.machines[host].host else { return Ok(()) };
        self.oracle.heard((from, peer_link), (host, link), &bytes);
        up.endpoint.handle(now, Input::Received { link, bytes: &bytes });
        self.note(host, &bytes, || format!("link {}: takes {} bytes", link.0, bytes.len()));
        self.settle(host, None)
    }

    /// One end learns from outside that a wire is gone.
    pub(super) fn hear_down(&mut self, number: WireNumber, end: usize) -> Result<(), Broken> {
        let Some(wire) = self.wires.get(&number) else { return Ok(()) };
        let (from, End { host, life, link, state }) = (wire.ends[1 - end].host, &wire.ends[end]);
        let (host, life, link, state) = (*host, *life, *link, *state);
        let open_ms = self.blocked.get(&(from, host)).copied().unwrap_or_default();
        if open_ms > self.now_ms {
            self.enter(open_ms, Happening::Down { wire: number, end });
            return Ok(());
        }
        if self.machines[host].life != life || state == EndState::Down {
            return Ok(());
        }
        self.end(number, end);
        let now = self.machines[host].now(self.now_ms);
        let Some(up) = &mut self.machines[host].host else { return Ok(()) };
        up.endpoint.handle(now, Input::LinkDown { link });
        self.note(host, &link.0.to_le_bytes(), || format!("link {}: down", link.0));
        self.settle(host, None)
    }

    /// An endpoint has closed a link: the other end hears of it behind what was sent.
    pub(super) fn hang_up(&mut self, host: usize, link: LinkId) {
        let Some((number, end)) = self.machines[host].links.get(&link).copied() else { return };
        self.end(number, end);
        let heard_ms = self.now_ms + self.latency();
        let Some(wire) = self.wires.get_mut(&number) else { return };
        if !wire.is_lost {
            let at_ms = wire.lanes[1 - end].last_ms.max(heard_ms);
            self.enter(at_ms, Happening::Down { wire: number, end: 1 - end });
        }
    }

    /// A host knows from now on that a wire is gone; if it was its own to dial, it dials again.
    pub(super) fn end(&mut self, number: WireNumber, end: usize) {
        let Some(wire) = self.wires.get_mut(&number) else { return };
        wire.ends[end].state = EndState::Down;
        let (host, link) = (wire.ends[end].host, wire.ends[end].link);
        self.machines[host].links.remove(&link);
        self.oracle.ended(host, link);
        let edge = self.edges.iter().position(|edge| edge.wire == Some(number) && end == 0);
        if let Some(edge) = edge {
            let wait_ms = 50 + self.choices.below(1_000) as u64;
            self.dial_after(edge, wait_ms);
        }
    }

    pub(super) fn is_up_at(&self, wire: WireNumber, end: usize) -> bool {
        self.wires.get(&wire).is_some_and(|wire| {
            let End { host, life, state, .. } = wire.ends[end];
            state != EndState::Down && self.machines[host].life == life
        })
    }

    /// Returns a link that is missing, or dead without one of its ends knowing, or busy.
    pub(super) fn restless(&self) -> Option<String> {
        let lacks = |from: usize, to: usize| !self.is_linked(from, to) || !self.is_linked(to, from);
        if let Some(edge) = self.edges.iter().find(|edge| lacks(edge.from, edge.to)) {
            return Some(format!("hosts {} and {} are not linked", edge.from, edge.to));
        }
        let ends = self.machines.iter().flat_map(|machine| machine.links.iter());
        let mut ghosts = ends.filter(|(_, (number, end))| {
            let has_mail = |wire: &Wire| wire.lanes.iter().any(|lane| !lane.messages.is_empty());
            self.wires.get(number).is_none_or(|wire| wire.is_lost || has_mail(wire) || !self.is_up_at(*number, 1 - end))
        });
        ghosts.next().map(|(link, _)| format!("link {} is dead or has messages on their way", link.0))
    }

    pub(super) fn is_tampered(&self, host: usize, link: LinkId) -> bool {
        let wire = self.machines[host].links.get(&link).and_then(|(number, _)| self.wires.get(number));
        wire.is_some_and(|wire| wire.is_tampered)
    }

    /// Tells whether a host knows another to be at the other end of a link.
    fn is_linked(&self, from: usize, to: usize) -> bool {
        let up = self.machines[from].host.as_ref();
        up.is_some_and(|up| up.endpoint.sessions().any(|session| session.peer == Some(self.machines[to].replica)))
    }

    fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked.get(&(from, to)).is_some_and(|until_ms| *until_ms > self.now_ms)
    }

    /// How long a message takes: mostly about the same, one in 64 fifty times as long.
    fn latency(&mut self) -> u64 {
        let base_ms = self.plan.latency_ms;
        let is_tail = !self.is_mended && self.choices.below(64) == 0;
        let tail = if is_tail { 50 } else { 1 };
        base_ms * tail + self.choices.below(base_ms as usize + 1) as u64
    }
}
