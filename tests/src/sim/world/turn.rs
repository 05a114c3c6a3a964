//! Carrying out what an endpoint asks for, and judging every bit of it.

use crdt_core::ReplicaId;
use crdt_sync::{CloseReason, Event, LinkId, Write};

use super::{Happening, World};
use crate::sim::host::Effect;
use crate::sim::oracle::{Broken, Check, broken, content_of, host_of};
use crate::sim::plan::FaultKind;
use crate::view::View;

/// What a message may have beyond the chunk that it carries.
const OVERHEAD_BYTES_MAX: usize = 64;

/// What one call of an endpoint may ask for at most.
const EFFECTS_MAX: usize = 4_096;

/// A commit that was just made, and is not in the truth yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    pub(super) event: usize,
    pub(super) document: usize,
}

impl World<'_> {
    /// Carries out everything that a host asks for, and looks at the documents that it has changed.
    pub(super) fn settle(&mut self, host: usize, mut own: Option<Commit>) -> Result<(), Broken> {
        let mut effects = 0;
        while let Some(effect) = self.machines[host].host.as_mut().and_then(|up| up.poll()) {
            effects += 1;
            if effects > EFFECTS_MAX {
                return broken(Check::Bounds, format!("host {host} asks for more than {EFFECTS_MAX} things at once"));
            }
            match effect {
                Effect::Requested => self.request(host, own.take())?,
                Effect::Asked => {
                    let asked = self.machines[host].host.as_ref().and_then(|up| up.asked().back()).cloned();
                    self.ask(host, &asked.expect("it has just asked"))?;
                }
                Effect::Rested { document, .. } => {
                    let number = self.oracle.document(&document);
                    self.note(host, &number.to_le_bytes(), || format!("lets d{number} rest"));
                }
                Effect::Transmit { link, bytes } => self.transmit(host, link, bytes)?,
                Effect::Close { link, reason } => self.close(host, link, reason)?,
                Effect::Event(event) => self.hear(host, event)?,
            }
            self.cut_in_between(host);
        }
        self.has_loaded = false;
        self.observe(host)?;
        self.arm(host);
        self.oracle.bounds(host, &self.machines[host])
    }

    /// Looks at every document of a host.
    fn observe(&mut self, host: usize) -> Result<(), Broken> {
        let Some(up) = &self.machines[host].host else { return Ok(()) };
        for (document, id) in self.ids.iter().enumerate() {
            if let Some(open) = up.endpoint.document(id) {
                let stands = (open.version(), open.digest());
                self.oracle.observe(host, document, stands, Some(open.snapshot()))?;
            } else if let Some(head) = up.endpoint.head(id) {
                self.oracle.observe(host, document, (head.version(), head.digest), None)?;
            }
        }
        Ok(())
    }

    /// A write was asked for: it is due some time later.
    fn request(&mut self, host: usize, own: Option<Commit>) -> Result<(), Broken> {
        let up = self.machines[host].host.as_ref().expect("it has just asked for something");
        let last = up.unsynced().back().expect("a request is in the queue");
        let document = self.oracle.document(&last.document);
        match (own, &last.write) {
            (Some(Commit { event, document }), Write::Delta(delta)) => {
                let open = up.endpoint.document(&last.document).expect("it has just been written");
                let view = View::of(open.root());
                if !self.oracle.truths[document].commit(event, content_of(delta), &view) {
                    return Err(Broken {
                        check: Check::StampsAscend,
                        detail: format!("of host {host} in d{document}"),
                    });
                }
            }
            (Some(_), Write::Snapshot(_)) => panic!("a commit asks for its delta to be written"),
            (None, write) => self.oracle.requested(document, write)?,
        }
        let ticket = last.ticket.0;
        let content = match &last.write {
            Write::Delta(delta) => content_of(delta),
            Write::Snapshot(snapshot) => snapshot.digest().0 as u64,
        };
        self.note(host, &[ticket, content].map(u64::to_le_bytes).concat(), || {
            format!("asks for write {ticket}, of d{document}")
        });
        self.sync_later(host);
        Ok(())
    }

    fn sync_later(&mut self, host: usize) {
        let machine = &mut self.machines[host];
        if machine.is_syncing {
            return;
        }
        machine.is_syncing = true;
        let is_slow = machine.slow_until_ms > self.now_ms;
        let takes_ms = if is_slow { 200 + self.choices.below(3_000) } else { self.choices.below(8) };
        let life = machine.life;
        self.enter(self.now_ms + takes_ms as u64, Happening::Sync { host, life });
    }

    /// What a host has asked its disk for becomes durable, or the oldest part of it, or none of it ever.
    pub(super) fn sync(&mut self, host: usize, life: u64) -> Result<(), Broken> {
        let machine = &mut self.machines[host];
        let now = machine.now(self.now_ms);
        let Some(up) = machine.host.as_mut().filter(|_| machine.life == life) else { return Ok(()) };
        machine.is_syncing = false;
        let waiting = up.unsynced().len();
        if waiting == 0 {
            return Ok(());
        }
        let is_full = machine.full_until_ms > self.now_ms;
        if std::mem::take(&mut machine.fails_next) || is_full {
            let kind = if is_full { FaultKind::DiskFull } else { FaultKind::DiskError };
            *self.tally.faults.entry(kind).or_default() += 1;
            self.note(host, &[], || "cannot write, and stops".to_owned());
            self.stop_and_start(host);
            return Ok(());
        }
        let count = if self.choices.below(4) == 0 { 1 + self.choices.below(waiting) } else { waiting };
        for unsynced in up.unsynced().iter().take(count) {
            let document = self.oracle.document(&unsynced.document);
            self.oracle.persisted(host, document, &unsynced.write);
        }
        up.sync(now, count);
        self.note(host, &count.to_le_bytes(), || format!("has {count} of {waiting} writes on disk"));
        if count < waiting {
            self.sync_later(host);
        }
        self.settle(host, None)
    }

    fn transmit(&mut self, host: usize, link: LinkId, bytes: Vec<u8>) -> Result<(), Broken> {
        if bytes.len() > self.machines[host].limits.chunk_bytes.max(1_024) + OVERHEAD_BYTES_MAX {
            return broken(Check::Bounds, format!("host {host} sends {} bytes at once", bytes.len()));
        }
        let summary = self.oracle.read(host, link, &bytes)?;
        self.oracle.sent(host, link, &bytes, &summary)?;
        self.oracle.is_news(host, link, &summary)?;
        self.oracle.returned(host, link, &summary);
        if self.oracle.credit(host, link).is_err() {
            // What has just been taken in has not been looked at yet.
            self.observe(host)?;
            self.oracle.credit(host, link)?;
        }
        self.tally.messages += 1;
        self.tally.bytes += bytes.len() as u64;
        let name = |link: LinkId| format!("link {}", link.0);
        self.trace.note(self.now_ms, super::Who::Host(host), &bytes, || format!("{}: {summary}", name(link)));
        self.count(&bytes);
        self.send(host, link, bytes)
    }

    fn count(&mut self, bytes: &[u8]) {
        match bytes.first() {
            Some(4) => self.tally.snapshots += 1,
            Some(5) => self.tally.in_parts += 1,
            _ => {}
        }
    }

    fn close(&mut self, host: usize, link: LinkId, reason: CloseReason) -> Result<(), Broken> {
        self.note(host, &reason.code().to_le_bytes(), || format!("link {}: closes, {reason}", link.0));
        *self.tally.closes.entry(reason.to_string()).or_default() += 1;
        if self.is_mended {
            return broken(Check::LinksStay, format!("host {host} closes a link: {reason}"));
        }
        match reason {
            CloseReason::DuplicateLink
            | CloseReason::DuplicateIdentity
            | CloseReason::HelloTimeout
            | CloseReason::Dead
            | CloseReason::Stalled => {
                self.hang_up(host, link);
                Ok(())
            }
            _ if self.is_tampered(host, link) => {
                self.hang_up(host, link);
                Ok(())
            }
            blame => broken(Check::NoBlame, format!("host {host} closes a link: {blame}")),
        }
    }

    fn hear(&mut self, host: usize, event: Event) -> Result<(), Broken> {
        match event {
            Event::Changed { document, changes, .. } => {
                let document = self.oracle.document(&document);
                // Their order means nothing, so it may differ from run to run.
                let mut reported: Vec<String> = changes.iter().map(|change| format!("{change:?}")).collect();
                reported.sort_unstable();
                self.note(host, reported.concat().as_bytes(), || format!("reports changes of d{document}"));
                self.oracle.reported(host, document, &changes)?;
            }
            Event::InSync { link, document } => {
                let number = self.oracle.document(&document);
                let peer = self.peer_of(host, link);
                self.note(host, &link.0.to_le_bytes(), || format!("link {}: d{number} is in sync", link.0));
                let up = self.machines[host].host.as_ref();
                let version = up.and_then(|up| up.endpoint.head(&document)).map(|head| head.version());
                // Of several frames that have waited, one may have brought them level, and the next something new.
                let version = if self.has_loaded { Some(self.oracle.durable(host, number).clone()) } else { version };
                if let (Some(peer), Some(version)) = (peer, version) {
                    self.oracle.in_sync((host, host_of(peer)), number, &version)?;
                }
            }
            Event::Diverged { .. } | Event::IdentityConflict { .. } | Event::Refused { .. } => {
                return broken(Check::NoBlame, format!("host {host}: {event:?}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn peer_of(&self, host: usize, link: LinkId) -> Option<ReplicaId> {
        self.machines[host].host.as_ref()?.endpoint.session(link)?.peer
    }

    /// Looks at a host's timer when it is due.
    fn arm(&mut self, host: usize) {
        let machine = &mut self.machines[host];
        let Some(up) = &machine.host else { return };
        let Some(due_ms) = up.endpoint.poll_timeout() else { return };
        // A deadline that stays in the past is not lost: it is looked at a moment later.
        let due_ms = due_ms.max(self.now_ms + 1);
        if machine.timer_ms.is_none_or(|armed_ms| due_ms < armed_ms) {
            machine.timer_ms = Some(due_ms);
            self.enter(due_ms, Happening::Timer { host });
        }
    }
}
