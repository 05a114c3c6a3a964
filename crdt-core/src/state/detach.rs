//! The same content as a document of its own: nobody who wrote to the one has written to the other.
//!
//! Why not under the same ids? Whoever goes by one of them would see transactions of its own that it has never made, in
//! a document that it has never opened. The new ids follow from the old ones, and from where the document stands and
//! what it holds, so two replicas that do so with one document have done the same, and merge.
//!
//! Dots number their replicas, so entries stay what they are, and only the list of ids is another one. The tables are
//! copied nevertheless: merging takes two that are one in memory for the same, which they are only as long as their
//! numbers stand for the same replicas.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::State;
use crate::context::{Context, LocalDot};
use crate::digest::{Digest, PRESENCE, PathHash, counter_payload, value_payload};
use crate::dots::Dots;
use crate::elements::Elements;
use crate::id::ReplicaId;
use crate::node::{MapNode, Node, SetNode};
use crate::table::Builder;

impl State {
    pub(crate) fn detached(&self) -> Self {
        let mut head = self.digest.0.to_le_bytes().to_vec();
        self.frontier().encode(&mut head);
        // One number over all of them, so ids that differ stay different.
        let mask = xxh3_128(&head);
        let ids = self.context.ids().iter().map(|id| ReplicaId::from_u128(u128::from_be_bytes(id.to_bytes()) ^ mask));
        let context = self.context.renamed(ids.collect());
        let mut unshared = Unshared { context: &context, digest: Digest::default() };
        let root = unshared.map(&self.root, PathHash::default());
        let digest = unshared.digest;
        Self { context, chains: Arc::clone(&self.chains), root, digest }
    }
}

/// Makes tables that share nothing with those they are made of.
struct Unshared<'a> {
    /// In which the dots stand for others than before.
    context: &'a Context,
    /// Of what was copied.
    digest: Digest,
}

impl Unshared<'_> {
    fn add(&mut self, at: PathHash, dot: LocalDot, payload: u64) {
        self.digest.add(at.entry(self.context.dot(dot), payload));
    }

    fn dots(&mut self, dots: &[LocalDot], at: PathHash, payload: u64) -> Dots {
        dots.iter().for_each(|dot| self.add(at, *dot, payload));
        dots.iter().copied().collect()
    }

    fn map(&mut self, map: &MapNode, at: PathHash) -> MapNode {
        let presence = self.dots(&map.presence, at, PRESENCE);
        let mut children = Builder::with_capacity(map.children.len());
        for (key, child) in map.children.iter() {
            children.push(key.clone(), self.node(child, at.child(key.borrowed())));
        }
        MapNode { presence, children: children.finish() }
    }

    fn node(&mut self, node: &Node, at: PathHash) -> Node {
        match node {
            Node::Map(map) => return Node::Map(self.map(map, at)),
            Node::Set(set) => return Node::Set(self.set(set, at)),
            Node::Register(register) => {
                for entry in &register.entries {
                    self.add(at, entry.dot, value_payload(entry.value.borrowed(), entry.stamp.as_u64()));
                }
            }
            Node::Counter(counter) => {
                for entry in counter.entries() {
                    self.add(at, entry.dot, counter_payload(entry.total, entry.base, entry.base_total));
                }
            }
        }
        node.clone()
    }

    fn set(&mut self, set: &SetNode, at: PathHash) -> SetNode {
        let presence = self.dots(&set.presence, at, PRESENCE);
        let mut elements = Elements::builder(set.elements.len());
        for (element, dots) in set.elements.iter() {
            elements.push(element.clone(), self.dots(dots, at, value_payload(element.borrowed(), 0)));
        }
        SetNode { presence, elements: Elements::built(elements) }
    }
}
