//! A stream of small choices from one seed.
//!
//! Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014), splitmix64.

/// Gives the same choices for the same seed, on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    state: u64,
}

impl Choices {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// Returns a number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.bits() % (most - least + 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.between(0, bound as u64 - 1)).expect("below a usize")
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.between(1, times) == 1
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}
