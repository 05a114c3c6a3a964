//! Control frames: what is small, outside credit, and goes before data.

use crate::endpoint::{DocumentIndex, OpenDocuments};
use crate::frame;

use super::{Context, Session};

impl Session {
    pub(super) fn has_control_work(&self, now_ms: u64) -> bool {
        self.liveness.owes_frame()
            || !self.refusals.is_empty()
            || !self.control.is_empty()
            || self.credit.is_due(now_ms)
    }

    pub(super) fn poll_control(&mut self, documents: &OpenDocuments, context: &Context<'_>) -> Option<Vec<u8>> {
        if self.liveness.take_pong() {
            return Some(frame::pong());
        }
        if self.liveness.take_ping() {
            return Some(frame::ping());
        }
        if let Some((handle, rejection)) = self.refusals.pop_front() {
            return Some(frame::reject(handle, rejection));
        }
        while let Some(index) = self.control.pop_front() {
            if let Some(progress) = self.progress.get_mut(&index) {
                progress.queued_control = false;
            }
            if let Some(frame) = self.control_frame(index, documents) {
                // There may be more; the next turn finds out.
                self.queue_control(index);
                return Some(frame);
            }
        }
        self.credit.is_due(context.now_ms).then(|| frame::credit(self.credit.take_owed()))
    }

    fn control_frame(&mut self, index: DocumentIndex, documents: &OpenDocuments) -> Option<Vec<u8>> {
        let (progress, document) = (self.progress.get_mut(&index)?, documents.at(index)?);
        // Without the peer's handle it cannot be said yet; it is when the handle is learnt.
        if let Some(handle) = progress.theirs
            && let Some(rejection) = progress.rejection.take()
        {
            return Some(frame::reject(handle, rejection));
        }
        if let (Some(handle), Some(replica)) = (progress.theirs, progress.trail)
            && !progress.owes_handle()
            && let Some(resident) = document.resident()
        {
            progress.trail = None;
            let authorship = document.authorship(replica);
            let opened = authorship.map_or(0, |authorship| authorship.opened);
            let marks = resident.trail(replica, opened, frame::MARKS_MAX);
            return Some(frame::trail(handle, replica, authorship, &marks));
        }
        if progress.halted {
            return None;
        }
        let room = self.peer.as_ref()?.frame_bytes_max - frame::OVERHEAD_BYTES_MAX;
        let counters =
            progress.owed.take(|replica| document.durable_counter(replica), room / frame::ACK_ENTRY_BYTES_MAX);
        if !counters.is_empty() {
            return Some(frame::ack(index.0, self.credit.take_owed(), &counters));
        }
        if std::mem::take(&mut progress.digest.ready) && progress.in_sync {
            let head = document.head();
            return Some(frame::digest(index.0, head.frontier.hash(), head.digest));
        }
        None
    }
}
