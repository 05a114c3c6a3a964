//! Observed-remove set: a concurrent insert and remove of one element keeps it (add wins).
//!
//! An element here but not there: new, or removed there? If the other version covers its dot,
//! they had it and removed it; otherwise they have not seen it yet. No tombstones: what has been
//! removed costs nothing.
//!
//! And a delta that removes, how does it stay small and still remove the right thing? It names the
//! dots it supersedes, so it takes away what its author saw and nothing that came after.
//!
//! Source: Bieniusa et al., "An optimized conflict-free replicated set" (2012); differs in: every
//! mutation spends a dot, removals too, so equal versions mean equal sets, and deltas include removals.
//!
//! Deliberately absent: order among elements, and a way to apply deltas out of order.

mod serialised;

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::hash::Hash;
use std::{fmt, mem};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{DeltaError, WriteError, admit, few, next};
use crate::context::{Context, LocalDot, TooManyReplicas};
use crate::dots::Dots;
use crate::elements::{Elements, Sides};
use crate::id::{Dot, ReplicaId};
use crate::version::VersionVector;

/// A set in which a concurrent insert beats a remove. Cloning is O(1).
///
/// Serialises as its version and its elements in ascending order. Up to
/// [`REPLICAS_MAX`](crate::limits::REPLICAS_MAX) replicas may write to it.
///
/// ```
/// use crdt_core::{OrSet, ReplicaId};
///
/// let (a, b) = (ReplicaId::from_u128(1), ReplicaId::from_u128(2));
/// let mut left = OrSet::new();
/// let mut right = OrSet::new();
/// right.apply(&left.insert(a, "milk")?)?;
/// let removed = right.remove(b, "milk")?.expect("it is there");
/// let again = left.insert(a, "milk")?;
/// left.apply(&removed)?;
/// right.apply(&again)?;
/// assert!(left.contains("milk") && right.contains("milk"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct OrSet<E> {
    context: Context,
    /// Their dots are covered by `context`.
    elements: Elements<E>,
}

/// What one mutation of an [`OrSet`] changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serialised::DeltaParts<E>")]
#[must_use = "other copies learn of the change only by its delta"]
pub struct OrSetDelta<E> {
    dot: Dot,
    /// Nearly always one.
    changes: SmallVec<[Change<E>; 1]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Change<E> {
    element: E,
    added: bool,
    /// Ascending; nearly always one at most.
    #[serde(deserialize_with = "few::few")]
    superseded: SmallVec<[Dot; 1]>,
}

impl<E> OrSet<E> {
    /// Returns an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self { context: Context::default(), elements: Elements::new() }
    }

    /// Returns the number of elements. O(1).
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Tells whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Yields the elements, in an order that differs from process to process.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.elements.keys()
    }

    /// Returns which transactions have been applied. O(replicas).
    #[must_use]
    pub fn version(&self) -> VersionVector {
        self.context.version()
    }
}

impl<E: Clone + Eq + Hash> OrSet<E> {
    /// Tells whether the element is in the set. O(1).
    #[must_use]
    pub fn contains<Q: Eq + Hash + ?Sized>(&self, element: &Q) -> bool
    where
        E: Borrow<Q>,
    {
        self.elements.get(element).is_some()
    }

    /// Inserts an element as `replica`. If it is there already, it is inserted anew, so that a
    /// concurrent remove of what was there does not take it away. O(1).
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed.
    pub fn insert(&mut self, replica: ReplicaId, element: E) -> Result<OrSetDelta<E>, WriteError> {
        let (dot, local) = self.spend(replica)?;
        let change = self.put(element, local);
        Ok(OrSetDelta { dot, changes: SmallVec::from_buf([change]) })
    }

    /// Removes an element as `replica`; `None` if it is not there. O(1).
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed.
    pub fn remove<Q>(&mut self, replica: ReplicaId, element: &Q) -> Result<Option<OrSetDelta<E>>, WriteError>
    where
        E: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if !self.contains(element) {
            return Ok(None);
        }
        let (dot, _) = self.spend(replica)?;
        let removed = self.elements.remove(element);
        let change = |(element, dots): (E, Dots)| Change { element, added: false, superseded: self.named(&dots) };
        Ok(Some(OrSetDelta { dot, changes: removed.map(change).into_iter().collect() }))
    }

    /// Takes in a delta; tells whether it was new. O(entries of the delta).
    ///
    /// # Errors
    /// [`DeltaError::Gap`] if it builds on a delta that is missing; nothing has changed.
    pub fn apply(&mut self, delta: &OrSetDelta<E>) -> Result<bool, DeltaError> {
        let superseded = delta.changes.iter().flat_map(|change| &change.superseded);
        let Some(added) = admit(&mut self.context, delta.dot, superseded.copied())? else { return Ok(false) };
        let Self { context, elements } = self;
        for change in &delta.changes {
            // By their full names: those of the delta need no numbers then.
            let stays = |dot: &LocalDot| change.superseded.binary_search(&context.dot(*dot)).is_err();
            let change_dots = |dots: &[LocalDot]| {
                let kept = dots.iter().copied().filter(stays);
                kept.chain(change.added.then_some(added)).collect()
            };
            elements.update(&change.element, change_dots, |_, _| {});
        }
        context.raise(added.replica(), added.counter());
        Ok(true)
    }

    /// Takes in another copy. O(elements of both) less what the two share since one was cloned
    /// from the other.
    ///
    /// # Errors
    /// [`TooManyReplicas`] if more replicas than the limit have written to the two; no element has changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), TooManyReplicas> {
        let sides = Sides::new(&mut self.context, &other.context)?;
        self.elements.merge(&other.elements, &sides, |_, _, _| {});
        sides.adopt(&mut self.context);
        Ok(())
    }

    /// Puts an element with one fresh dot and tells what that changed.
    fn put(&mut self, element: E, dot: LocalDot) -> Change<E> {
        let before = self.elements.insert(element.clone(), dot);
        Change { element, added: true, superseded: before.map(|dots| self.named(&dots)).unwrap_or_default() }
    }

    /// Takes the replica's next dot and covers it.
    fn spend(&mut self, replica: ReplicaId) -> Result<(Dot, LocalDot), WriteError> {
        let (dot, local) = next(&mut self.context, replica)?;
        self.context.raise(local.replica(), local.counter());
        Ok((dot, local))
    }
}

impl<E: Clone + Ord + Hash> OrSet<E> {
    /// Inserts several elements as `replica`, in one transaction; `None` if there are none.
    /// O(elements × log elements).
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed.
    pub fn extend(
        &mut self,
        replica: ReplicaId,
        elements: impl IntoIterator<Item = E>,
    ) -> Result<Option<OrSetDelta<E>>, WriteError> {
        let elements: BTreeSet<E> = elements.into_iter().collect();
        if elements.is_empty() {
            return Ok(None);
        }
        let (dot, local) = self.spend(replica)?;
        let changes = elements.into_iter().map(|element| self.put(element, local)).collect();
        Ok(Some(OrSetDelta { dot, changes }))
    }

    /// Removes all elements that are here, as `replica`, in one transaction; `None` if there are
    /// none. O(elements × log elements).
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed.
    pub fn clear(&mut self, replica: ReplicaId) -> Result<Option<OrSetDelta<E>>, WriteError> {
        if self.is_empty() {
            return Ok(None);
        }
        let (dot, _) = self.spend(replica)?;
        let removed = mem::take(&mut self.elements);
        let changes = self.sorted(&removed).into_iter();
        let changes =
            changes.map(|(element, superseded)| Change { element: element.clone(), added: false, superseded });
        Ok(Some(OrSetDelta { dot, changes: changes.collect() }))
    }
}

impl<E> OrSet<E> {
    /// Returns the full names of dots, ascending.
    fn named(&self, dots: &[LocalDot]) -> SmallVec<[Dot; 1]> {
        let mut named: SmallVec<[Dot; 1]> = dots.iter().map(|dot| self.context.dot(*dot)).collect();
        named.sort_unstable();
        named
    }
}

impl<E: Ord + Hash> OrSet<E> {
    /// Returns elements with the full names of their dots, both ascending.
    fn sorted<'a>(&self, elements: &'a Elements<E>) -> Vec<(&'a E, SmallVec<[Dot; 1]>)> {
        let mut sorted: Vec<_> = elements.iter().map(|(element, dots)| (element, self.named(dots))).collect();
        sorted.sort_unstable_by(|a, b| a.0.cmp(b.0));
        sorted
    }
}

impl<E> OrSetDelta<E> {
    /// Returns the name of the transaction.
    #[must_use]
    pub fn dot(&self) -> Dot {
        self.dot
    }
}

impl<E> Default for OrSet<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// Same version, same elements, same dots; how replicas are numbered inside does not matter.
impl<E: Clone + Eq + Hash> PartialEq for OrSet<E> {
    fn eq(&self, other: &Self) -> bool {
        let has_same = |element, dots: &[LocalDot]| {
            other.elements.get(element).is_some_and(|theirs| self.named(dots) == other.named(theirs))
        };
        self.len() == other.len()
            && self.version() == other.version()
            && self.elements.iter().all(|(element, dots)| has_same(element, dots))
    }
}

impl<E: Clone + Eq + Hash> Eq for OrSet<E> {}

impl<E: fmt::Debug + Eq + Hash> fmt::Debug for OrSet<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elements: Vec<_> = self.elements.iter().map(|(element, dots)| (element, self.named(dots))).collect();
        f.debug_struct("OrSet").field("version", &self.version()).field("elements", &elements).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplicaId = ReplicaId::from_u128(1);
    const B: ReplicaId = ReplicaId::from_u128(2);
    const C: ReplicaId = ReplicaId::from_u128(3);

    /// Returns what is in the set, and panics on a `LocalDot` that is not covered.
    fn elements(set: &OrSet<u8>) -> Vec<u8> {
        assert!(set.elements.iter().all(|(_, dots)| dots.iter().all(|dot| set.context.covers(*dot))));
        let mut elements: Vec<u8> = set.iter().copied().collect();
        elements.sort_unstable();
        elements
    }

    fn merged(mut mine: OrSet<u8>, theirs: &OrSet<u8>) -> OrSet<u8> {
        mine.merge(theirs).unwrap();
        mine
    }

    #[test]
    fn concurrent_insert_survives_remove() {
        let mut left = OrSet::new();
        let _ = left.insert(A, 1).unwrap();
        let mut right = left.clone();
        let _ = right.remove(B, &1).unwrap();
        let _ = left.insert(A, 1).unwrap();
        assert_eq!(elements(&merged(left.clone(), &right)), [1]);
        assert_eq!(merged(left.clone(), &right), merged(right, &left));
    }

    #[test]
    fn an_insert_that_the_remover_saw_goes() {
        let mut left = OrSet::new();
        let insert = left.insert(A, 1).unwrap();
        let mut right = OrSet::new();
        assert_eq!(right.apply(&insert), Ok(true));
        let remove = right.remove(B, &1).unwrap().unwrap();
        assert_eq!(left.apply(&remove), Ok(true));
        assert!(left.is_empty());
        assert_eq!(left, right);
    }

    #[test]
    fn removed_on_both_sides_in_turn_stays_absent_in_every_order() {
        let mut left = OrSet::new();
        let _ = left.insert(A, 1).unwrap();
        let mut right = left.clone();
        let _ = right.insert(B, 1).unwrap();
        let third = merged(left.clone(), &right);
        let _ = left.remove(A, &1).unwrap();
        let left = merged(left, &right);
        let mut right = merged(right, &left);
        let _ = right.remove(B, &1).unwrap();
        for all in [merged(merged(third.clone(), &left), &right), merged(merged(third, &right), &left)] {
            assert!(all.is_empty());
        }
    }

    #[test]
    fn a_stale_copy_brings_nothing_back() {
        let mut set = OrSet::new();
        let _ = set.extend(A, 0..200).unwrap();
        let stale = set.clone();
        let _ = set.clear(A).unwrap();
        let _ = set.insert(A, 7).unwrap();
        assert_eq!(elements(&merged(set.clone(), &stale)), [7]);
        assert_eq!(elements(&merged(stale, &set)), [7]);
    }

    #[test]
    fn a_removal_alone_advances_the_version() {
        let mut set = OrSet::new();
        let _ = set.insert(A, 1).unwrap();
        let before = set.version();
        let _ = set.remove(A, &1).unwrap();
        assert_eq!(set.version().counter(A), before.counter(A) + 1);
        assert_eq!(set.remove(A, &1), Ok(None));
        assert_eq!(set.version().counter(A), 2);
    }

    #[test]
    fn deltas_out_of_order_are_refused_and_change_nothing() {
        let mut author = OrSet::new();
        let first = author.insert(A, 1).unwrap();
        let second = author.insert(A, 2).unwrap();
        let mut other = OrSet::new();
        assert_eq!(other.apply(&second), Err(DeltaError::Gap { missing: Dot::new(A, 1) }));
        assert_eq!(other, OrSet::new());
        assert_eq!((other.apply(&first), other.apply(&second)), (Ok(true), Ok(true)));
        assert_eq!(other.apply(&second), Ok(false));
        assert_eq!(other, author);
    }

    #[test]
    fn a_remove_is_refused_while_the_insert_it_saw_is_missing() {
        let mut left = OrSet::new();
        let _ = left.insert(A, 1).unwrap();
        let mut right = left.clone();
        let remove = right.remove(B, &1).unwrap().unwrap();
        let mut third = OrSet::new();
        assert_eq!(third.apply(&remove), Err(DeltaError::Gap { missing: Dot::new(A, 1) }));
        assert_eq!(third, OrSet::new());
    }

    #[test]
    fn replicas_met_in_different_order_make_equal_sets_with_equal_bytes() {
        let writers = |order: [ReplicaId; 3]| {
            let mut set = OrSet::new();
            for replica in order {
                let mut alone = OrSet::new();
                let _ = alone.extend(replica, [1, 2]).unwrap();
                set.merge(&alone).unwrap();
            }
            set
        };
        let (left, right) = (writers([A, B, C]), writers([C, A, B]));
        assert_eq!(left, right);
        assert_eq!(serde_json::to_string(&left).unwrap(), serde_json::to_string(&right).unwrap());
        assert_ne!(left, OrSet::new());
    }
}
