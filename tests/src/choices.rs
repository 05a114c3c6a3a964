//! A stream of small choices from one seed, for everything that is drawn outside proptest.
//!
//! Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014), splitmix64.

/// Gives the same choices for the same seed, on every machine.
#[derive(Clone, Debug)]
pub struct Choices {
    state: u64,
}

impl Choices {
    /// Starts at a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// Returns a number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.bits().checked_rem(bound as u64).unwrap_or(0) as usize
    }

    /// Tosses a coin.
    pub fn coin(&mut self) -> bool {
        self.bits() & 1 == 1
    }
}
