//! One id, two writers: giving the transactions of one of them another id, as if it had had it all along.
//!
//! A copied store, opened twice, spends the same dots for different changes. Up to the *fork* both
//! histories are one; behind it lie two branches under one name. How does a branch get a name of its
//! own without a log? Renaming its dots says it all for registers, sets and marks: what the branch
//! has taken out is absent and covered, before as after. Only a counter's running total crosses the fork:
//! it is cut in two, the old owner's part as it stood there, and the heir's, which counts from there.
//!
//! What the branch has reset of the old owner's total must not be deleted but noted as reset: the
//! other branch counts on with a total that contains it.
//!
//! Deliberately absent: deltas. Each carries hashes of a chain that is not the heir's, so whoever
//! lacks the branch gets a snapshot.

use smallvec::SmallVec;
use thiserror::Error;

use super::State;
use crate::context::{Context, LocalDot};
use crate::digest::{Digest, PRESENCE, PathHash, counter_payload, value_payload};
use crate::dots::Dots;
use crate::elements::Elements;
use crate::frontier::Frontier;
use crate::id::{Dot, ReplicaId};
use crate::node::{CounterEntry, CounterNode, MapNode, Node, RegisterEntry, RegisterNode, SetNode};
use crate::path::{Key, Kind};
use crate::table::Builder;

/// Why a branch was not renamed. Nothing has changed: a document is never changed by it anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReissueError {
    /// There is nothing behind the fork: the document has not made a transaction since.
    #[error("nothing was written under {replica} behind the fork")]
    NoBranch {
        /// Whose branch.
        replica: ReplicaId,
    },
    /// The state given as that of the fork has seen something that the document has not.
    #[error("the state given for the fork is none that the document has had")]
    NotBefore,
    /// The new id has written to the document before.
    #[error("{heir} has written to the document already")]
    HeirInUse {
        /// The new id.
        heir: ReplicaId,
    },
}

impl State {
    /// Returns this state with everything that `replica` did since `at_fork` done by `heir` instead.
    pub(crate) fn reissued(&self, replica: ReplicaId, at_fork: &Self, heir: ReplicaId) -> Result<Self, ReissueError> {
        let after = at_fork.context.counter_of(replica);
        let through = self.context.counter_of(replica);
        if !self.context.version().covers_all(&at_fork.context.version()) {
            return Err(ReissueError::NotBefore);
        }
        if through == after {
            return Err(ReissueError::NoBranch { replica });
        }
        if self.context.counter_of(heir) > 0 {
            return Err(ReissueError::HeirInUse { heir });
        }
        let others = self.frontier().iter().filter(|(id, ..)| *id != replica).collect::<Vec<_>>();
        let own = [(replica, after, at_fork.chain_of(replica)), (heir, through - after, self.chain_of(replica))];
        let frontier: Frontier = others.into_iter().chain(own).collect();
        let context = Context::of(frontier.tips());
        let mut rename =
            Rename { from: self, at_fork, context: &context, replica, after, heir, digest: Digest::default() };
        let root = rename.map(&self.root, Some(&at_fork.root), PathHash::default());
        let digest = rename.digest;
        Ok(Self::of(&frontier, root, digest))
    }
}

struct Rename<'a> {
    from: &'a State,
    at_fork: &'a State,
    /// Of the new state.
    context: &'a Context,
    replica: ReplicaId,
    after: u64,
    heir: ReplicaId,
    /// Of the new state, as far as it is made.
    digest: Digest,
}

impl Rename<'_> {
    fn local(&self, dot: Dot) -> LocalDot {
        self.context.local(dot).expect("the new frontier lists every replica that has written, and the heir")
    }

    fn is_branch(&self, dot: Dot) -> bool {
        dot.replica == self.replica && dot.counter > self.after
    }

    fn renamed(&self, dot: LocalDot) -> Dot {
        let dot = self.from.context.dot(dot);
        if self.is_branch(dot) { Dot::new(self.heir, dot.counter - self.after) } else { dot }
    }

    /// Renames the dots of one entry.
    fn dots(&mut self, dots: &[LocalDot], at: PathHash, payload: u64) -> Dots {
        let renamed: SmallVec<[Dot; 1]> = dots.iter().map(|dot| self.renamed(*dot)).collect();
        renamed.iter().for_each(|dot| self.digest.add(at.entry(*dot, payload)));
        renamed.into_iter().map(|dot| self.local(dot)).collect()
    }

    fn map(&mut self, map: &MapNode, at_fork: Option<&MapNode>, at: PathHash) -> MapNode {
        let presence = self.dots(&map.presence, at, PRESENCE);
        // What the branch has taken out as a whole; of a counter the old owner's part is left, reset.
        let before = at_fork.into_iter().flat_map(|before| before.children.iter());
        let gone = before.filter(|(key, _)| map.children.get(*key).is_none());
        let gone = gone.filter(|(key, _)| matches!(key.kind, Kind::Counter | Kind::Map));
        let mut left: Vec<(Key, Node)> = Vec::new();
        for (key, before) in gone {
            let node = self.node(&Node::new(key.kind), Some(before), at.child(key.borrowed()));
            if !node.is_vacant() {
                left.push((key.clone(), node));
            }
        }
        let mut children = Builder::with_capacity(map.children.len() + left.len());
        left.into_iter().for_each(|(key, node)| children.push(key, node));
        for (key, child) in map.children.iter() {
            let before = at_fork.and_then(|before| before.children.get(key));
            children.push(key.clone(), self.node(child, before, at.child(key.borrowed())));
        }
        MapNode { presence, children: children.finish() }
    }

    fn node(&mut self, node: &Node, at_fork: Option<&Node>, at: PathHash) -> Node {
        match (node, at_fork) {
            (Node::Register(register), _) => Node::Register(self.register(register, at)),
            (Node::Set(set), _) => Node::Set(self.set(set, at)),
            (Node::Counter(counter), Some(Node::Counter(before))) => Node::Counter(self.counter(counter, before, at)),
            (Node::Counter(counter), _) => Node::Counter(self.counter(counter, &CounterNode::default(), at)),
            (Node::Map(map), Some(Node::Map(before))) => Node::Map(self.map(map, Some(before), at)),
            (Node::Map(map), _) => Node::Map(self.map(map, None, at)),
        }
    }

    fn set(&mut self, set: &SetNode, at: PathHash) -> SetNode {
        let presence = self.dots(&set.presence, at, PRESENCE);
        let mut elements = Elements::builder(set.elements.len());
        for (element, dots) in set.elements.iter() {
            let payload = value_payload(element.borrowed(), 0);
            elements.push(element.clone(), self.dots(dots, at, payload));
        }
        SetNode { presence, elements: Elements::built(elements) }
    }

    fn register(&mut self, register: &RegisterNode, at: PathHash) -> RegisterNode {
        let mut entries = SmallVec::with_capacity(register.entries.len());
        for entry in &register.entries {
            let dot = self.renamed(entry.dot);
            self.digest.add(at.entry(dot, value_payload(entry.value.borrowed(), entry.stamp.as_u64())));
            entries.push(RegisterEntry { dot: self.local(dot), ..entry.clone() });
        }
        RegisterNode { entries }
    }

    fn counter(&mut self, counter: &CounterNode, at_fork: &CounterNode, at: PathHash) -> CounterNode {
        let mut renamed = CounterNode::default();
        let mut put = |dot: Dot, entry: CounterEntry| {
            let payload = counter_payload(entry.total, entry.base, entry.base_total);
            self.digest.add(at.entry(dot, payload));
            let dot = self.context.local(dot).expect("the new frontier lists every replica that has written");
            renamed.put(dot.replica(), Some(CounterEntry { dot, ..entry }));
        };
        let owner = self.at_fork.context.index(self.replica);
        let before = owner.and_then(|owner| at_fork.entry(owner)).copied();
        let before_dot = before.map(|before| self.at_fork.context.dot(before.dot));
        let mut is_owner_there = false;
        for entry in counter.entries() {
            let dot = self.from.context.dot(entry.dot);
            is_owner_there |= dot.replica == self.replica;
            if !(dot.replica == self.replica && dot.counter > self.after) {
                put(dot, *entry);
                continue;
            }
            // Counting went on from what stood at the fork, unless all of that was reset meanwhile.
            let goes_on = entry.base < self.after;
            let (base, base_total) = match goes_on {
                true => (0, before.map_or(0, |before| before.total)),
                false => (entry.base - self.after, entry.base_total),
            };
            put(Dot::new(self.heir, dot.counter - self.after), CounterEntry { base, base_total, ..*entry });
            if let (Some(mut before), Some(dot)) = (before, before_dot) {
                match goes_on {
                    true => before.reset(entry.base, entry.base_total),
                    false => before.reset(dot.counter, before.total),
                }
                put(dot, before);
            }
        }
        if let (false, Some(mut before), Some(dot)) = (is_owner_there, before, before_dot) {
            before.reset(dot.counter, before.total);
            put(dot, before);
        }
        renamed
    }
}
