//! What a user interface shows that never reads a document but follows its changes.
//!
//! Every commit, apply and merge reports its [`Changes`]; a shadow takes them in one by one. If it
//! ever differs from the document, a report was wrong or missing. Explicit creation cannot be told
//! from a visible child by reading, so presence is left out.

use std::collections::{BTreeMap, BTreeSet};

use crdt_core::{Change, Changed, Changes, Value};

use crate::view::View;

/// The visible leaves of a document by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shadow {
    /// The winner, and how many values stand side by side.
    registers: BTreeMap<String, (Value, usize)>,
    counters: BTreeMap<String, i128>,
    elements: BTreeSet<(String, Value)>,
}

impl Shadow {
    /// Takes in what was reported.
    ///
    /// # Panics
    /// If an element is reported as gained that was there, or as lost that was not.
    pub fn follow(&mut self, changes: &Changes) {
        let contradiction = self.take_in(changes).err();
        assert_eq!(contradiction, None, "gained what was there, or lost what was not");
    }

    /// Takes in what was reported.
    ///
    /// # Errors
    /// An element that is reported as gained and was there, or as lost and was not.
    pub fn take_in(&mut self, changes: &Changes) -> Result<(), Change> {
        for change in changes.iter() {
            let path = change.path.to_string();
            match &change.what {
                Changed::Register { value: Some(value), values } => {
                    self.registers.insert(path, (value.clone(), *values));
                }
                Changed::Register { value: None, .. } => {
                    self.registers.remove(&path);
                }
                Changed::Counter(Some(sum)) => {
                    self.counters.insert(path, *sum);
                }
                Changed::Counter(None) => {
                    self.counters.remove(&path);
                }
                Changed::Inserted(value) => {
                    if !self.elements.insert((path, value.clone())) {
                        return Err(change.clone());
                    }
                }
                Changed::Removed(value) => {
                    if !self.elements.remove(&(path, value.clone())) {
                        return Err(change.clone());
                    }
                }
                Changed::Created | Changed::Cleared => {}
                other => panic!("a change that the shadow does not know: {other:?}"),
            }
        }
        Ok(())
    }

    /// Reads the same off a view.
    #[must_use]
    pub fn of(view: &View) -> Self {
        let mut shadow = Self::default();
        shadow.read(view, "");
        shadow
    }

    fn read(&mut self, view: &View, at: &str) {
        for (name, values) in &view.registers {
            self.registers.insert(format!("{at}/register:{name}"), (values[0].value.clone(), values.len()));
        }
        for (name, sum) in &view.counters {
            self.counters.insert(format!("{at}/counter:{name}"), *sum);
        }
        for (name, elements) in &view.sets {
            let path = format!("{at}/set:{name}");
            self.elements.extend(elements.iter().map(|element| (path.clone(), element.clone())));
        }
        for (name, map) in &view.maps {
            self.read(map, &format!("{at}/map:{name}"));
        }
    }
}
