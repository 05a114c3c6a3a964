//! What a cart is in a document: counters in the map `items`, the owner in the register `name`.
//!
//! Why counters? Two people who each add one must end up with two, and a quantity that somebody
//! takes out while another adds more must keep what was added. A register for the quantity would
//! lose one of the two.

use std::collections::BTreeMap;

use crdt_core::{EditError, Kind, MapRef, Path, Snapshot, Transaction, Value};
use serde::Serialize;
use thiserror::Error;

/// The map of counters, one for each item.
const ITEMS: &str = "items";

/// The register with the owner's name.
const NAME: &str = "name";

/// One cart as a replica shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cart {
    /// Every name written that no later write has seen; the winner first. Two or more are a
    /// conflict, none means that nobody has set a name.
    pub names: Vec<String>,
    /// How many of each item, zeros included: a counter whose sum is zero still exists.
    pub items: BTreeMap<String, i128>,
}

impl Cart {
    /// Reads the cart that a document holds; an empty document is an empty cart.
    #[must_use]
    pub fn read(snapshot: &Snapshot) -> Self {
        let root = snapshot.root();
        let names = root
            .register(NAME)
            .map_or_else(Vec::new, |name| name.conflicts().into_iter().map(|conflict| text(conflict.value)).collect());
        Self { names, items: items(root) }
    }

    /// Returns the name that wins.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }

    /// Returns the names that were written at the same time and did not win.
    #[must_use]
    pub fn rivals(&self) -> &[String] {
        self.names.get(1..).unwrap_or_default()
    }
}

/// Names the item whose quantity lies at a path, if one does.
#[must_use]
pub fn item_at(path: &Path) -> Option<&str> {
    match path.keys() {
        [map, item] if map.kind == Kind::Map && *map.name == *ITEMS && item.kind == Kind::Counter => Some(&item.name),
        _ => None,
    }
}

/// Tells whether the owner's name lies at a path.
#[must_use]
pub fn is_name_at(path: &Path) -> bool {
    matches!(path.keys(), [name] if name.kind == Kind::Register && *name.name == *NAME)
}

/// Adds `quantity` to an item, or takes it away if it is negative.
///
/// # Errors
/// As for every edit; the transaction should be dropped.
pub fn add(transaction: &mut Transaction<'_>, item: &str, quantity: i64) -> Result<(), EditError> {
    transaction.map(ITEMS).counter(item).add(quantity)
}

/// Why nothing was taken out. The transaction should be dropped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TakeError {
    /// The caller's: there is less than that of the item, as far as this replica has heard.
    #[error("there are only {there} of {item:?} in the cart; nothing was taken")]
    TooFew {
        /// Which item.
        item: String,
        /// How many there are.
        there: i128,
    },
    /// The edit itself is impossible.
    #[error(transparent)]
    Edit(#[from] EditError),
}

/// Takes `quantity`, which is positive, of an item, but never more than there is.
///
/// Whether there is enough is judged by what this replica has seen. Two replicas that cannot talk may both
/// take the last one; the sum is then −1, and says so.
///
/// # Errors
/// [`TakeError`]; the transaction should be dropped.
pub fn take(transaction: &mut Transaction<'_>, item: &str, quantity: i64) -> Result<(), TakeError> {
    let mut items = transaction.map(ITEMS);
    let mut counter = items.counter(item);
    let there = counter.value();
    if there < i128::from(quantity) {
        return Err(TakeError::TooFew { item: item.to_owned(), there });
    }
    // A positive number has a negative one.
    Ok(counter.add(-quantity)?)
}

/// Takes an item out, with every unit of it that this replica has seen.
///
/// # Errors
/// As for every edit; the transaction should be dropped.
pub fn remove(transaction: &mut Transaction<'_>, item: &str) -> Result<bool, EditError> {
    transaction.map(ITEMS).remove(Kind::Counter, item)
}

/// Writes the owner's name, in place of every name that this replica has seen.
///
/// # Errors
/// As for every edit; the transaction should be dropped.
pub fn rename(transaction: &mut Transaction<'_>, name: &str) -> Result<(), EditError> {
    transaction.register(NAME).set(name)
}

/// Reads the quantities below a document's root, zeros included, sorted by item.
fn items(root: MapRef<'_>) -> BTreeMap<String, i128> {
    let counters = root.map(ITEMS).map_or_else(Vec::new, |items| items.counters());
    counters.into_iter().map(|(item, quantity)| (item.to_string(), quantity)).collect()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_text().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use crdt_core::{Document, ReplicaId};

    use super::*;

    fn document() -> Document {
        Document::new(ReplicaId::from_u128(1))
    }

    #[test]
    fn all_there_is_can_be_taken_and_one_more_cannot() {
        let mut document = document();
        let mut edit = document.transact(1);
        add(&mut edit, "apple", 2).expect("a small sum");
        assert_eq!(take(&mut edit, "apple", 3), Err(TakeError::TooFew { item: "apple".to_owned(), there: 2 }));
        assert_eq!(take(&mut edit, "apple", 2), Ok(()));
        assert_eq!(take(&mut edit, "apple", 1), Err(TakeError::TooFew { item: "apple".to_owned(), there: 0 }));
        assert_eq!(take(&mut edit, "pear", i64::MAX), Err(TakeError::TooFew { item: "pear".to_owned(), there: 0 }));
    }

    #[test]
    fn paths_of_items_and_of_the_name_are_told_apart() {
        let mut document = document();
        let mut edit = document.transact(1);
        add(&mut edit, "apple", 2).expect("a small sum");
        rename(&mut edit, "Alice").expect("a short name");
        edit.counter("items").add(1).expect("another place");
        let changes = edit.commit().expect("something has changed").changes;
        let items: Vec<&str> = changes.iter().filter_map(|change| item_at(&change.path)).collect();
        assert_eq!(items, ["apple"]);
        assert_eq!(changes.iter().filter(|change| is_name_at(&change.path)).count(), 1);
    }
}
