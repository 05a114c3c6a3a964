//! How long to wait before dialling again: full jitter, doubling, reset by a healthy link.
//!
//! A delay is drawn evenly from zero to a ceiling that doubles with each failure, so a thousand
//! replicas that lost one server come back spread out instead of in waves. Randomness enters as an
//! argument; there is no clock in here.
//!
//! Source: Brooker, "Exponential backoff and jitter" (AWS Architecture Blog, 2015), "full jitter".

use std::time::Duration;

/// A link that lived this long ends a row of failures.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// The least ceiling after a link that was not wanted. A refusal makes the peer ask the link in place
/// for a sign of life within 5 s (`Config::hello_timeout_ms`): half of this later, it knows.
const REST_MS: u64 = 10_000;

/// How often in a row another id is reason to dial again at once: each settles something, and a replica takes no more
/// ids.
const RENEWALS_MAX: u32 = 64;

/// The delays before the next attempts to dial one address.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min_ms: u64,
    max_ms: u64,
    /// The ceiling of the next delay; between `min_ms` and `max_ms`.
    ceiling_ms: u64,
    /// The next delay is drawn from the upper half of its range.
    is_resting: bool,
    /// The last link that came up was not wanted.
    was_unwanted: bool,
    /// How many links in a row have ended for another id.
    renewals: u32,
}

impl Backoff {
    /// Starts with delays of up to `min_ms`, and never waits longer than `max_ms`.
    ///
    /// Bounds of zero are raised to one millisecond, so that a failing dial never spins.
    pub(crate) fn new(min_ms: u64, max_ms: u64) -> Self {
        let min_ms = min_ms.max(1);
        Self {
            min_ms,
            max_ms: max_ms.max(min_ms),
            ceiling_ms: min_ms,
            is_resting: false,
            was_unwanted: false,
            renewals: 0,
        }
    }

    /// Takes note that a link has ended after it had lived so long.
    pub(crate) fn link_ended(&mut self, lived: Duration) {
        self.was_unwanted = false;
        if lived >= HEALTHY_AFTER {
            self.ceiling_ms = self.min_ms;
            self.renewals = 0;
        }
    }

    /// Takes note that one end has ended the link to go on under another id, and is there: nothing has failed, unless
    /// it does so again and again.
    pub(crate) fn renewed(&mut self) {
        self.was_unwanted = false;
        if self.renewals < RENEWALS_MAX {
            self.renewals += 1;
            self.ceiling_ms = self.min_ms;
        }
    }

    /// Takes note that the link was not wanted: its peer is linked already, or is ourselves.
    ///
    /// The first time this may be a race with the end of an earlier link of our own, which the peer
    /// is about to notice: the next delay is an ordinary one. From the second time in a row it is a
    /// long one, for trying soon could only be refused again.
    pub(crate) fn unwanted(&mut self) {
        if self.was_unwanted {
            self.ceiling_ms = self.ceiling_ms.max(REST_MS.min(self.max_ms));
            self.is_resting = true;
        }
        self.was_unwanted = true;
    }

    /// Returns the next delay, drawn with `random`, and doubles the ceiling.
    pub(crate) fn next_delay(&mut self, random: u64) -> Duration {
        let floor_ms = if self.is_resting { self.ceiling_ms / 2 } else { 0 };
        let spread = u128::from(self.ceiling_ms - floor_ms) + 1;
        // Multiplying instead of taking the remainder spreads any range evenly.
        let drawn = u64::try_from((u128::from(random) * spread) >> 64).expect("below spread, which fits");
        self.ceiling_ms = self.ceiling_ms.saturating_mul(2).min(self.max_ms);
        self.is_resting = false;
        Duration::from_millis(floor_ms + drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest delay that could be drawn next.
    fn longest(backoff: &mut Backoff) -> u128 {
        backoff.next_delay(u64::MAX).as_millis()
    }

    #[test]
    fn ceiling_doubles_up_to_the_maximum() {
        let mut backoff = Backoff::new(100, 1_000);
        let ceilings: Vec<_> = (0..6).map(|_| longest(&mut backoff)).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1_000, 1_000]);
    }

    #[test]
    fn jitter_is_full() {
        let mut backoff = Backoff::new(100, 1_000);
        assert_eq!(backoff.next_delay(0), Duration::ZERO);
        assert_eq!(backoff.next_delay(1 << 63), Duration::from_millis(100));
    }

    #[test]
    fn only_a_healthy_link_resets() {
        let mut backoff = Backoff::new(100, 1_000);
        let _ = longest(&mut backoff);
        backoff.link_ended(HEALTHY_AFTER - Duration::from_millis(1));
        assert_eq!(longest(&mut backoff), 200);
        backoff.link_ended(HEALTHY_AFTER);
        assert_eq!(longest(&mut backoff), 100);
    }

    #[test]
    fn unwanted_link_is_tried_once_more_soon_then_rests_for_half_its_ceiling_at_least() {
        let mut backoff = Backoff::new(100, 30_000);
        backoff.unwanted();
        assert_eq!(longest(&mut backoff), 100);
        backoff.unwanted();
        assert_eq!(backoff.next_delay(0), Duration::from_secs(5));
        backoff.unwanted();
        assert_eq!(longest(&mut backoff), 20_000);
        backoff.unwanted();
        assert_eq!(backoff.next_delay(0), Duration::from_secs(15));
        assert_eq!(backoff.next_delay(0), Duration::ZERO);
        backoff.link_ended(HEALTHY_AFTER);
        backoff.unwanted();
        assert_eq!(longest(&mut backoff), 100);
    }

    #[test]
    fn link_to_an_end_that_goes_by_another_id_is_dialled_again_as_if_for_the_first_time() {
        let mut backoff = Backoff::new(100, 30_000);
        backoff.unwanted();
        let _ = longest(&mut backoff);
        backoff.renewed();
        assert_eq!(longest(&mut backoff), 100);
        backoff.unwanted();
        assert_eq!(backoff.next_delay(0), Duration::ZERO, "that was the first time");
        for _ in 0..100 {
            backoff.renewed();
            let _ = longest(&mut backoff);
        }
        assert_eq!(longest(&mut backoff), 30_000, "nobody has so many ids");
        backoff.link_ended(HEALTHY_AFTER);
        backoff.renewed();
        assert_eq!(longest(&mut backoff), 100);
    }

    #[test]
    fn rest_keeps_to_the_maximum() {
        let mut backoff = Backoff::new(1, 4);
        backoff.unwanted();
        backoff.unwanted();
        assert_eq!(longest(&mut backoff), 4);
    }

    #[test]
    fn extreme_bounds_neither_spin_nor_overflow() {
        let mut none = Backoff::new(0, 0);
        assert_eq!(longest(&mut none), 1);
        let mut endless = Backoff::new(u64::MAX, u64::MAX);
        assert_eq!(longest(&mut endless), u128::from(u64::MAX));
        assert_eq!(longest(&mut endless), u128::from(u64::MAX));
    }
}
