//! Plays scripts on real documents and on the model in lockstep.
//!
//! A replica here is a document, its log, and the set of events that it must contain by now.
//! Everything travels as bytes. After each step the version of whoever was touched must be that of
//! its event set; [`Network::check`] compares the whole content.

use std::num::NonZeroU64;
use std::sync::Arc;

use crdt_core::{ABSORB_MS_MAX, Delta, DeltaLog, Document, Dot, EditError, ReplicaId, Snapshot, Stamp, Transaction};

use crate::choices::Choices;
use crate::model::{EventSet, Model};
use crate::op::{Edit, Op};
use crate::same::{assert_same, assert_unchanged, through_bytes};
use crate::script::{Script, Step, WALL_MS};
use crate::shadow::Shadow;
use crate::view::View;

/// Makes the id of the n-th replica; 1, 2 and 3 read best.
#[must_use]
pub const fn replica(number: u128) -> ReplicaId {
    ReplicaId::from_u128(number)
}

/// One replica under test.
#[derive(Debug)]
pub struct Peer {
    /// The real thing.
    pub document: Document,
    /// What it can send on.
    pub log: DeltaLog,
    /// What it must contain.
    pub seen: EventSet,
    /// What it has reported.
    pub shadow: Shadow,
}

/// A few replicas and the model of them all.
#[derive(Debug)]
pub struct Network {
    /// The truth.
    pub model: Model,
    /// The replicas, whose ids are 1, 2, …
    pub peers: Vec<Peer>,
    /// The delta of each event, by the event's number.
    pub deltas: Vec<Arc<Delta>>,
}

impl Network {
    /// Starts replicas with empty documents.
    #[must_use]
    pub fn new(replicas: usize) -> Self {
        let peer = |number| Peer {
            document: Document::new(replica(number as u128)),
            log: DeltaLog::default(),
            seen: EventSet::default(),
            shadow: Shadow::default(),
        };
        Self { model: Model::default(), peers: (1..=replicas).map(peer).collect(), deltas: Vec::new() }
    }

    /// Plays a whole script.
    ///
    /// # Panics
    /// If a document does what the model says it must not.
    #[must_use]
    pub fn play(script: &Script) -> Self {
        let mut network = Self::new(script.replicas);
        for step in &script.steps {
            network.step(step);
        }
        network
    }

    /// Plays one step; returns the replica that it touched.
    pub fn step(&mut self, step: &Step) -> usize {
        let count = self.peers.len();
        let touched = match step {
            Step::Write { replica, wall_ms, ops } => {
                self.write(replica % count, *wall_ms, ops);
                replica
            }
            Step::Rollback { replica, ops } => {
                self.roll_back(replica % count, ops);
                replica
            }
            Step::Deliver { from, to, count: deltas } => {
                self.deliver(from % count, to % count, *deltas);
                to
            }
            Step::Coalesced { from, to, back, count: deltas } => {
                self.deliver_coalesced(from % count, to % count, *back, *deltas);
                to
            }
            Step::Duplicate { from, to, at } => {
                self.duplicate(from % count, to % count, *at);
                to
            }
            Step::Merge { from, to } => {
                self.merge(from % count, to % count);
                to
            }
            Step::Restart { replica } => {
                self.restart(replica % count);
                replica
            }
        } % count;
        assert_eq!(self.peers[touched].document.version(), self.model.version(self.peers[touched].seen));
        touched
    }

    /// Compares the content of one replica with the model.
    ///
    /// # Panics
    /// If they differ.
    pub fn check(&self, peer: usize) {
        let expected = self.model.view(self.peers[peer].seen);
        let peer = &self.peers[peer];
        assert_eq!(View::of(peer.document.root()), expected, "content of {:?}", peer.document.replica());
        assert_eq!(peer.shadow, Shadow::of(&expected), "reports of {:?}", peer.document.replica());
    }

    /// Delivers every delta to everyone until nobody lacks any, then compares all with all.
    ///
    /// # Panics
    /// If replicas that have seen the same events differ.
    pub fn settle(&mut self) {
        let count = self.peers.len();
        for _ in 0..2 {
            for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
                self.deliver(from, to, usize::MAX);
            }
        }
        for peer in &self.peers {
            assert_eq!(peer.seen, self.model.all());
            assert_same(&peer.document, &self.peers[0].document);
        }
    }

    /// Returns the snapshot of one replica, after a journey through bytes.
    #[must_use]
    pub fn snapshot(&self, peer: usize) -> Snapshot {
        through_bytes(&self.peers[peer].document.snapshot())
    }

    /// Lists all events in an order that causality allows, as chosen.
    #[must_use]
    pub fn causal_order(&self, choices: &mut Choices) -> Vec<usize> {
        let mut order = Vec::new();
        let mut done = EventSet::default();
        while order.len() < self.deltas.len() {
            let ready: Vec<usize> = (0..self.deltas.len())
                .filter(|event| !done.contains(*event) && done.includes(self.model.events[*event].past))
                .collect();
            let next = ready[choices.below(ready.len())];
            order.push(next);
            done = done.with(next);
        }
        order
    }

    fn write(&mut self, at: usize, wall_ms: u64, ops: &[Op]) {
        let peer = &mut self.peers[at];
        let event = self.model.begin(peer.document.version().next(peer.document.replica()), peer.seen);
        let mut transaction = peer.document.transact(wall_ms);
        // As if a process had started, now and then.
        if let Some(salt) = NonZeroU64::new(event as u64).filter(|_| event.is_multiple_of(3)) {
            transaction = transaction.salted(salt);
        }
        let outcome = play_all(&mut transaction, &mut self.model, event, ops);
        let committed = if outcome.is_ok() { transaction.commit() } else { None };
        let Some(committed) = committed else {
            assert!(outcome.is_err() || !self.model.changes_anything(event), "a change was not committed");
            self.model.abandon();
            return;
        };
        assert!(committed.delta.len() == 1);
        let delta = Arc::new(committed.delta);
        peer.log.push(Arc::clone(&delta)).expect("a commit continues the log");
        peer.seen = peer.seen.with(event);
        peer.shadow.follow(&committed.changes);
        self.deltas.push(delta);
        self.note_stamps(at, event, wall_ms);
    }

    /// Reads the stamps of an event's register writes off the document that made it.
    fn note_stamps(&mut self, at: usize, event: usize, wall_ms: u64) {
        let peer = &self.peers[at];
        let view = View::of(peer.document.root());
        let dot = self.model.events[event].dot;
        let floor = Stamp::from_wall_ms(wall_ms);
        let horizon = Stamp::from_wall_ms(wall_ms.saturating_add(ABSORB_MS_MAX));
        for (op, entry) in self.model.register_writes(event, peer.seen) {
            let (key, maps) = entry.path.split_last().expect("every entry stands at a key");
            let names: Vec<&str> = maps.iter().map(|key| &*key.name).collect();
            let values = view.at(&names).and_then(|map| map.registers.get(&*key.name));
            let written = values.into_iter().flatten().find(|written| written.dot == dot);
            let stamp = written.expect("a register holds what was just written").stamp;
            assert!(stamp >= floor, "a stamp is not below wall time");
            assert!(view.written().all(|other| other.dot == dot || other.stamp < stamp || other.stamp > horizon));
            self.model.events[event].stamps[op] = Some(stamp);
        }
    }

    fn roll_back(&mut self, at: usize, ops: &[Op]) {
        let peer = &mut self.peers[at];
        let before = peer.document.snapshot();
        let mut transaction = peer.document.transact(WALL_MS);
        for op in ops {
            let _ = op.play(&mut transaction.root());
        }
        drop(transaction);
        assert_unchanged(&peer.document, &before);
    }

    fn deliver(&mut self, from: usize, to: usize, count: usize) {
        let Some(lacking) = self.lacking(from, to) else {
            return self.merge(from, to);
        };
        for (_, delta) in lacking.into_iter().take(count) {
            self.apply(to, &delta);
        }
    }

    fn deliver_coalesced(&mut self, from: usize, to: usize, back: usize, count: usize) {
        let Some(lacking) = self.lacking(from, to) else {
            return self.merge(from, to);
        };
        let log = &self.peers[from].log;
        let Some(first) = lacking.first().map(|(position, _)| *position) else {
            return;
        };
        let start = log.start().max(first.saturating_sub(back as u64));
        let end = log.end().min(start + (back + count) as u64);
        let merged = coalesce_all((start..end).filter_map(|position| log.at(position)));
        for delta in merged {
            self.apply(to, &delta);
        }
    }

    /// What `to` lacks of the log of `from`; none if only a snapshot can help.
    fn lacking(&self, from: usize, to: usize) -> Option<Vec<(u64, Arc<Delta>)>> {
        let version = self.peers[to].document.version();
        let log = &self.peers[from].log;
        let lacking = log.since(&version).ok();
        assert_eq!(lacking.is_some(), log.serves(&version));
        lacking.map(|deltas| deltas.map(|(position, delta)| (position, Arc::clone(delta))).collect())
    }

    fn apply(&mut self, to: usize, delta: &Delta) {
        let delta = Delta::decode(&delta.to_bytes()).expect("an encoded delta can be decoded");
        let peer = &mut self.peers[to];
        let known = delta.is_covered_by(&peer.document.version());
        let before = known.then(|| peer.document.snapshot());
        let changes = peer.document.apply(&delta).expect("a delta in causal order applies");
        if let Some(before) = before {
            assert!(changes.is_empty());
            assert_unchanged(&peer.document, &before);
            return;
        }
        peer.shadow.follow(&changes);
        for range in delta.ranges() {
            for counter in range.after + 1..=range.through {
                let dot = Dot::new(range.replica, counter);
                let event = self.model.event(dot).expect("a delta names only dots that were spent");
                peer.seen = peer.seen.with(event);
            }
        }
        peer.log.push(Arc::new(delta)).expect("a delta just applied continues the log");
        assert_eq!(*peer.log.version(), peer.document.version());
    }

    fn duplicate(&mut self, from: usize, to: usize, at: usize) {
        let log = &self.peers[from].log;
        let position = log.start() + at as u64 % (log.end() - log.start()).max(1);
        let version = self.peers[to].document.version();
        let known = log.at(position).filter(|delta| delta.is_covered_by(&version)).cloned();
        if let Some(delta) = known {
            self.apply(to, &delta);
        }
    }

    fn merge(&mut self, from: usize, to: usize) {
        let snapshot = self.snapshot(from);
        let seen = self.peers[from].seen;
        let peer = &mut self.peers[to];
        let changes = peer.document.merge(&snapshot).expect("an honest snapshot merges");
        peer.shadow.follow(&changes);
        peer.log.rebase(&snapshot.version());
        peer.seen = peer.seen.union(seen);
    }

    fn restart(&mut self, at: usize) {
        let saved = self.snapshot(at);
        let peer = &mut self.peers[at];
        let restored = Document::from_snapshot(peer.document.replica(), saved);
        assert_same(&restored, &peer.document);
        peer.document = restored;
        peer.log = DeltaLog::new(peer.document.version());
    }
}

/// Plays edits on a transaction and on the model, and compares what removals report.
fn play_all(transaction: &mut Transaction<'_>, model: &mut Model, event: usize, ops: &[Op]) -> Result<(), EditError> {
    let state = model.events[event].past.with(event);
    for op in ops {
        let expected = match &op.edit {
            Edit::RemoveElement(_) | Edit::Remove(_) => op.clears().map(|scope| model.any_live(state, &scope)),
            _ => None,
        };
        let found = op.play(&mut transaction.root())?;
        assert_eq!(found, expected, "{op:?} reports whether there was something to remove");
        model.push(op.clone());
    }
    Ok(())
}

/// Merges runs of consecutive deltas as far as they go.
pub fn coalesce_all<'a>(deltas: impl Iterator<Item = &'a Arc<Delta>>) -> Vec<Delta> {
    let mut merged: Vec<Delta> = Vec::new();
    for delta in deltas {
        let continued = merged.last_mut().is_some_and(|last| last.coalesce(delta).is_ok());
        if !continued {
            merged.push(Delta::clone(delta));
        }
    }
    merged
}
