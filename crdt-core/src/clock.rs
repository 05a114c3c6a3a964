//! Hybrid logical clock: timestamps near wall time that still respect what was seen.
//!
//! What if somebody's clock is wrong? A stamp decides only between *concurrent* writes of one
//! register; a write that has seen another replaces it whatever the stamps say. A stamp from the
//! far future is therefore followed by at most [`ABSORB_MS_MAX`], so one broken clock cannot drag everybody's with it.
//! Whether a delta is taken in, no clock decides (Invariant 6).
//!
//! Source: Kulkarni et al., "Logical physical clocks" (2014), §3; differs in: one 64-bit number
//! instead of a pair, a bound on what is absorbed, and time passed in.

use serde::{Deserialize, Serialize};

use crate::planted::{Bug, is_planted};

/// How far beyond its own wall time a clock follows the stamps of others: 60 seconds.
pub const ABSORB_MS_MAX: u64 = 60_000;

/// Wall times above this (about the year 6429) are read as this.
const WALL_MS_MAX: u64 = (1 << 47) - 1;

/// One hybrid timestamp: milliseconds since the Unix epoch in the upper 48 bits, a count within
/// the millisecond in the lower 16. A 65,537th stamp in one millisecond carries into the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(u64);

impl Stamp {
    /// Makes the first stamp of a millisecond.
    #[must_use]
    pub fn from_wall_ms(wall_ms: u64) -> Self {
        Self(wall_ms.min(WALL_MS_MAX) << 16)
    }

    /// Reads a stamp from its number.
    #[must_use]
    pub const fn from_u64(stamp: u64) -> Self {
        Self(stamp)
    }

    /// Returns the stamp as one number, in whose order stamps are compared.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Returns the milliseconds since the Unix epoch.
    #[must_use]
    pub const fn wall_ms(self) -> u64 {
        self.0 >> 16
    }

    /// Returns the stamp right after this one; the greatest of all has none and stays.
    #[must_use]
    pub(crate) const fn successor(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Gives stamps that strictly increase, whatever wall time does.
#[derive(Clone, Debug, Default)]
pub struct HybridClock {
    /// The last stamp given.
    last: Stamp,
    /// The greatest stamp seen from others; followed only within [`ABSORB_MS_MAX`].
    seen: Stamp,
}

impl HybridClock {
    /// Returns a clock that has given and seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the next stamp: above every stamp given before, not below wall time, and above every
    /// stamp seen that lies at most [`ABSORB_MS_MAX`] ahead of wall time.
    pub fn stamp(&mut self, wall_ms: u64) -> Stamp {
        let wall = Stamp::from_wall_ms(wall_ms);
        let horizon = Stamp::from_wall_ms(wall_ms.saturating_add(ABSORB_MS_MAX));
        let seen = self.seen.min(horizon);
        self.last = wall.max(seen.successor()).max(self.last.successor());
        if is_planted(Bug::ClockFollowsWall) {
            self.last = wall;
        }
        self.last
    }

    /// Takes note of a stamp that this clock gave in an earlier life.
    pub fn resume(&mut self, stamp: Stamp) {
        self.last = self.last.max(stamp);
    }

    /// Goes on from where the same clock was earlier: above all that it had given and seen.
    pub fn resume_from(&mut self, earlier: &Self) {
        self.resume(earlier.last);
        self.observe(earlier.seen);
    }

    /// Takes note of a stamp that another replica gave.
    pub fn observe(&mut self, stamp: Stamp) {
        self.seen = self.seen.max(stamp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn seventy_thousand_stamps_within_one_millisecond_strictly_increase() {
        let mut clock = HybridClock::new();
        let mut last = Stamp::default();
        for _ in 0..70_000 {
            let next = clock.stamp(NOW_MS);
            assert!(next > last);
            last = next;
        }
        assert_eq!(last.wall_ms(), NOW_MS + 1);
    }

    #[test]
    fn a_clock_set_back_does_not_take_stamps_back() {
        let mut clock = HybridClock::new();
        let before = clock.stamp(NOW_MS);
        assert!(clock.stamp(0) > before);
    }

    #[test]
    fn a_near_future_stamp_is_followed_and_a_far_one_only_sixty_seconds() {
        let mut clock = HybridClock::new();
        clock.observe(Stamp::from_wall_ms(NOW_MS + 5_000));
        assert_eq!(clock.stamp(NOW_MS).wall_ms(), NOW_MS + 5_000);
        clock.observe(Stamp::from_u64(u64::MAX));
        assert_eq!(clock.stamp(NOW_MS).wall_ms(), NOW_MS + ABSORB_MS_MAX);
    }
}
