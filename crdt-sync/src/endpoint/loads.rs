//! Documents that are on their way into memory, and the frames that wait for them.
//!
//! How much may wait? What peers have credit for: a frame that waits is not applied, so its credit is not
//! returned. Frames wait as the bytes in which they came, because a decoded delta may take a hundred
//! times as much. A message in parts is the exception, since its parts are returned as they come in; once more
//! waits than the window admits, parts are not returned either ([`Session::release_part`]). So a link
//! has at most one message in parts and two windows of bytes waiting: a window until no part is returned any more, the
//! message that was being put together by then, and a window of what came after.
//!
//! [`Session::release_part`]: crate::session::Session::release_part

use std::collections::{BTreeMap, VecDeque};

use crdt_core::planted::{Bug, is_planted};

use super::DocumentIndex;
use super::durable::Received;
use crate::input::LinkId;

/// The loads that were asked for and not answered yet.
#[derive(Debug, Default)]
pub(super) struct Loads {
    under_way: BTreeMap<DocumentIndex, VecDeque<Waiting>>,
}

/// A delta or snapshot for a document that is not in memory.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) received: Received,
    /// The whole frame, put together if it came in parts.
    pub(super) bytes: Vec<u8>,
}

impl Loads {
    /// Takes note that a document is asked for; false if it was already.
    pub(super) fn ask(&mut self, index: DocumentIndex) -> bool {
        let news = !self.under_way.contains_key(&index);
        self.under_way.entry(index).or_default();
        news
    }

    /// Lets a frame wait for a document that was asked for.
    pub(super) fn wait(&mut self, index: DocumentIndex, waiting: Waiting) {
        self.under_way.entry(index).or_default().push_back(waiting);
    }

    /// The document is here: returns what has waited for it, in the order in which it came.
    pub(super) fn answered(&mut self, index: DocumentIndex) -> VecDeque<Waiting> {
        self.under_way.remove(&index).unwrap_or_default()
    }

    /// Returns how many documents were asked for and have not come.
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Returns how many bytes of frames wait for them. O(frames that wait).
    pub(super) fn bytes(&self) -> usize {
        self.under_way.values().flatten().map(|waiting| waiting.bytes.len()).sum()
    }

    /// Forgets what came on a link that has ended.
    pub(super) fn forget(&mut self, link: LinkId) {
        if is_planted(Bug::WaitingOutlivesLink) {
            return;
        }
        for frames in self.under_way.values_mut() {
            frames.retain(|waiting| waiting.received.link != link);
        }
    }
}
