//! What one session holds in memory.

use super::Session;
use super::assembly::Outgoing;
use crate::footprint::LinkFootprint;

impl Session {
    /// O(documents of the link).
    pub(crate) fn footprint(&self) -> LinkFootprint {
        let mut footprint = LinkFootprint {
            documents: self.progress.len(),
            handles: self.handles.len(),
            numbered: self.spoken.numbered() + self.heard.numbered(),
            ends: self.spoken.ends() + self.heard.ends(),
            version_entries: 0,
            held_snapshots: 0,
            control_queued: self.control.len(),
            data_queued: self.data.len(),
            parts_queued: self.waiting.len(),
            refusals_queued: self.refusals.len(),
            digests_due: self.digests_due.len(),
            incoming_bytes: self.incoming.bytes(),
            outgoing_bytes: self.outgoing.as_ref().map_or(0, Outgoing::bytes),
            waiting_bytes: self.loading.waiting_bytes(),
            withheld_bytes: self.loading.withheld_bytes(),
        };
        for progress in self.progress.values() {
            footprint.version_entries += progress.version_entries();
            footprint.held_snapshots += usize::from(progress.held.is_some());
        }
        footprint
    }
}
