//! Links: two lanes of messages that keep their order, and ends that may know less than there is.
//!
//! A link behaves like a TCP connection: what arrives, arrives in order and whole, and any number of
//! the last messages may never arrive. Its ends learn of its death at different times, or never. One
//! that was *tampered* with does worse, as behind a broken proxy: its ends may blame each other.

use std::collections::VecDeque;

use crdt_sync::LinkId;

/// The number of a wire; no number is used twice.
pub type WireNumber = u64;

/// One link between two hosts.
#[derive(Debug)]
pub struct Wire {
    /// The end that dialled, and the other.
    pub ends: [End; 2],
    /// What is on its way to each end.
    pub lanes: [Lane; 2],
    /// Messages take this much longer.
    pub delay_ms: u64,
    /// No message gets on any more.
    pub is_lost: bool,
    /// A message was dropped, doubled or swapped.
    pub is_tampered: bool,
}

/// One end of a wire.
#[derive(Debug)]
pub struct End {
    /// Which host.
    pub host: usize,
    /// Which of its lives: a restarted host knows nothing of the wire.
    pub life: u64,
    /// The host's number for it.
    pub link: LinkId,
    /// What the host knows.
    pub state: EndState,
}

/// What a host knows of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndState {
    /// Not yet that it is there.
    Coming,
    /// That it is up.
    Up,
    /// That it is gone.
    Down,
}

/// Messages on their way to one end.
#[derive(Debug, Default)]
pub struct Lane {
    /// Oldest first.
    pub messages: VecDeque<Vec<u8>>,
    /// When the last of them arrives: a later one is never earlier.
    pub last_ms: u64,
    /// Bytes of data frames among them.
    pub data_bytes: usize,
}

impl Lane {
    /// Puts a message on its way; returns when it arrives.
    pub fn push(&mut self, bytes: Vec<u8>, arrives_ms: u64) -> u64 {
        self.last_ms = self.last_ms.max(arrives_ms);
        if is_data(&bytes) {
            self.data_bytes += bytes.len();
        }
        self.messages.push_back(bytes);
        self.last_ms
    }

    /// Takes the message that arrives next.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        let bytes = self.messages.pop_front()?;
        if is_data(&bytes) {
            self.data_bytes -= bytes.len();
        }
        Some(bytes)
    }

    /// Loses all but the oldest `kept`; returns how many that were.
    pub fn lose(&mut self, kept: usize) -> usize {
        let lost = self.messages.split_off(kept.min(self.messages.len()));
        self.data_bytes -= lost.iter().filter(|bytes| is_data(bytes)).map(Vec::len).sum::<usize>();
        lost.len()
    }
}

impl Lane {
    /// Drops the message at a place.
    pub fn drop_at(&mut self, at: usize) {
        if let Some(bytes) = self.messages.remove(at)
            && is_data(&bytes)
        {
            self.data_bytes -= bytes.len();
        }
    }

    /// Doubles the message at a place.
    pub fn double(&mut self, at: usize) {
        let bytes = self.messages[at].clone();
        if is_data(&bytes) {
            self.data_bytes += bytes.len();
        }
        self.messages.insert(at, bytes);
    }
}

/// Kinds 2 to 6 are sent against credit (docs/protocol.md).
fn is_data(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|kind| (2..=6).contains(kind))
}
