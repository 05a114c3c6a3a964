//! Merging two whole states: the classic rule, at every leaf of the tree.
//!
//! An entry on one side only survives unless the other side's version covers its dot: who covers a
//! dot and lacks its entry has taken it out. Tables merge shard against shard, and shards that
//! both share are skipped.
//!
//! Source: Bieniusa et al., "An optimized conflict-free replicated set" (2012); Almeida, Shoker,
//! Baquero, "Delta state replicated data types" (2018), §7.

use std::sync::Arc;

use super::recorder::Recorder;
use super::{Effects, State};
use crate::context::TooManyReplicas;
use crate::digest::PathHash;
use crate::document::MergeError;
use crate::dots::Dots;
use crate::elements::Sides;
use crate::id::{Dot, ReplicaId};
use crate::limits::REPLICAS_MAX;
use crate::node::{CounterNode, MapNode, Node, RegisterNode, SetNode};
use crate::path::Key;
use crate::table::{Fuse, Outcome};

impl State {
    /// Checks whether `other` can be merged into the state of replica `own`.
    pub(crate) fn accepts(&self, other: &Self, own: ReplicaId) -> Result<(), MergeError> {
        if let Some(dot) = self.conflict_with(other) {
            return Err(MergeError::IdentityConflict { dot });
        }
        let theirs = other.context.counter_of(own);
        if theirs > self.context.counter_of(own) {
            return Err(MergeError::OwnDot { dot: Dot::new(own, theirs) });
        }
        let is_known = |(theirs, replica)| self.context.index_like(theirs, replica).is_some();
        let strangers = other.context.numbered().filter(|numbered| !is_known(*numbered)).count();
        if self.context.len() + strangers > REPLICAS_MAX {
            return Err(TooManyReplicas.into());
        }
        Ok(())
    }

    /// Merges a state that [`accepts`](Self::accepts) let through, and its version. O(entries of
    /// both), less the tables that they share.
    pub(crate) fn merge(&mut self, other: &Self, own: ReplicaId) -> Effects {
        if self.is_blank() {
            return self.adopt(other);
        }
        let sides = Sides::new(&mut self.context, &other.context).expect("accepts has counted the replicas");
        let context = self.context.clone();
        let recorder = Recorder::new(&context, context.index(own), &mut self.digest);
        let mut merger = Merger { sides: &sides, recorder };
        merger.map(&mut self.root, &other.root, PathHash::default());
        let effects = merger.recorder.finish();
        drop(context);
        Arc::make_mut(&mut self.chains).resize(self.context.len(), 0);
        for ((index, counter), chain) in sides.numbers().iter().zip(other.context.counters()).zip(other.chains.iter()) {
            self.advance(*index, *counter, *chain);
        }
        effects
    }

    /// Finds the least dot at which both stand with different hashes. O(replicas).
    fn conflict_with(&self, other: &Self) -> Option<Dot> {
        let conflicts = self.context.numbered().filter_map(|(ours, replica)| {
            let theirs = other.context.index_like(ours, replica)?;
            let counter = self.context.counter(ours);
            let is_level = counter == other.context.counter(theirs);
            let differ = self.chains[ours.position()] != other.chains[theirs.position()];
            (is_level && differ).then_some(Dot::new(replica, counter))
        });
        conflicts.min()
    }
}

struct Merger<'a> {
    /// What both have seen, before the merge.
    sides: &'a Sides,
    recorder: Recorder<'a>,
}

impl Merger<'_> {
    fn map(&mut self, ours: &mut MapNode, theirs: &MapNode, at: PathHash) {
        self.presence(&mut ours.presence, &theirs.presence, at);
        ours.children.merge(&theirs.children, &mut Children { merger: self, at });
    }

    /// Merges two nodes of one kind.
    fn node(&mut self, ours: &mut Node, theirs: &Node, at: PathHash) {
        match (ours, theirs) {
            (Node::Register(ours), Node::Register(theirs)) => self.register(ours, theirs, at),
            (Node::Counter(ours), Node::Counter(theirs)) => self.counter(ours, theirs, at),
            (Node::Set(ours), Node::Set(theirs)) => self.set(ours, theirs, at),
            (Node::Map(ours), Node::Map(theirs)) => self.map(ours, theirs, at),
            _ => unreachable!("a key's kind is its node's kind, in every document"),
        }
    }

    fn set(&mut self, ours: &mut SetNode, theirs: &SetNode, at: PathHash) {
        self.presence(&mut ours.presence, &theirs.presence, at);
        let recorder = &mut self.recorder;
        ours.elements.merge(&theirs.elements, self.sides, |element, before, after| {
            recorder.element(at, element, before, after);
        });
    }

    fn presence(&mut self, ours: &mut Dots, theirs: &Dots, at: PathHash) {
        if let Some(after) = self.sides.merged(ours, theirs) {
            self.recorder.presence(at, ours, &after);
            *ours = after;
        }
    }

    fn register(&mut self, ours: &mut RegisterNode, theirs: &RegisterNode, at: PathHash) {
        let Self { sides, recorder } = self;
        let before = recorder.edits();
        ours.merge(theirs, sides, |before, after| recorder.value(at, before, after));
        if recorder.edits() != before {
            recorder.register(ours);
        }
    }

    fn counter(&mut self, ours: &mut CounterNode, theirs: &CounterNode, at: PathHash) {
        let Self { sides, recorder } = self;
        let shown = ours.visible_value();
        ours.merge(theirs, sides, |before, after| recorder.counter_entry(at, before, after));
        recorder.counter(shown, ours);
    }
}

/// Merges the children of one map.
struct Children<'m, 'a> {
    merger: &'m mut Merger<'a>,
    at: PathHash,
}

impl Children<'_, '_> {
    /// Merges two nodes.
    fn node(&mut self, key: &Key, ours: &mut Node, theirs: &Node) {
        self.merger.recorder.enter(key);
        self.merger.node(ours, theirs, self.at.child(key.borrowed()));
        self.merger.recorder.leave();
    }
}

impl Fuse<Key, Node> for Children<'_, '_> {
    fn mine(&mut self, key: &Key, mine: &Node, theirs: Option<&Node>) -> Outcome<Node> {
        // A copy shares its tables: it costs a few pointers, and what does not change stays shared.
        let mut node = mine.clone();
        let before = self.merger.recorder.edits();
        let stays = self.mine_in_place(key, &mut node, theirs);
        match self.merger.recorder.edits() != before {
            false => Outcome::Keep,
            true if !stays => Outcome::Drop,
            true => Outcome::Put(node),
        }
    }

    fn mine_in_place(&mut self, key: &Key, mine: &mut Node, theirs: Option<&Node>) -> bool {
        match theirs {
            Some(theirs) => self.node(key, mine, theirs),
            None => self.node(key, mine, &Node::new(key.kind)),
        }
        !mine.is_vacant()
    }

    fn theirs(&mut self, key: &Key, theirs: &Node) -> Option<Node> {
        let mut node = Node::new(key.kind);
        self.node(key, &mut node, theirs);
        (!node.is_vacant()).then_some(node)
    }
}
