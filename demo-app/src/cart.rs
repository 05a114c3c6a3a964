//! What a cart is in a document: counters in the map `items`, the owner in the register `name`.
//!
//! Why counters? Two people who each add one must end up with two, and a quantity that somebody
//! takes out while another adds more must keep what was added. A register for the quantity would
//! lose one of the two.

use std::collections::BTreeMap;

use crdt_core::{EditError, Kind, MapRef, Snapshot, Transaction, Value};
use serde::Serialize;

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

/// Adds `quantity` to an item, or takes it away if it is negative.
///
/// # Errors
/// As for every edit; the transaction should be dropped.
pub fn add(transaction: &mut Transaction<'_>, item: &str, quantity: i64) -> Result<(), EditError> {
    transaction.map(ITEMS).counter(item).add(quantity)
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

fn text(value: &Value) -> String {
    value.as_text().map_or_else(|| value.to_string(), str::to_owned)
}
