//! Counters within a transaction.

use super::{EditError, Scope};
use crate::delta::CounterDelta;
use crate::node::{CounterEntry, CounterNode, OwnWrite};

/// A counter that a transaction reads and edits.
#[derive(Debug)]
pub struct CounterMut<'t> {
    scope: Scope<'t>,
    seen: Option<&'t CounterNode>,
    delta: &'t mut CounterDelta,
}

impl<'t> CounterMut<'t> {
    pub(super) fn new(scope: Scope<'t>, seen: Option<&'t CounterNode>, delta: &'t mut CounterDelta) -> Self {
        Self { scope, seen, delta }
    }

    /// Returns the sum after the edits so far; 0 for a counter that does not exist.
    #[must_use]
    pub fn value(&self) -> i128 {
        Pending::new(&self.scope, self.seen, self.delta).value()
    }

    /// Adds to the counter, or takes away from it. Adding 0 makes it exist.
    ///
    /// # Errors
    /// [`EditError::CounterOverflow`] if this replica's own running total would leave the range of
    /// `i64`, and the errors of a bad place; nothing has changed.
    pub fn add(&mut self, by: i64) -> Result<(), EditError> {
        self.scope.check()?;
        let dot = self.scope.dot;
        let anew = OwnWrite::Total { total: by, since: Some(dot.counter - 1) };
        let write = match self.delta.writes.get(&dot.replica) {
            Some((_, OwnWrite::Total { total, since })) => OwnWrite::Total { total: sum(*total, by)?, since: *since },
            Some((_, OwnWrite::Dropped)) => anew,
            None => match own_entry(&self.scope, self.seen).filter(|entry| entry.is_live()) {
                Some(entry) => OwnWrite::Total { total: sum(entry.total, by)?, since: None },
                None => anew,
            },
        };
        self.delta.writes.insert(dot.replica, (dot.counter, write));
        Ok(())
    }

    /// Takes out every increment seen, of all replicas: the counter is gone until somebody counts
    /// again. Increments that others make at the same time stay.
    ///
    /// # Errors
    /// Those of a bad place; nothing has changed.
    pub fn reset(&mut self) -> Result<(), EditError> {
        self.scope.check()?;
        reset(&self.scope, self.seen, self.delta);
        Ok(())
    }
}

fn sum(total: i64, by: i64) -> Result<i64, EditError> {
    total.checked_add(by).ok_or(EditError::CounterOverflow)
}

fn own_entry<'t>(scope: &Scope<'t>, seen: Option<&'t CounterNode>) -> Option<&'t CounterEntry> {
    seen?.entry(scope.own?)
}

/// Takes out every increment that is visible: our own entry goes, those of others get a base.
pub(super) fn reset(scope: &Scope<'_>, seen: Option<&CounterNode>, delta: &mut CounterDelta) {
    delta.writes.remove(&scope.dot.replica);
    for entry in seen.into_iter().flat_map(|counter| counter.entries()) {
        let owner = scope.context.dot(entry.dot).replica;
        if owner == scope.dot.replica {
            delta.writes.insert(owner, (scope.dot.counter, OwnWrite::Dropped));
        } else if entry.is_live() {
            delta.resets.insert(owner, (entry.dot.counter(), entry.total));
        }
    }
}

/// A counter as it is after the edits so far.
pub(super) struct Pending<'p> {
    scope: &'p Scope<'p>,
    seen: Option<&'p CounterNode>,
    delta: &'p CounterDelta,
}

impl<'p> Pending<'p> {
    pub(super) fn new(scope: &'p Scope<'p>, seen: Option<&'p CounterNode>, delta: &'p CounterDelta) -> Self {
        Self { scope, seen, delta }
    }

    /// Yields the entries of the document that the transaction has not written or reset.
    fn untouched(&self) -> impl Iterator<Item = &'p CounterEntry> {
        let entries = self.seen.into_iter().flat_map(|counter| counter.entries());
        entries.filter(|entry| {
            let owner = self.scope.context.dot(entry.dot).replica;
            !self.delta.writes.contains_key(&owner) && !self.delta.resets.contains_key(&owner)
        })
    }

    pub(super) fn is_visible(&self) -> bool {
        let counted = self.delta.writes.values().any(|(_, write)| matches!(write, OwnWrite::Total { .. }));
        counted || self.untouched().any(CounterEntry::is_live)
    }

    fn value(&self) -> i128 {
        let own = match self.delta.writes.get(&self.scope.dot.replica) {
            Some((_, OwnWrite::Total { total, since: Some(_) })) => i128::from(*total),
            Some((_, OwnWrite::Total { total, since: None })) => {
                let base = own_entry(self.scope, self.seen).map_or(0, |entry| entry.base_total);
                i128::from(*total) - i128::from(base)
            }
            Some((_, OwnWrite::Dropped)) | None => 0,
        };
        own + self.untouched().map(CounterEntry::value).sum::<i128>()
    }
}
