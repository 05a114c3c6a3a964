//! Taking on a whole state where nothing is yet: what comes is what there is from then on.
//!
//! Merged like any other, each entry of it would be looked up, hashed and put into a table of its own. The tables are
//! shared instead, with the digest and the numbers of the replicas, and are only looked through for what readers see.

use super::recorder::Recorder;
use super::{Effects, State};
use crate::digest::PathHash;
use crate::dots::Dots;
use crate::node::{MapNode, Node};

/// No digest is computed, so nobody asks where an entry lies.
const ANYWHERE: PathHash = PathHash::NOWHERE;

impl State {
    /// Tells whether nobody has ever written anything.
    pub(super) fn is_blank(&self) -> bool {
        self.context.counters().iter().all(|counter| *counter == 0)
    }

    /// Becomes another state, in which `self` is [blank](Self::is_blank). O(entries).
    pub(super) fn adopt(&mut self, other: &Self) -> Effects {
        *self = other.clone();
        let mut adopted = Adopted { recorder: Recorder::observing(&self.context, None), none: Dots::new() };
        adopted.map(&self.root);
        adopted.recorder.finish()
    }
}

struct Adopted<'a> {
    recorder: Recorder<'a>,
    /// What was there before.
    none: Dots,
}

impl Adopted<'_> {
    fn map(&mut self, map: &MapNode) {
        self.recorder.presence(ANYWHERE, &self.none, &map.presence);
        for (key, child) in map.children.iter() {
            self.recorder.enter(key);
            self.node(child);
            self.recorder.leave();
        }
    }

    fn node(&mut self, node: &Node) {
        let Self { recorder, none } = self;
        match node {
            Node::Map(map) => self.map(map),
            Node::Set(set) => {
                recorder.presence(ANYWHERE, none, &set.presence);
                for (element, dots) in set.elements.iter() {
                    recorder.element(ANYWHERE, element, none, dots);
                }
            }
            Node::Register(register) => {
                for entry in &register.entries {
                    recorder.value(ANYWHERE, None, Some(entry));
                }
                recorder.register(register);
            }
            Node::Counter(counter) => {
                for entry in counter.entries() {
                    recorder.counter_entry(ANYWHERE, None, Some(entry));
                }
                recorder.counter(None, counter);
            }
        }
    }
}
