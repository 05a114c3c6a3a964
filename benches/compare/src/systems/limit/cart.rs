//! The cart in bare tables: it knows the rhythm of the exchanges, and that replaces every clock and every dot.

use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;

use super::{Seeds, Table};
use crate::systems::{CartReplica, from_bytes, to_bytes};

/// An item, and what it was when all replicas last agreed.
#[derive(Clone, Copy, Default)]
struct Entry {
    epoch: u32,
    agreed: i64,
    quantity: i64,
    is_removed: bool,
}

/// What one replica did to an item since all last agreed: whether it removed it, and what it added after that.
type Done = (bool, i64);

/// A table of quantities.
pub(crate) struct CartOf<S> {
    items: Table<String, Entry>,
    done: BTreeMap<String, Done>,
    epoch: u32,
    is_exchanging: bool,
    seeds: PhantomData<S>,
}

impl<S: Seeds> CartOf<S> {
    /// Begins a new epoch with the first edit after an exchange.
    fn edit(&mut self) {
        self.epoch += u32::from(std::mem::take(&mut self.is_exchanging));
    }

    fn entry(&mut self, item: &str) -> &mut Entry {
        let entry = self.items.entry_ref(item).or_default();
        if entry.epoch != self.epoch {
            *entry = Entry { epoch: self.epoch, agreed: entry.quantity, quantity: entry.quantity, is_removed: false };
        }
        entry
    }
}

impl<S: Seeds> CartReplica for CartOf<S> {
    fn empty(_: u64, _: &[String]) -> Self {
        Self {
            items: Table::with_hasher(S::hasher()),
            done: BTreeMap::new(),
            epoch: 1,
            is_exchanging: false,
            seeds: PhantomData,
        }
    }

    fn add(&mut self, item: &str, quantity: i64) {
        self.edit();
        self.entry(item).quantity += quantity;
        self.done.entry(item.to_owned()).or_default().1 += quantity;
    }

    fn remove(&mut self, item: &str) {
        self.edit();
        let entry = self.entry(item);
        (entry.quantity, entry.is_removed) = (0, true);
        self.done.insert(item.to_owned(), (true, 0));
    }

    fn flush(&mut self) -> Vec<u8> {
        self.is_exchanging = true;
        to_bytes(&std::mem::take(&mut self.done))
    }

    fn receive(&mut self, message: &[u8]) {
        for (item, (is_removed, added)) in from_bytes::<Vec<(&str, Done)>>(message) {
            let entry = self.entry(item);
            if is_removed && !entry.is_removed {
                entry.is_removed = true;
                entry.quantity -= entry.agreed;
            }
            entry.quantity += added;
        }
    }

    fn contents(&mut self) -> HashMap<String, i64> {
        let quantities = self.items.iter().map(|(item, entry)| (item.clone(), entry.quantity));
        quantities.filter(|(_, quantity)| *quantity != 0).collect()
    }
}
