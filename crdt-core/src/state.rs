//! A document's data without its identity: what documents and snapshots have in common.
//!
//! Every part is shared copy-on-write, so a copy costs a few pointers whatever the size.

use std::sync::Arc;

use crate::context::{Context, ReplicaIndex, TooManyReplicas};
use crate::digest::Digest;
use crate::frontier::Frontier;
use crate::id::ReplicaId;
use crate::node::MapNode;

mod adopt;
mod apply;
mod decode;
mod detach;
mod encode;
mod merge;
mod recorder;
mod reissue;

pub(crate) use recorder::Effects;
pub use reissue::ReissueError;

/// Root map, version, chain hashes and digest. Equal versions mean equal states.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) context: Context,
    /// The chain hash of each replica at its counter, by replica index; 0 for counter 0.
    chains: Arc<Vec<u64>>,
    pub(crate) root: MapNode,
    /// Always the digest of `root`: every change of an entry goes through `Recorder`.
    pub(crate) digest: Digest,
}

impl State {
    /// Returns the state at this frontier that has this content, and this digest of it.
    fn of(frontier: &Frontier, root: MapNode, digest: Digest) -> Self {
        let tips = frontier.tips();
        let chains = tips.iter().map(|tip| tip.chain).collect();
        Self { context: Context::of(tips), chains: Arc::new(chains), root, digest }
    }

    pub(crate) fn chain_of(&self, replica: ReplicaId) -> u64 {
        self.context.index(replica).map_or(0, |index| self.chains[index.position()])
    }

    pub(crate) fn frontier(&self) -> Frontier {
        let tips = self.context.ids().iter().zip(self.context.counters()).zip(self.chains.iter());
        tips.map(|((replica, counter), chain)| (*replica, *counter, *chain)).collect()
    }

    fn intern(&mut self, replica: ReplicaId) -> Result<ReplicaIndex, TooManyReplicas> {
        let index = self.context.intern(replica)?;
        if self.chains.len() < self.context.len() {
            Arc::make_mut(&mut self.chains).resize(self.context.len(), 0);
        }
        Ok(index)
    }

    /// Moves one replica on to a higher counter and the chain hash there.
    fn advance(&mut self, replica: ReplicaIndex, counter: u64, chain: u64) {
        if counter > self.context.counter(replica) {
            self.context.raise(replica, counter);
            Arc::make_mut(&mut self.chains)[replica.position()] = chain;
        }
    }
}

impl PartialEq for State {
    /// Compares what is replicated, not how replicas happen to be numbered. O(n log n).
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.frontier() == other.frontier() && self.encode() == other.encode()
    }
}

impl Eq for State {}
