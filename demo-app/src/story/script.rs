//! Who does what in the story, and the cart that must come out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crdt_core::{EditError, Transaction};

use crate::cart::{self, Cart};

/// The document that everybody shares.
pub(crate) const CART: &str = "cart/demo";

/// The first of the two who shop.
pub(crate) const A: usize = 0;

/// The second of the two who shop.
pub(crate) const B: usize = 1;

/// One change of a cart, made as one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Adds to a quantity; negative takes away.
    Add {
        /// Of which item.
        item: &'static str,
        /// How many.
        quantity: i64,
    },
    /// Takes an item out, with all of it that the replica has seen.
    Remove {
        /// Which item.
        item: &'static str,
    },
    /// Writes the owner's name.
    Rename {
        /// The name.
        name: Cow<'static, str>,
    },
}

impl Edit {
    /// Makes the change.
    ///
    /// # Errors
    /// As for every edit; the transaction should be dropped.
    pub fn apply(&self, transaction: &mut Transaction<'_>) -> Result<(), EditError> {
        match self {
            Self::Add { item, quantity } => cart::add(transaction, item, *quantity),
            Self::Remove { item } => cart::remove(transaction, item).map(drop),
            Self::Rename { name } => cart::rename(transaction, name),
        }
    }
}

const ALICE: &str = "Alice";
const BOB: &str = "Bob";

/// What A puts in before the links break.
pub(crate) const START: [Edit; 2] = [add("bread", 2), add("milk", 3)];

/// What A does without links.
pub(crate) const ALONE_A: [Edit; 4] = [add("apple", 1), add("milk", 2), Edit::Remove { item: "bread" }, name(ALICE)];

/// What B does without links.
pub(crate) const ALONE_B: [Edit; 4] = [add("banana", 1), add("milk", -1), add("bread", 1), name(BOB)];

const fn add(item: &'static str, quantity: i64) -> Edit {
    Edit::Add { item, quantity }
}

const fn name(name: &'static str) -> Edit {
    Edit::Rename { name: Cow::Borrowed(name) }
}

/// The items a replica must show while A and B are apart.
pub(crate) fn items_apart(replica: usize) -> BTreeMap<String, i128> {
    match replica {
        A => items(&[("apple", 1), ("milk", 5)]),
        B => items(&[("banana", 1), ("bread", 3), ("milk", 2)]),
        _ => items(&[("bread", 2), ("milk", 3)]),
    }
}

/// The items every replica must show after the merge. One bread: A took out the two it had seen.
pub(crate) fn items_merged() -> BTreeMap<String, i128> {
    items(&[("apple", 1), ("banana", 1), ("bread", 1), ("milk", 4)])
}

/// The names a replica must show while A and B are apart.
pub(crate) const fn names_apart(replica: usize) -> &'static [&'static str] {
    match replica {
        A => &[ALICE],
        B => &[BOB],
        _ => &[],
    }
}

/// The names that must be in conflict after the merge, in alphabetical order.
pub(crate) const NAMES_IN_CONFLICT: [&str; 2] = [ALICE, BOB];

/// What A writes to settle the conflict: its own name, which did not win. It was kept all the same.
pub(crate) fn choice(merged: &Cart) -> Option<Cow<'static, str>> {
    let chosen = merged.names.iter().find(|name| *name == ALICE).or(merged.names.first());
    chosen.map(|name| Cow::Owned(name.clone()))
}

/// Names a replica by letter: A, B, C …
///
/// # Panics
/// If there is no letter left.
#[must_use]
pub fn letter(replica: usize) -> char {
    let letter = u8::try_from(replica).ok().filter(|number| *number < 26).map(|number| b'A' + number);
    char::from(letter.expect("the story has at most 26 replicas: checked with the arguments"))
}

fn items(items: &[(&str, i128)]) -> BTreeMap<String, i128> {
    items.iter().map(|&(item, quantity)| (item.to_owned(), quantity)).collect()
}
