//! Applying one delta: check everything, then change; nothing in between can fail.

use super::recorder::Recorder;
use super::{Effects, State};
use crate::clock::Stamp;
use crate::context::{Context, LocalDot, TooManyReplicas};
use crate::delta::{CounterDelta, Delta, LeafDelta, MapDelta, NodeDelta, SetDelta};
use crate::digest::PathHash;
use crate::document::ApplyError;
use crate::dots::Dots;
use crate::id::{Dot, ReplicaId};
use crate::limits::REPLICAS_MAX;
use crate::node::{CounterEntry, CounterNode, MapNode, Node, RegisterEntry, RegisterNode, SetNode};
use crate::planted::{Bug, is_planted};
use crate::value::Value;

impl State {
    /// Checks whether `delta` can be applied: `Ok(false)` if it is covered already. No clock is asked (Invariant 6).
    pub(crate) fn admits(&self, delta: &Delta) -> Result<bool, ApplyError> {
        let mut covered = true;
        for chained in &delta.ranges {
            let range = chained.range;
            let have = self.context.counter_of(range.replica);
            if have < range.after && !is_planted(Bug::SkipGapCheck) {
                return Err(ApplyError::Gap { replica: range.replica, have, after: range.after });
            }
            let chain = self.chain_of(range.replica);
            let expected = if have == range.after {
                chained.chain_after
            } else if have == range.through {
                chained.chain_through
            } else {
                chain
            };
            if chain != expected {
                return Err(ApplyError::IdentityConflict { dot: Dot::new(range.replica, have) });
            }
            covered &= have >= range.through;
        }
        if covered {
            return Ok(false);
        }
        if let Some(dot) = delta.needs.iter().find(|dot| self.context.counter_of(dot.replica) < dot.counter) {
            return Err(ApplyError::Uncovered { dot: *dot });
        }
        let strangers = delta.ranges.iter().filter(|chained| self.context.index(chained.range.replica).is_none());
        if self.context.len() + strangers.count() > REPLICAS_MAX {
            return Err(TooManyReplicas.into());
        }
        Ok(true)
    }

    /// Applies a delta that [`admits`](Self::admits) let through, to the document of replica `own` or
    /// to nobody's. O(entries of the delta × log).
    pub(crate) fn apply(&mut self, delta: &Delta, own: Option<ReplicaId>) -> Effects {
        for chained in &delta.ranges {
            self.intern(chained.range.replica).expect("admits has counted the replicas");
        }
        let context = self.context.clone();
        let own = own.and_then(|own| context.index(own));
        let recorder = Recorder::new(&context, own, &mut self.digest);
        let mut applier = Applier { rule: Rule { delta, context: &context }, recorder };
        applier.map(&mut self.root, &delta.body, PathHash::default());
        let effects = applier.recorder.finish();
        drop(context);
        for chained in &delta.ranges {
            let index = self.intern(chained.range.replica).expect("numbered above");
            self.advance(index, chained.range.through, chained.chain_through);
        }
        effects
    }
}

/// What a delta says of an entry.
#[derive(Clone, Copy)]
struct Rule<'a> {
    delta: &'a Delta,
    /// As it was before the delta: what it covers is not added again.
    context: &'a Context,
}

impl Rule<'_> {
    /// Tells whether an entry that is here goes: named, or inside the range and not listed as live.
    fn supersedes<P>(self, leaf: &LeafDelta<P>, dot: LocalDot) -> bool {
        let dot = self.context.dot(dot);
        if leaf.superseded.binary_search(&dot).is_ok() {
            return !is_planted(Bug::ForgetSuperseded);
        }
        // At most one is added for each replica, and it is that replica's latest word here.
        let added = leaf.added.binary_search_by_key(&dot.replica, |(added, _)| added.replica);
        match added.map(|at| leaf.added[at].0) {
            Ok(added) if added >= dot => added > dot,
            _ => self.delta.spans(dot) && !is_planted(Bug::ForgetRange),
        }
    }

    /// Yields the entries that the delta adds and that are not covered here yet.
    fn added<P>(self, leaf: &LeafDelta<P>) -> impl Iterator<Item = (LocalDot, &P)> {
        leaf.added.iter().filter_map(move |(dot, content)| {
            let local = self.context.local(*dot).expect("every replica of a range is numbered");
            (!self.context.covers(local) || is_planted(Bug::ResurrectCovered)).then_some((local, content))
        })
    }

    /// Returns the dots of one entry as they are after the delta.
    fn changed(self, dots: &[LocalDot], leaf: &LeafDelta<()>) -> Dots {
        let kept = dots.iter().copied().filter(|dot| !self.supersedes(leaf, *dot));
        kept.chain(self.added(leaf).map(|(dot, ())| dot)).collect()
    }
}

struct Applier<'a> {
    rule: Rule<'a>,
    recorder: Recorder<'a>,
}

impl Applier<'_> {
    fn map(&mut self, map: &mut MapNode, delta: &MapDelta, at: PathHash) {
        if let Some(leaf) = &delta.presence {
            self.presence(&mut map.presence, leaf, at);
        }
        for (key, change) in delta.children.iter() {
            self.recorder.enter(key);
            let at = at.child(key.borrowed());
            let child = map.children.get_or_insert_with(key, || Node::new(key.kind));
            self.node(child, change, at);
            if child.is_vacant() {
                map.children.remove(key);
            }
            self.recorder.leave();
        }
    }

    fn node(&mut self, node: &mut Node, delta: &NodeDelta, at: PathHash) {
        match (node, delta) {
            (Node::Register(register), NodeDelta::Register(leaf)) => self.register(register, leaf, at),
            (Node::Counter(counter), NodeDelta::Counter(delta)) => self.counter(counter, delta, at),
            (Node::Set(set), NodeDelta::Set(delta)) => self.set(set, delta, at),
            (Node::Map(map), NodeDelta::Map(delta)) => self.map(map, delta, at),
            _ => unreachable!("a key's kind is its node's kind, in documents and in deltas"),
        }
    }

    fn presence(&mut self, presence: &mut Dots, leaf: &LeafDelta<()>, at: PathHash) {
        let after = self.rule.changed(presence, leaf);
        if after != *presence {
            self.recorder.presence(at, presence, &after);
            *presence = after;
        }
    }

    fn set(&mut self, set: &mut SetNode, delta: &SetDelta, at: PathHash) {
        if let Some(leaf) = &delta.presence {
            self.presence(&mut set.presence, leaf, at);
        }
        let Self { rule, recorder } = self;
        for (element, leaf) in delta.elements.iter() {
            let changed = |before: &[LocalDot], after: &[LocalDot]| recorder.element(at, element, before, after);
            set.elements.update(element, |dots| rule.changed(dots, leaf), changed);
        }
    }

    fn register(&mut self, register: &mut RegisterNode, leaf: &LeafDelta<(Stamp, Value)>, at: PathHash) {
        let Self { rule, recorder } = self;
        let before = recorder.edits();
        register.take_out(|dot| rule.supersedes(leaf, dot), |lost| recorder.value(at, Some(lost), None));
        for (dot, (stamp, value)) in rule.added(leaf) {
            let entry = RegisterEntry { dot, stamp: *stamp, value: value.clone() };
            recorder.value(at, None, Some(&entry));
            register.entries.push(entry);
        }
        if recorder.edits() != before {
            recorder.register(register);
        }
    }

    fn counter(&mut self, counter: &mut CounterNode, delta: &CounterDelta, at: PathHash) {
        let shown = counter.visible_value();
        for (owner, (through, write)) in delta.writes.iter() {
            let dot =
                self.rule.context.local(Dot::new(*owner, *through)).expect("every replica of a range is numbered");
            if self.rule.context.covers(dot) {
                continue;
            }
            let before = counter.entry(dot.replica()).copied();
            let after = CounterEntry::written(before, dot, *write);
            self.recorder.counter_entry(at, before.as_ref(), after.as_ref());
            counter.put(dot.replica(), after);
        }
        for (owner, (base, base_total)) in delta.resets.iter() {
            let Some(index) = self.rule.context.index(*owner) else {
                continue;
            };
            // No entry: its owner has taken it out already, knowing of this or another reset.
            let Some(before) = counter.entry(index).copied() else {
                continue;
            };
            let mut after = before;
            after.reset(*base, *base_total);
            if after != before {
                self.recorder.counter_entry(at, Some(&before), Some(&after));
                counter.put(index, Some(after));
            }
        }
        self.recorder.counter(shown, counter);
    }
}
