//! Documents that leave a host's memory and come back.

use crdt_core::Snapshot;
use crdt_sync::DocumentId;

use super::{Happening, World, reopens};
use crate::sim::oracle::Check;
use crate::sim::oracle::{Broken, broken};
use crate::sim::plan::FaultKind;

impl World<'_> {
    /// A host asks for a document: it gets it at once, or some time later.
    pub(super) fn ask(&mut self, host: usize, document: &DocumentId) -> Result<(), Broken> {
        let number = self.oracle.document(document);
        self.note(host, &number.to_le_bytes(), || format!("asks for d{number}"));
        self.tally.loads += 1;
        let machine = &mut self.machines[host];
        if machine.limits.load_ms > 0 {
            self.load_later(host);
            return Ok(());
        }
        let now = machine.now(self.now_ms);
        let Some(up) = &mut machine.host else { return Ok(()) };
        self.has_loaded = true;
        up.load(now).map_err(|error| reopens(&error))
    }

    fn load_later(&mut self, host: usize) {
        let machine = &mut self.machines[host];
        if !std::mem::replace(&mut machine.is_loading, true) {
            let (life, takes_ms) = (machine.life, machine.limits.load_ms);
            let at_ms = self.now_ms + self.choices.below(takes_ms) as u64;
            self.enter(at_ms, Happening::Load { host, life });
        }
    }

    /// A host gets the document that it has asked for first, or a disk that cannot be read.
    pub(super) fn load(&mut self, host: usize, life: u64) -> Result<(), Broken> {
        let machine = &mut self.machines[host];
        let now = machine.now(self.now_ms);
        let Some(up) = machine.host.as_mut().filter(|_| machine.life == life) else { return Ok(()) };
        machine.is_loading = false;
        if std::mem::take(&mut machine.fails_next) {
            *self.tally.faults.entry(FaultKind::DiskError).or_default() += 1;
            self.note(host, &[], || "cannot read, and stops".to_owned());
            self.stop_and_start(host);
            return Ok(());
        }
        self.has_loaded = true;
        up.load(now).map_err(|error| reopens(&error))?;
        if !up.asked().is_empty() {
            self.load_later(host);
        }
        self.note(host, &[1], || "has loaded a document".to_owned());
        self.settle(host, None)
    }

    /// Lets every document of a host rest that may.
    pub(super) fn rest(&mut self, host: usize) -> Result<bool, Broken> {
        let machine = &mut self.machines[host];
        let now = machine.now(self.now_ms);
        let Some(up) = &mut machine.host else { return Ok(false) };
        let before = up.endpoint.documents().count();
        for id in &self.ids {
            up.endpoint.rest(now, id);
        }
        let took_effect = up.endpoint.documents().count() < before;
        self.settle(host, None)?;
        Ok(took_effect)
    }

    /// Takes a document into a host's memory, for one who uses it; `None` if the host is down or has none.
    pub(super) fn bring(&mut self, host: usize, document: usize) -> Result<Option<Snapshot>, Broken> {
        let machine = &mut self.machines[host];
        let now = machine.now(self.now_ms);
        let id = &self.ids[document];
        let Some(up) = &mut machine.host else { return Ok(None) };
        let is_known = up.endpoint.head(id).is_some();
        self.has_loaded = true;
        up.bring(now, id).map_err(|error| reopens(&error))?;
        self.settle(host, None)?;
        let content = self.machines[host].host.as_ref().and_then(|up| up.endpoint.document(&self.ids[document]));
        let content = content.map(|open| open.snapshot());
        if is_known && content.is_none() {
            broken(Check::Reopens, format!("host {host} has no d{document} in memory"))?;
        }
        Ok(content)
    }
}
