//! Flow control of one link, both ways, in bytes of data frames.
//!
//! The sender keeps what is in flight within the window that both ends agreed on, or at one frame.
//! The receiver returns credit for what it has taken in *and* made durable, so a slow store slows
//! the sender down, not the receiver's memory. Returns ride on acknowledgements; the rest is
//! gathered until it is an eighth of the window or a second old, whichever comes first.

use crdt_core::planted::{Bug, is_planted};

use crate::close::CloseReason;

/// Credit that no acknowledgement has carried is returned at the latest after this long.
const RETURN_AFTER_MS: u64 = 1_000;

/// Credit is returned without waiting once it is this part of the window.
const RETURN_SHARE: u64 = 8;

#[derive(Debug)]
pub(crate) struct Credit {
    /// How many bytes may be in flight, either way.
    window: u64,
    /// Sent and not returned.
    in_flight: u64,
    /// When something was last returned, or the first frame was sent.
    progress_ms: u64,
    /// Received and not returned.
    unreturned: u64,
    /// Part of `unreturned`: taken in, to be returned with the next opportunity.
    owed: u64,
    /// Since when something is owed.
    owed_since_ms: u64,
}

impl Credit {
    pub(crate) fn new(window: u64) -> Self {
        Self { window, in_flight: 0, progress_ms: 0, unreturned: 0, owed: 0, owed_since_ms: 0 }
    }

    /// Returns how many bytes may be in flight, either way.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Tells whether a data frame of `bytes` may be sent now.
    pub(crate) fn admits(&self, bytes: usize) -> bool {
        self.in_flight == 0
            || is_planted(Bug::IgnoreWindow)
            || self.in_flight.saturating_add(bytes as u64) <= self.window
    }

    pub(crate) fn sent(&mut self, bytes: usize, now_ms: u64) {
        if self.in_flight == 0 {
            self.progress_ms = now_ms;
        }
        self.in_flight += bytes as u64;
    }

    /// Takes back what the peer returns.
    pub(crate) fn returned(&mut self, bytes: u64, now_ms: u64) -> Result<(), CloseReason> {
        let left = self.in_flight.checked_sub(bytes);
        self.in_flight = left.ok_or(CloseReason::ProtocolViolation("credit for what was never sent"))?;
        if bytes > 0 {
            self.progress_ms = now_ms;
        }
        Ok(())
    }

    /// Returns since when data has been in flight without anything being returned.
    pub(crate) fn waiting_since_ms(&self) -> Option<u64> {
        (self.in_flight > 0).then_some(self.progress_ms)
    }

    /// Takes note of a data frame that arrived.
    pub(crate) fn received(&mut self, bytes: usize) -> Result<(), CloseReason> {
        let after = self.unreturned.saturating_add(bytes as u64);
        if self.unreturned > 0 && after > self.window {
            return Err(CloseReason::ProtocolViolation("more data than there was credit for"));
        }
        self.unreturned = after;
        Ok(())
    }

    /// Takes note that a data frame is done with: its credit is to be returned.
    pub(crate) fn owe(&mut self, bytes: usize, now_ms: u64) {
        if self.owed == 0 {
            self.owed_since_ms = now_ms;
        }
        self.owed += bytes as u64;
    }

    /// Takes everything owed, to put it into a frame.
    pub(crate) fn take_owed(&mut self) -> u64 {
        self.unreturned = self.unreturned.saturating_sub(self.owed);
        std::mem::take(&mut self.owed)
    }

    /// Tells whether what is owed should wait no longer.
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.owed > 0 && (self.owed >= self.window / RETURN_SHARE || self.due_ms().is_some_and(|due| due <= now_ms))
    }

    /// Returns when what is owed must be returned.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        (self.owed > 0).then(|| self.owed_since_ms.saturating_add(RETURN_AFTER_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_is_always_admitted_and_the_window_is_never_passed_by_a_second() {
        let mut credit = Credit::new(100);
        assert!(credit.admits(5_000));
        credit.sent(60, 0);
        assert!(credit.admits(40));
        assert!(!credit.admits(41));
        credit.returned(60, 1).unwrap();
        assert!(credit.admits(5_000));
    }

    #[test]
    fn a_peer_that_returns_more_than_it_got_is_at_fault() {
        let mut credit = Credit::new(100);
        credit.sent(60, 0);
        assert!(credit.returned(61, 0).is_err());
    }

    #[test]
    fn a_peer_that_sends_beyond_its_credit_is_at_fault() {
        let mut credit = Credit::new(100);
        credit.received(300).unwrap();
        assert!(credit.received(1).is_err());
        let mut credit = Credit::new(100);
        credit.received(60).unwrap();
        credit.owe(60, 0);
        credit.take_owed();
        credit.received(100).unwrap();
    }

    #[test]
    fn small_credit_waits_a_second_and_a_large_one_does_not() {
        let mut credit = Credit::new(800);
        credit.received(99).unwrap();
        credit.owe(99, 10);
        assert!(!credit.is_due(10));
        assert!(credit.is_due(1_010));
        credit.received(1).unwrap();
        credit.owe(1, 11);
        assert!(credit.is_due(11));
    }
}
