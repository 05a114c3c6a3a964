//! Observed-remove map: keys that lead to entries with dots, under one version. What plain maps have in common.
//!
//! A key here but not there: new, or removed there? Each entry beneath it tells by its dot, as the elements of an
//! [`OrSet`](super::OrSet) do. So a key is there as long as an entry is, and a removal takes out the entries that its
//! author has seen. What entries are, and how two sides of them merge, is up to the [`Cell`].
//!
//! Source: Almeida, Shoker, Baquero, "Delta state replicated data types" (2018), §7.3; differs in: one closed kind of
//! cell a map instead of maps in maps, which are documents; every transaction spends a dot, removals too.

mod serialised;

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;

use serde::Serialize;
use smallvec::SmallVec;

use super::{DeltaError, WriteError, admit, next};
use crate::context::{Context, LocalDot, TooManyReplicas};
use crate::elements::Sides;
use crate::id::{Dot, ReplicaId};
use crate::table::{Fuse, Outcome, Table};
use crate::version::VersionVector;

/// What a key leads to: entries with dots.
///
/// Laws: merging is that of a state-based CRDT under the two versions, and gives what the transactions of both sides
/// give when they are applied in causal order.
pub(super) trait Cell: Clone + Default {
    /// What one write leaves.
    type Entry;
    /// What one transaction does to it.
    type Change: Change;
    /// An entry with the full name of its dot, as it is serialised.
    type Named;

    /// Tells at a glance that a merge changes nothing, so that a shared cell need not be copied to find out.
    fn stays(&self, theirs: Option<&Self>, sides: &Sides) -> bool;

    /// Tells whether there is no entry left, not even one that only its owner can take out.
    fn is_vacant(&self) -> bool;

    /// Tells whether readers see it.
    fn is_visible(&self) -> bool;

    /// Makes the change of the transaction `dot`. `changed` sees entries before and after.
    fn apply(
        &mut self,
        change: &Self::Change,
        dot: LocalDot,
        context: &Context,
        changed: impl FnMut(Option<&Self::Entry>, Option<&Self::Entry>),
    );

    /// Takes in the other side. `changed` sees entries before and after.
    fn merge(&mut self, theirs: &Self, sides: &Sides, changed: impl FnMut(Option<&Self::Entry>, Option<&Self::Entry>));

    /// Returns the entries by their full names, ascending by dot.
    fn named(&self, context: &Context) -> SmallVec<[Self::Named; 1]>;

    /// Returns the dot of an entry.
    fn dot(entry: &Self::Named) -> Dot;

    /// Makes the cell of entries whose dots, given beside them, ascend by their full names; `None` if no replica comes to
    /// have such a cell.
    fn read(entries: impl ExactSizeIterator<Item = (LocalDot, Self::Named)>) -> Option<Self>;
}

/// What one transaction does to one cell.
pub(super) trait Change {
    /// Yields the dots that it supersedes.
    fn superseded(&self) -> impl Iterator<Item = Dot>;

    /// Tells whether an honest replica could have made it in the transaction `dot`.
    fn is_valid(&self, dot: Dot) -> bool;
}

/// A map of cells. Cloning is O(1).
#[derive(Clone)]
pub(super) struct OrMap<K, C> {
    context: Context,
    /// None vacant; their dots are covered by `context`.
    cells: Table<K, C>,
    /// How many cells are visible.
    len: usize,
}

/// What one transaction changed: its name, and the changes by key, which ascend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Delta<K, D> {
    pub(super) dot: Dot,
    /// Nearly always one.
    pub(super) changes: SmallVec<[(K, D); 1]>,
}

impl<K, C> OrMap<K, C> {
    pub(super) fn new() -> Self {
        Self { context: Context::default(), cells: Table::new(), len: 0 }
    }

    /// Returns the number of visible cells. O(1).
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns which transactions have been applied. O(replicas).
    pub(super) fn version(&self) -> VersionVector {
        self.context.version()
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Yields all keys and cells, those that are not visible too.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &C)> {
        self.cells.iter()
    }

    /// Returns the name of the replica's next transaction, in full and here. [`raise`](Self::raise) spends it.
    pub(super) fn next(&mut self, replica: ReplicaId) -> Result<(Dot, LocalDot), WriteError> {
        next(&mut self.context, replica)
    }

    /// Covers a transaction.
    pub(super) fn raise(&mut self, dot: LocalDot) {
        self.context.raise(dot.replica(), dot.counter());
    }
}

impl<K: Eq + Hash, C> OrMap<K, C> {
    /// Returns the key as it is stored, and its cell. O(1).
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<(&K, &C)>
    where
        K: Borrow<Q>,
    {
        self.cells.get_key_value(key)
    }

    /// Tells whether two maps have the same version and the same keys, and their cells are the same; how replicas are
    /// numbered inside does not matter.
    pub(super) fn is_same(&self, other: &Self, is_same: impl Fn((&C, &Context), (&C, &Context)) -> bool) -> bool {
        let has_same = |key, cell| {
            other.get(key).is_some_and(|(_, theirs)| is_same((cell, &self.context), (theirs, &other.context)))
        };
        self.cells.len() == other.cells.len()
            && self.version() == other.version()
            && self.cells.iter().all(|(key, cell)| has_same(key, cell))
    }
}

impl<K: Clone + Eq + Hash, C: Cell> OrMap<K, C> {
    /// Changes one cell: it comes with its first entry and goes with its last. O(1), with one search unless it goes.
    pub(super) fn edit<R>(&mut self, key: &K, change: impl FnOnce(&mut C, &Context) -> R) -> R {
        let cell = self.cells.get_or_insert_with(key, C::default);
        let was_visible = cell.is_visible();
        let result = change(cell, &self.context);
        let (is_visible, is_vacant) = (cell.is_visible(), cell.is_vacant());
        self.len = self.len + usize::from(is_visible) - usize::from(was_visible);
        if is_vacant {
            self.cells.remove(key);
        }
        result
    }

    /// Takes in a delta; tells whether it was new. `changed` sees entries before and after. O(entries of the delta).
    pub(super) fn apply(
        &mut self,
        delta: &Delta<K, C::Change>,
        mut changed: impl FnMut(&K, Option<&C::Entry>, Option<&C::Entry>),
    ) -> Result<bool, DeltaError> {
        let superseded = delta.changes.iter().flat_map(|(_, change)| change.superseded());
        let Some(dot) = admit(&mut self.context, delta.dot, superseded)? else { return Ok(false) };
        for (key, change) in &delta.changes {
            self.edit(key, |cell, context| {
                cell.apply(change, dot, context, |before, after| changed(key, before, after));
            });
        }
        self.raise(dot);
        Ok(true)
    }

    /// Takes in another copy. `changed` sees entries before and after. O(keys of both) less what the two share since
    /// one was cloned from the other.
    pub(super) fn merge(
        &mut self,
        other: &Self,
        changed: impl FnMut(&K, Option<&C::Entry>, Option<&C::Entry>),
    ) -> Result<(), TooManyReplicas> {
        let sides = Sides::new(&mut self.context, &other.context)?;
        let mut join = Join { sides: &sides, changed, came: 0, went: 0 };
        self.cells.merge(&other.cells, &mut join);
        self.len = self.len + join.came - join.went;
        sides.adopt(&mut self.context);
        Ok(())
    }
}

/// The merge of two maps, cell by cell.
struct Join<'a, F> {
    sides: &'a Sides,
    changed: F,
    /// How many cells have become visible.
    came: usize,
    /// How many cells are not visible any more.
    went: usize,
}

impl<F> Join<'_, F> {
    /// Merges two cells; tells whether that changed mine.
    fn cell<K, C: Cell>(&mut self, key: &K, mine: &mut C, theirs: &C) -> bool
    where
        F: FnMut(&K, Option<&C::Entry>, Option<&C::Entry>),
    {
        let was_visible = mine.is_visible();
        let mut is_changed = false;
        mine.merge(theirs, self.sides, |before, after| {
            is_changed = true;
            (self.changed)(key, before, after);
        });
        match (was_visible, mine.is_visible()) {
            (false, true) => self.came += 1,
            (true, false) => self.went += 1,
            _ => {}
        }
        is_changed
    }
}

impl<K, C: Cell, F: FnMut(&K, Option<&C::Entry>, Option<&C::Entry>)> Fuse<K, C> for Join<'_, F> {
    fn mine(&mut self, key: &K, mine: &C, theirs: Option<&C>) -> Outcome<C> {
        if mine.stays(theirs, self.sides) {
            return Outcome::Keep;
        }
        let mut cell = mine.clone();
        let is_changed = match theirs {
            Some(theirs) => self.cell(key, &mut cell, theirs),
            None => self.cell(key, &mut cell, &C::default()),
        };
        match (is_changed, cell.is_vacant()) {
            (false, _) => Outcome::Keep,
            (true, true) => Outcome::Drop,
            (true, false) => Outcome::Put(cell),
        }
    }

    fn mine_in_place(&mut self, key: &K, mine: &mut C, theirs: Option<&C>) -> bool {
        match theirs {
            Some(theirs) => self.cell(key, mine, theirs),
            None => self.cell(key, mine, &C::default()),
        };
        !mine.is_vacant()
    }

    fn theirs(&mut self, key: &K, theirs: &C) -> Option<C> {
        let mut cell = C::default();
        self.cell(key, &mut cell, theirs);
        (!cell.is_vacant()).then_some(cell)
    }
}

impl<K, D> Delta<K, D> {
    /// Makes the delta of changes to different keys.
    pub(super) fn new(dot: Dot, mut changes: SmallVec<[(K, D); 1]>) -> Self
    where
        K: Ord,
    {
        changes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Self { dot, changes }
    }
}

impl<K: fmt::Debug, C: Cell> OrMap<K, C>
where
    C::Named: fmt::Debug,
{
    /// Writes the map for developers, under the name of its type.
    pub(super) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: Vec<_> = self.cells.iter().map(|(key, cell)| (key, cell.named(&self.context))).collect();
        f.debug_struct(name).field("version", &self.version()).field("entries", &entries).finish()
    }
}
