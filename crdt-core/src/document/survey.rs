//! What a document needs to know of a state it is opened on: its own reset counters, and how far
//! the clocks had got.

use std::collections::BTreeSet;

use crate::clock::HybridClock;
use crate::context::ReplicaIndex;
use crate::id::ReplicaId;
use crate::node::{MapNode, Node};
use crate::path::{Key, Path};
use crate::state::State;

/// Walks the map keys once.
pub(super) fn survey(state: &State, replica: ReplicaId) -> (BTreeSet<Path>, HybridClock) {
    let mut survey = Survey {
        own: state.context.index(replica),
        keys: Vec::new(),
        own_resets: BTreeSet::new(),
        clock: HybridClock::new(),
    };
    survey.map(&state.root);
    (survey.own_resets, survey.clock)
}

struct Survey {
    own: Option<ReplicaIndex>,
    keys: Vec<Key>,
    own_resets: BTreeSet<Path>,
    clock: HybridClock,
}

impl Survey {
    fn map(&mut self, map: &MapNode) {
        for (key, child) in map.children.iter() {
            self.keys.push(key.clone());
            match child {
                Node::Register(register) => {
                    for entry in &register.entries {
                        match Some(entry.dot.replica()) == self.own {
                            true => self.clock.resume(entry.stamp),
                            false => self.clock.observe(entry.stamp),
                        }
                    }
                }
                Node::Counter(counter) => {
                    let own = self.own.and_then(|own| counter.entry(own));
                    if own.is_some_and(|entry| !entry.is_live()) {
                        self.own_resets.insert(Path::from(&self.keys[..]));
                    }
                }
                Node::Set(_) => {}
                Node::Map(map) => self.map(map),
            }
            self.keys.pop();
        }
    }
}
