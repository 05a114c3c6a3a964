//! Sets within a transaction.

use super::erase::clear_set;
use super::{EditError, Scope};
use crate::delta::{LeafDelta, SetDelta};
use crate::node::SetNode;
use crate::value::Value;

/// A set that a transaction reads and edits.
#[derive(Debug)]
pub struct SetMut<'t> {
    scope: Scope<'t>,
    seen: Option<&'t SetNode>,
    delta: &'t mut SetDelta,
}

impl<'t> SetMut<'t> {
    pub(super) fn new(scope: Scope<'t>, seen: Option<&'t SetNode>, delta: &'t mut SetDelta) -> Self {
        Self { scope, seen, delta }
    }

    /// Tells whether a value is in the set after the edits so far. O(log edits).
    #[must_use]
    pub fn contains(&self, value: &Value) -> bool {
        match self.delta.elements.get(value) {
            Some(leaf) => !leaf.added.is_empty(),
            None => self.seen.is_some_and(|set| set.elements.get(value).is_some()),
        }
    }

    /// Inserts a value. A value that is there is inserted anew, so that a removal elsewhere that
    /// has not seen this insert leaves it.
    ///
    /// # Errors
    /// [`EditError`]; nothing has changed.
    pub fn insert(&mut self, value: impl Into<Value>) -> Result<(), EditError> {
        let value = value.into();
        self.scope.check_value(&value)?;
        let seen = self.seen.and_then(|set| set.elements.get(&value));
        let superseded = seen.map(|dots| self.scope.names(dots)).unwrap_or_default();
        let added = std::iter::once((self.scope.dot, ())).collect();
        self.delta.elements.insert(value, LeafDelta { added, superseded });
        Ok(())
    }

    /// Removes a value; `false` if it was not there.
    ///
    /// # Errors
    /// [`EditError`]; nothing has changed.
    pub fn remove(&mut self, value: impl Into<Value>) -> Result<bool, EditError> {
        self.scope.check()?;
        let value = value.into();
        let removed = self.contains(&value);
        if removed {
            match self.seen.and_then(|set| set.elements.get(&value)) {
                Some(dots) => {
                    let superseded = self.scope.names(dots);
                    self.delta.elements.insert(value, LeafDelta { superseded, ..LeafDelta::default() });
                }
                None => {
                    self.delta.elements.remove(&value);
                }
            }
        }
        Ok(removed)
    }

    /// Makes the set exist even while it is empty.
    ///
    /// # Errors
    /// [`EditError`]; nothing has changed.
    pub fn create(&mut self) -> Result<(), EditError> {
        self.scope.check()?;
        let superseded = self.seen.map(|set| self.scope.names(&set.presence)).unwrap_or_default();
        let added = std::iter::once((self.scope.dot, ())).collect();
        self.delta.presence = Some(Box::new(LeafDelta { added, superseded }));
        Ok(())
    }

    /// Removes every value and the mark of [`create`](Self::create). O(n) time and bytes.
    ///
    /// # Errors
    /// [`EditError`]; nothing has changed.
    pub fn clear(&mut self) -> Result<(), EditError> {
        self.scope.check()?;
        clear_set(&self.scope, self.seen, self.delta);
        Ok(())
    }
}
