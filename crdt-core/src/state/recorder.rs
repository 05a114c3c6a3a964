//! What every change of an entry passes through: the digest, the changes for users, and the
//! counter entries of our own that were reset.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use crate::changes::{Change, Changed, Changes};
use crate::clock::Stamp;
use crate::context::{Context, LocalDot, ReplicaIndex};
use crate::digest::{Digest, EntryHash, PRESENCE, PathHash, counter_payload, value_payload};
use crate::node::{CounterEntry, CounterNode, RegisterEntry, RegisterNode};
use crate::path::{Key, Path};
use crate::planted::{Bug, is_planted};
use crate::value::Value;

/// What an apply or a merge does besides the entries themselves.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) changes: Changes,
    /// Counters in which our own entry has been reset as a whole.
    pub(crate) own_resets: BTreeSet<Path>,
    /// The latest stamp among the values that registers have gained.
    pub(crate) latest: Stamp,
}

/// Follows one walk through the tree.
pub(super) struct Recorder<'a> {
    pub(super) context: &'a Context,
    own: Option<ReplicaIndex>,
    /// `None` if it is right already.
    digest: Option<&'a mut Digest>,
    effects: Effects,
    /// The keys from the root to where the walk is.
    keys: SmallVec<[Key; 2]>,
    /// `keys` as a path, once something asked for it here.
    path: Option<Path>,
    /// How often entries have come or gone.
    edits: u64,
}

impl<'a> Recorder<'a> {
    /// Starts a walk that changes a document of replica `own`, as far as it is known there.
    pub(super) fn new(context: &'a Context, own: Option<ReplicaIndex>, digest: &'a mut Digest) -> Self {
        Self { digest: Some(digest), ..Self::observing(context, own) }
    }

    /// Starts a walk through what a document of replica `own` has become already.
    pub(super) fn observing(context: &'a Context, own: Option<ReplicaIndex>) -> Self {
        Self { context, own, digest: None, effects: Effects::default(), keys: SmallVec::new(), path: None, edits: 0 }
    }

    pub(super) fn finish(self) -> Effects {
        self.effects
    }

    /// Returns a number that has changed if, and only if, an entry has come or gone meanwhile.
    pub(super) fn edits(&self) -> u64 {
        self.edits
    }

    fn add(&mut self, entry: impl FnOnce(&Context) -> EntryHash) {
        if let Some(digest) = &mut self.digest {
            digest.add(entry(self.context));
        }
        self.edits += 1;
    }

    fn subtract(&mut self, entry: impl FnOnce(&Context) -> EntryHash) {
        if let Some(digest) = self.digest.as_mut().filter(|_| !is_planted(Bug::DigestForgetsRemoval)) {
            digest.subtract(entry(self.context));
        }
        self.edits += 1;
    }

    pub(super) fn enter(&mut self, key: &Key) {
        self.keys.push(key.clone());
        self.path = None;
    }

    pub(super) fn leave(&mut self) {
        self.keys.pop();
        self.path = None;
    }

    fn changed(&mut self, what: Changed) {
        let path = self.path.get_or_insert_with(|| Path::from(&self.keys[..])).clone();
        self.effects.changes.0.push(Change { path, what });
    }

    pub(super) fn presence(&mut self, at: PathHash, before: &[LocalDot], after: &[LocalDot]) {
        self.dots(at, || PRESENCE, before, after);
        match (before.is_empty(), after.is_empty()) {
            (true, false) => self.changed(Changed::Created),
            (false, true) => self.changed(Changed::Cleared),
            _ => {}
        }
    }

    pub(super) fn element(&mut self, at: PathHash, element: &Value, before: &[LocalDot], after: &[LocalDot]) {
        self.dots(at, || value_payload(element.borrowed(), 0), before, after);
        match (before.is_empty(), after.is_empty()) {
            (true, false) => self.changed(Changed::Inserted(element.clone())),
            (false, true) if !is_planted(Bug::UnreportedRemoval) => self.changed(Changed::Removed(element.clone())),
            _ => {}
        }
    }

    fn dots(&mut self, at: PathHash, payload: impl FnOnce() -> u64, before: &[LocalDot], after: &[LocalDot]) {
        let payload = if self.digest.is_some() { payload() } else { 0 };
        for dot in before {
            self.subtract(|context| at.entry(context.dot(*dot), payload));
        }
        for dot in after {
            self.add(|context| at.entry(context.dot(*dot), payload));
        }
    }

    /// Notes one value of a register before and after.
    pub(super) fn value(&mut self, at: PathHash, before: Option<&RegisterEntry>, after: Option<&RegisterEntry>) {
        if let Some(before) = before {
            self.subtract(|context| register_hash(context, at, before));
        }
        if let Some(after) = after {
            self.add(|context| register_hash(context, at, after));
            self.effects.latest = self.effects.latest.max(after.stamp);
        }
    }

    /// Notes what a register holds after values were lost or gained.
    pub(super) fn register(&mut self, after: &RegisterNode) {
        self.changed(Changed::Register {
            value: after.winner(self.context).map(|winner| winner.value.clone()),
            values: after.entries.len(),
        });
    }

    /// Notes one replica's entry of a counter before and after.
    pub(super) fn counter_entry(&mut self, at: PathHash, before: Option<&CounterEntry>, after: Option<&CounterEntry>) {
        if let Some(before) = before {
            self.subtract(|context| counter_hash(context, at, before));
        }
        if let Some(after) = after {
            self.add(|context| counter_hash(context, at, after));
            if !after.is_live() && Some(after.dot.replica()) == self.own {
                self.effects.own_resets.insert(Path::from(&self.keys[..]));
            }
        }
    }

    /// Notes what a counter showed before a change of its entries.
    pub(super) fn counter(&mut self, shown: Option<i128>, after: &CounterNode) {
        let shows = after.visible_value();
        if shows != shown {
            self.changed(Changed::Counter(shows));
        }
    }
}

fn register_hash(context: &Context, at: PathHash, entry: &RegisterEntry) -> EntryHash {
    at.entry(context.dot(entry.dot), value_payload(entry.value.borrowed(), entry.stamp.as_u64()))
}

fn counter_hash(context: &Context, at: PathHash, entry: &CounterEntry) -> EntryHash {
    at.entry(context.dot(entry.dot), counter_payload(entry.total, entry.base, entry.base_total))
}
