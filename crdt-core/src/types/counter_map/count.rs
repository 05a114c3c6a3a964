//! What one transaction does to one counter of a map, and the counter as a cell of the map.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::context::{Context, LocalDot};
use crate::elements::Sides;
use crate::id::Dot;
use crate::node::{CounterEntry, CounterNode, OwnWrite};
use crate::types::or_map::{Cell, Change};
use crate::types::{CountError, are_superseded, few};

/// What one transaction did to one counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::types) struct Count {
    /// What its author made of its own entry.
    own: Option<Own>,
    /// The totals of others that it took back, ascending by dot; nearly always none.
    #[serde(deserialize_with = "few::few")]
    resets: SmallVec<[Reset; 1]>,
}

/// What becomes of the author's own entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Own {
    /// It goes.
    Dropped,
    /// A new count begins with this.
    Began(i64),
    /// The count goes on, and its total is this.
    Continued(i64),
}

/// How far a replica's total is taken back: through its entry of this dot, where it stood at this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reset {
    dot: Dot,
    total: i64,
}

/// The total of one replica under one key, as it is serialised.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::types) struct Counted {
    dot: Dot,
    total: i64,
    base: u64,
    base_total: i64,
}

impl Count {
    /// Takes out the author's own entry, which counts nothing.
    pub(super) fn taken_out() -> Self {
        Self { own: Some(Own::Dropped), resets: SmallVec::new() }
    }

    /// Adds to a counter, as the author of the transaction `dot`.
    pub(super) fn add(
        counter: &mut CounterNode,
        dot: LocalDot,
        by: i64,
        changed: impl FnOnce(Option<&CounterEntry>, Option<&CounterEntry>),
    ) -> Result<Self, CountError> {
        let own = match counter.entry(dot.replica()).filter(|entry| entry.is_live()) {
            Some(entry) => Own::Continued(entry.total.checked_add(by).ok_or(CountError::TotalOverflow)?),
            None => Own::Began(by),
        };
        own.apply(counter, dot, changed);
        Ok(Self { own: Some(own), resets: SmallVec::new() })
    }

    /// Takes back what a counter shows, as the author of the transaction `dot`.
    pub(super) fn take_back(
        counter: &mut CounterNode,
        context: &Context,
        dot: LocalDot,
        mut changed: impl FnMut(Option<&CounterEntry>, Option<&CounterEntry>),
    ) -> Count {
        let own = counter.entry(dot.replica()).map(|_| Own::Dropped);
        if let Some(own) = own {
            own.apply(counter, dot, &mut changed);
        }
        let live: SmallVec<[CounterEntry; 4]> =
            counter.entries().iter().filter(|entry| entry.is_live()).copied().collect();
        let mut resets: SmallVec<[Reset; 1]> = SmallVec::new();
        for entry in live {
            let reset = Reset { dot: context.dot(entry.dot), total: entry.total };
            reset.apply(counter, entry.dot, &mut changed);
            resets.push(reset);
        }
        resets.sort_unstable_by_key(|reset| reset.dot);
        Self { own, resets }
    }
}

impl Own {
    /// Makes the change of the transaction `dot` to its author's entry.
    fn apply(
        self,
        counter: &mut CounterNode,
        dot: LocalDot,
        changed: impl FnOnce(Option<&CounterEntry>, Option<&CounterEntry>),
    ) {
        let write = match self {
            Self::Dropped => OwnWrite::Dropped,
            Self::Began(total) => OwnWrite::Total { total, since: Some(dot.counter() - 1) },
            Self::Continued(total) => OwnWrite::Total { total, since: None },
        };
        let before = counter.entry(dot.replica()).copied();
        let after = CounterEntry::written(before, dot, write);
        changed(before.as_ref(), after.as_ref());
        counter.put(dot.replica(), after);
    }
}

impl Reset {
    /// Takes back the total of one replica, through the entry of this dot.
    fn apply(
        &self,
        counter: &mut CounterNode,
        dot: LocalDot,
        changed: impl FnOnce(Option<&CounterEntry>, Option<&CounterEntry>),
    ) {
        // No entry: its owner has taken it out already, knowing of this or another reset.
        let Some(before) = counter.entry(dot.replica()).copied() else { return };
        let mut after = before;
        after.reset(dot.counter(), self.total);
        if after != before {
            changed(Some(&before), Some(&after));
            counter.put(dot.replica(), Some(after));
        }
    }
}

impl Cell for CounterNode {
    type Entry = CounterEntry;
    type Change = Count;
    type Named = Counted;

    fn stays(&self, theirs: Option<&Self>, sides: &Sides) -> bool {
        let theirs = theirs.map_or(&[][..], Self::entries);
        let is_same = |(mine, theirs): (&CounterEntry, &CounterEntry)| {
            *mine == CounterEntry { dot: sides.translated(theirs.dot), ..*theirs }
        };
        match (self.entries(), theirs) {
            (mine, []) => mine.iter().all(|entry| !sides.theirs_covers(entry.dot)),
            (mine, theirs) => mine.len() == theirs.len() && mine.iter().zip(theirs).all(is_same),
        }
    }

    fn is_vacant(&self) -> bool {
        self.entries().is_empty()
    }

    fn is_visible(&self) -> bool {
        CounterNode::is_visible(self)
    }

    fn apply(
        &mut self,
        count: &Count,
        dot: LocalDot,
        context: &Context,
        mut changed: impl FnMut(Option<&CounterEntry>, Option<&CounterEntry>),
    ) {
        if let Some(own) = count.own {
            own.apply(self, dot, &mut changed);
        }
        for reset in &count.resets {
            let dot = context.local(reset.dot).expect("what is superseded is covered: checked in admit");
            reset.apply(self, dot, &mut changed);
        }
    }

    fn merge(
        &mut self,
        theirs: &Self,
        sides: &Sides,
        changed: impl FnMut(Option<&CounterEntry>, Option<&CounterEntry>),
    ) {
        CounterNode::merge(self, theirs, sides, changed);
    }

    fn named(&self, context: &Context) -> SmallVec<[Counted; 1]> {
        let counted = |entry: &CounterEntry| {
            let CounterEntry { dot, total, base, base_total } = *entry;
            Counted { dot: context.dot(dot), total, base, base_total }
        };
        let mut named: SmallVec<[Counted; 1]> = self.entries().iter().map(counted).collect();
        named.sort_unstable_by_key(|counted| counted.dot);
        named
    }

    fn dot(entry: &Counted) -> Dot {
        entry.dot
    }

    fn read(entries: impl ExactSizeIterator<Item = (LocalDot, Counted)>) -> Option<Self> {
        let entry = |(dot, Counted { total, base, base_total, .. })| CounterEntry { dot, total, base, base_total };
        let mut entries: SmallVec<[CounterEntry; 1]> = entries.map(entry).collect();
        entries.sort_unstable_by_key(|entry| entry.dot);
        let one_each = entries.is_sorted_by(|a, b| a.dot.replica() < b.dot.replica());
        let in_range = entries.iter().all(|entry| entry.base <= entry.dot.counter());
        (one_each && in_range).then(|| Self::from_sorted(entries))
    }
}

impl Change for Count {
    fn superseded(&self) -> impl Iterator<Item = Dot> {
        self.resets.iter().map(|reset| reset.dot)
    }

    fn is_valid(&self, dot: Dot) -> bool {
        let dots: SmallVec<[Dot; 4]> = self.superseded().collect();
        are_superseded(&dots, dot) && dots.iter().all(|reset| reset.replica != dot.replica)
    }
}
