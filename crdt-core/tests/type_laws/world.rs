//! Three replicas driven apart by a script, and every event that happened on the way.

use std::fmt::Debug;

use crdt_core::{DeltaError, ReplicaId};
use serde::Serialize;
use serde::de::DeserializeOwned;

const REPLICAS: [ReplicaId; 3] = [ReplicaId::from_u128(1), ReplicaId::from_u128(2), ReplicaId::from_u128(3)];

/// A type under test, and the naive model of it.
pub(crate) trait Subject: Clone + PartialEq + Debug + Default + Serialize + DeserializeOwned {
    type Delta: Clone + PartialEq + Debug + Serialize + DeserializeOwned;
    type Action: Copy + Debug;
    type View: PartialEq + Debug;

    /// Makes an action out of any number.
    fn action(seed: u32) -> Self::Action;
    /// Returns nothing if the action has nothing to do, or is refused.
    fn write(&mut self, replica: ReplicaId, action: Self::Action) -> Option<Self::Delta>;
    fn apply(&mut self, delta: &Self::Delta) -> Result<bool, DeltaError>;
    fn merge(&mut self, other: &Self);
    fn view(&self) -> Self::View;
    /// Derives the value from all events that have been seen, in a causal order.
    fn model(seen: &[&Event<Self>]) -> Self::View;
}

/// One write, wherever it has got to.
pub(crate) struct Event<S: Subject> {
    pub(crate) index: usize,
    pub(crate) replica: ReplicaId,
    pub(crate) action: S::Action,
    /// The events that its author had seen, a bit each.
    pub(crate) past: u64,
    pub(crate) delta: S::Delta,
}

impl<S: Subject> Event<S> {
    pub(crate) fn saw(&self, other: &Self) -> bool {
        self.past & (1 << other.index) != 0
    }
}

#[derive(Clone)]
pub(crate) struct Replica<S> {
    pub(crate) value: S,
    /// Events in the order in which they came here.
    pub(crate) log: Vec<usize>,
    /// The same, a bit each.
    pub(crate) seen: u64,
}

pub(crate) struct World<S: Subject> {
    pub(crate) replicas: [Replica<S>; 3],
    pub(crate) events: Vec<Event<S>>,
}

impl<S: Subject> World<S> {
    pub(crate) fn run(script: &[u32]) -> Self {
        let replica = Replica { value: S::default(), log: Vec::new(), seen: 0 };
        let mut world = Self { replicas: [replica.clone(), replica.clone(), replica], events: Vec::new() };
        for step in script {
            let (at, detail) = ((step >> 3) as usize % 3, step >> 8);
            let from = (at + 1 + (step >> 5) as usize % 2) % 3;
            match step % 8 {
                0..=4 => world.write(at, S::action(detail)),
                5 | 6 => world.deliver(from, at, 1 + detail as usize % 4),
                _ => world.merge(from, at),
            }
        }
        world
    }

    fn write(&mut self, at: usize, action: S::Action) {
        let replica = &mut self.replicas[at];
        let (index, past) = (self.events.len(), replica.seen);
        if let Some(delta) = replica.value.write(REPLICAS[at], action) {
            self.events.push(Event { index, replica: REPLICAS[at], action, past, delta });
            replica.log.push(index);
            replica.seen |= 1 << index;
        }
    }

    /// Returns the events that one replica has and the other lacks, in the order of the one.
    pub(crate) fn unseen(&self, from: usize, to: usize) -> Vec<usize> {
        let lacks = |index: &&usize| self.replicas[to].seen & (1 << **index) == 0;
        self.replicas[from].log.iter().filter(lacks).copied().collect()
    }

    fn deliver(&mut self, from: usize, to: usize, count: usize) {
        for index in self.unseen(from, to).into_iter().take(count) {
            assert!(self.replicas[to].value.apply(&self.events[index].delta).is_ok());
            self.replicas[to].log.push(index);
            self.replicas[to].seen |= 1 << index;
        }
    }

    fn merge(&mut self, from: usize, to: usize) {
        let unseen = self.unseen(from, to);
        let theirs = self.replicas[from].value.clone();
        let replica = &mut self.replicas[to];
        replica.value.merge(&theirs);
        replica.seen |= unseen.iter().fold(0, |bits, index| bits | 1 << index);
        replica.log.extend(unseen);
    }

    pub(crate) fn values(&self) -> [S; 3] {
        self.replicas.each_ref().map(|replica| replica.value.clone())
    }
}
