//! Maps within a transaction.

use std::collections::BTreeSet;

use super::erase::{self, leave};
use super::{CounterMut, EditError, RegisterMut, Scope, SetMut};
use crate::delta::{LeafDelta, MapDelta, NodeDelta};
use crate::json::{self, ImportError};
use crate::node::{MapNode, Node};
use crate::path::{Key, Kind};

/// A map that a transaction reads and edits. Looking something up creates nothing.
#[derive(Debug)]
pub struct MapMut<'t> {
    scope: Scope<'t>,
    seen: Option<&'t MapNode>,
    delta: &'t mut MapDelta,
    /// Keys from the root to here.
    depth: usize,
}

impl<'t> MapMut<'t> {
    pub(super) fn new(scope: Scope<'t>, seen: Option<&'t MapNode>, delta: &'t mut MapDelta, depth: usize) -> Self {
        Self { scope, seen, delta, depth }
    }

    /// Returns the map under a name; it need not exist yet.
    pub fn map(&mut self, name: &str) -> MapMut<'_> {
        self.reborrow().into_map(name)
    }

    /// Returns the counter under a name; it need not exist yet.
    pub fn counter(&mut self, name: &str) -> CounterMut<'_> {
        self.reborrow().into_counter(name)
    }

    /// Returns the set under a name; it need not exist yet.
    pub fn set(&mut self, name: &str) -> SetMut<'_> {
        self.reborrow().into_set(name)
    }

    /// Returns the register under a name; it need not exist yet.
    pub fn register(&mut self, name: &str) -> RegisterMut<'_> {
        self.reborrow().into_register(name)
    }

    /// Makes the map exist even while it is empty. The root always does.
    ///
    /// # Errors
    /// [`EditError`]; nothing has changed.
    pub fn create(&mut self) -> Result<(), EditError> {
        self.scope.check()?;
        if self.depth > 0 {
            let seen = self.seen.map(|map| self.scope.names(&map.presence)).unwrap_or_default();
            let added = std::iter::once((self.scope.dot, ())).collect();
            self.delta.presence = Some(Box::new(LeafDelta { added, superseded: seen }));
        }
        Ok(())
    }

    /// Removes everything under a name of one kind; `false` if there was nothing.
    ///
    /// What another replica writes there at the same time, without having seen the removal, stays.
    /// Costs bytes for each entry removed.
    ///
    /// # Errors
    /// [`EditError`]; nothing has changed.
    pub fn remove(&mut self, kind: Kind, name: &str) -> Result<bool, EditError> {
        self.scope.below(name, self.depth + 1).check()?;
        let key = Key::new(kind, name);
        let visible = self.shows(&key);
        if visible {
            self.erase_child(&key);
        }
        Ok(visible)
    }

    /// Removes every key.
    ///
    /// # Errors
    /// [`EditError`]; nothing has changed.
    pub fn clear(&mut self) -> Result<(), EditError> {
        self.scope.check()?;
        for key in self.keys() {
            self.erase_child(&key);
        }
        Ok(())
    }

    /// Returns the keys as they are after the edits so far, sorted by name, then kind. O(n log n).
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        let seen = self.seen.into_iter().flat_map(|map| map.children.iter()).map(|(key, _)| key);
        let keys: BTreeSet<&Key> = seen.chain(self.delta.children.keys()).collect();
        keys.into_iter().filter(|key| self.shows(key)).cloned().collect()
    }

    /// Writes the content of a JSON object: objects become maps, arrays sets, and scalars registers;
    /// see [`json`](crate::json). Keys that the object does not have stay, and counters are added to.
    ///
    /// # Errors
    /// [`ImportError`]; the transaction may hold a part of the object then: drop it.
    pub fn put_json(&mut self, object: &serde_json::Value) -> Result<(), ImportError> {
        json::put(&mut self.reborrow(), object)
    }

    /// Tells whether anything can be written here at all: names and nesting are within their limits.
    pub(crate) fn check(&self) -> Result<(), EditError> {
        self.scope.check()
    }

    pub(super) fn into_map(self, name: &str) -> MapMut<'t> {
        let depth = self.depth + 1;
        let (scope, seen, delta) = self.into_child(Kind::Map, name);
        let NodeDelta::Map(delta) = delta else { unreachable!("made of the key's kind") };
        let seen = seen.map(|node| match node {
            Node::Map(map) => map,
            _ => unreachable!("a key's kind is its node's kind"),
        });
        MapMut::new(scope, seen, delta, depth)
    }

    pub(super) fn into_counter(self, name: &str) -> CounterMut<'t> {
        let (scope, seen, delta) = self.into_child(Kind::Counter, name);
        let NodeDelta::Counter(delta) = delta else { unreachable!("made of the key's kind") };
        let seen = seen.map(|node| match node {
            Node::Counter(counter) => counter,
            _ => unreachable!("a key's kind is its node's kind"),
        });
        CounterMut::new(scope, seen, delta)
    }

    pub(super) fn into_set(self, name: &str) -> SetMut<'t> {
        let (scope, seen, delta) = self.into_child(Kind::Set, name);
        let NodeDelta::Set(delta) = delta else { unreachable!("made of the key's kind") };
        let seen = seen.map(|node| match node {
            Node::Set(set) => set,
            _ => unreachable!("a key's kind is its node's kind"),
        });
        SetMut::new(scope, seen, delta)
    }

    pub(super) fn into_register(self, name: &str) -> RegisterMut<'t> {
        let scope = self.scope.below(name, self.depth + 1);
        let seen = self.seen.and_then(|map| map.child(Kind::Register, name)).map(|node| match node {
            Node::Register(register) => register,
            _ => unreachable!("a key's kind is its node's kind"),
        });
        RegisterMut::new(scope, seen, &mut self.delta.children, Key::new(Kind::Register, name))
    }

    /// Goes one key down. The branch it makes in the delta is pruned at the commit if unused.
    fn into_child(self, kind: Kind, name: &str) -> (Scope<'t>, Option<&'t Node>, &'t mut NodeDelta) {
        let scope = self.scope.below(name, self.depth + 1);
        let seen = self.seen.and_then(|map| map.child(kind, name));
        let delta = self.delta.children.get_or_insert_with(Key::new(kind, name), || NodeDelta::new(kind));
        (scope, seen, delta)
    }

    fn reborrow(&mut self) -> MapMut<'_> {
        MapMut { scope: self.scope, seen: self.seen, delta: self.delta, depth: self.depth }
    }

    fn seen_child(&self, key: &Key) -> Option<&'t Node> {
        self.seen.and_then(|map| map.children.get(key))
    }

    /// Tells whether a key is there after the edits so far.
    fn shows(&self, key: &Key) -> bool {
        erase::shows(&self.scope, self.seen_child(key), self.delta.children.get(key))
    }

    fn erase_child(&mut self, key: &Key) {
        let seen = self.seen_child(key);
        leave(&self.scope, &mut self.delta.children, key, seen);
    }
}
