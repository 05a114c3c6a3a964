//! Documents that are not in memory, as one link sees them.
//!
//! A peer that lags in ten thousand documents at rest must not bring all of them into memory. So a link
//! *serves* one of them at a time: it is asked for, kept in memory, and sent from in turn with those that are
//! there anyway, until the peer lacks nothing more of it; the others wait in line. Each is loaded once for a
//! peer that catches up, however small memory is.
//!
//! Frames that a peer sends for a document at rest wait at the endpoint. Their credit is not returned
//! meanwhile; here is the count of their bytes.

use std::collections::VecDeque;

use crdt_core::Frontier;
use crdt_core::planted::{Bug, is_planted};

use crate::endpoint::{DocumentIndex, OpenDocuments};

use super::{Context, Progress, Session};

#[derive(Debug, Default)]
pub(super) struct Loading {
    /// The document that was loaded for this peer, or is on its way into memory.
    serving: Option<DocumentIndex>,
    /// Those that the peer lacks something of, each once.
    line: VecDeque<DocumentIndex>,
    /// Bytes of frames that wait for a document.
    waiting_bytes: usize,
    /// Bytes of parts whose credit is not returned until fewer wait.
    withheld_bytes: usize,
}

impl Loading {
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    pub(super) fn withheld_bytes(&self) -> usize {
        self.withheld_bytes
    }
}

/// On the way out.
impl Session {
    /// Tells whether a document has to stay in memory for this peer.
    pub(crate) fn keeps(&self, index: DocumentIndex) -> bool {
        let needs =
            |progress: &Progress| progress.held.is_some() || (progress.trail.is_some() && progress.theirs.is_some());
        self.loading.serving == Some(index) || self.progress.get(&index).is_some_and(needs)
    }

    /// The content of a document is needed to go on with it.
    pub(super) fn queue_load(&mut self, index: DocumentIndex) {
        if self.loading.serving != Some(index)
            && let Some(progress) = self.progress.get_mut(&index)
            && !std::mem::replace(&mut progress.queued_load, true)
        {
            self.loading.line.push_back(index);
        }
    }

    /// A document has had its turn and has nothing to send for now: the next in line is loaded.
    pub(super) fn turn_ended(
        &mut self,
        index: DocumentIndex,
        documents: &mut OpenDocuments,
        context: &mut Context<'_>,
    ) {
        let waits_for_parts = self.progress.get(&index).is_some_and(|progress| progress.queued_waiting);
        if self.loading.serving == Some(index) && documents.is_resident(index) && !waits_for_parts {
            self.loading.serving = None;
        }
        while self.loading.serving.is_none()
            && let Some(next) = self.loading.line.pop_front()
        {
            let Some(progress) = self.progress.get_mut(&next) else { continue };
            progress.queued_load = false;
            if !progress.halted {
                self.loading.serving = Some(next);
                context.outputs.extend(documents.load(next));
            }
        }
    }

    /// A document has come into memory, for whomever.
    pub(crate) fn loaded(&mut self, index: DocumentIndex) {
        let Some(progress) = self.progress.get_mut(&index) else { return };
        let (queued, owes_trail) = (std::mem::take(&mut progress.queued_load), progress.trail.is_some());
        if owes_trail {
            self.queue_control(index);
        }
        if queued {
            self.loading.line.retain(|in_line| *in_line != index);
        }
        if (queued || self.loading.serving == Some(index)) && !is_planted(Bug::LoadWakesNobody) {
            self.queue_data(index);
        }
    }

    /// Returns what the peer has offered of a document, if that is still to be compared with its log.
    pub(crate) fn take_unchecked(&mut self, index: DocumentIndex) -> Option<Box<Frontier>> {
        self.progress.get_mut(&index)?.unchecked.take()
    }
}

/// On the way in.
impl Session {
    /// Takes note that a frame waits for its document.
    pub(crate) fn waits(&mut self, bytes: usize) {
        self.loading.waiting_bytes += bytes;
    }

    /// Takes note that one waits no more.
    pub(crate) fn waited(&mut self, bytes: usize, now_ms: u64) {
        if !is_planted(Bug::WaitingNeverEnds) {
            self.loading.waiting_bytes -= bytes;
        }
        if !self.is_full() {
            let withheld = std::mem::take(&mut self.loading.withheld_bytes);
            self.release_some(withheld, now_ms);
        }
    }

    /// Returns the credit of a part that is not the last, unless so much waits already that whoever
    /// sends parts would fill memory with what waits.
    pub(crate) fn release_part(&mut self, bytes: usize, now_ms: u64) {
        if self.is_full() || is_planted(Bug::PartsWithheld) {
            self.loading.withheld_bytes += bytes;
        } else {
            self.release(bytes, now_ms);
        }
    }

    fn release_some(&mut self, bytes: usize, now_ms: u64) {
        if bytes > 0 {
            self.release(bytes, now_ms);
        }
    }

    fn is_full(&self) -> bool {
        self.loading.waiting_bytes as u64 > self.credit.window()
    }
}
