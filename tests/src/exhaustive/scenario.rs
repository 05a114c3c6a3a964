//! What to explore: replicas, links, writes, and how often what may go wrong.

use crdt_sync::Config;

use crate::op::Op;

/// A few replicas, all that they will write, and all that may happen to them.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is called when it is reported.
    pub name: &'static str,
    /// What each replica writes, in this order, at any time. One entry per replica, at most 3.
    pub writes: Vec<Vec<Op>>,
    /// Who dials whom, by the place in `writes`; at most 3.
    pub dials: Vec<(usize, usize)>,
    /// The limits of every endpoint.
    pub config: Config,
    /// What may go wrong.
    pub allowance: Allowance,
}

/// How often each thing may happen, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Allowance {
    /// Each pair in [`Scenario::dials`] is dialled this often.
    pub dials: u8,
    /// A link breaks: one end hears of it, the other then at any time.
    pub cuts: u8,
    /// A replica crashes, keeping any number of the writes that were not durable, and starts again.
    pub crashes: u8,
    /// Time goes on to the next timer, whatever is still on the way.
    pub ticks: u8,
    /// A message vanishes from a link that lives on.
    pub losses: u8,
    /// A message arrives twice.
    pub repeats: u8,
}

impl Scenario {
    /// Tells whether links may break their promise; then anybody may be blamed for what arrives.
    pub(super) fn has_broken_links(&self) -> bool {
        self.allowance.losses > 0 || self.allowance.repeats > 0
    }
}
