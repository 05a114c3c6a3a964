//! Registers within a transaction.

use smallvec::SmallVec;

use super::{EditError, Scope};
use crate::delta::{LeafDelta, NodeDelta};
use crate::dots::Dots;
use crate::id::Dot;
use crate::node::RegisterNode;
use crate::path::Key;
use crate::sorted::SortedMap;
use crate::value::Value;

/// A register that a transaction reads and edits.
#[derive(Debug)]
pub struct RegisterMut<'t> {
    scope: Scope<'t>,
    seen: Option<&'t RegisterNode>,
    /// The changes of the map around it: a register's own change exists only once it is written.
    siblings: &'t mut SortedMap<Key, NodeDelta>,
    key: Key,
}

impl<'t> RegisterMut<'t> {
    pub(super) fn new(
        scope: Scope<'t>,
        seen: Option<&'t RegisterNode>,
        siblings: &'t mut SortedMap<Key, NodeDelta>,
        key: Key,
    ) -> Self {
        Self { scope, seen, siblings, key }
    }

    /// Returns the value after the edits so far: of several, the winner.
    #[must_use]
    pub fn get(&self) -> Option<Value> {
        match self.siblings.get(&self.key) {
            Some(NodeDelta::Register(leaf)) => leaf.added.first().map(|(_, (_, value))| value.clone()),
            _ => self.seen?.winner(self.scope.context).map(|entry| entry.value.clone()),
        }
    }

    /// Writes a value. It replaces every value seen, whatever the clocks say, and so settles a
    /// conflict; a value written elsewhere at the same time will stand beside it.
    ///
    /// # Errors
    /// [`EditError`]; nothing has changed.
    pub fn set(&mut self, value: impl Into<Value>) -> Result<(), EditError> {
        let value = value.into();
        self.scope.check_value(&value)?;
        let added = std::iter::once((self.scope.dot, (self.scope.stamp, value))).collect();
        let leaf = LeafDelta { added, superseded: self.superseded() };
        self.siblings.insert(self.key.clone(), NodeDelta::Register(leaf));
        Ok(())
    }

    /// Takes out every value seen: the register is gone.
    ///
    /// # Errors
    /// [`EditError`]; nothing has changed.
    pub fn clear(&mut self) -> Result<(), EditError> {
        self.scope.check()?;
        let superseded = self.superseded();
        if superseded.is_empty() {
            self.siblings.remove(&self.key);
        } else {
            let leaf = LeafDelta { superseded, ..LeafDelta::default() };
            self.siblings.insert(self.key.clone(), NodeDelta::Register(leaf));
        }
        Ok(())
    }

    fn superseded(&self) -> SmallVec<[Dot; 1]> {
        let dots: Option<Dots> = self.seen.map(|register| register.entries.iter().map(|entry| entry.dot).collect());
        dots.map(|dots| self.scope.names(&dots)).unwrap_or_default()
    }
}
