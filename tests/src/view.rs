//! Content in a neutral form, so that documents and the model can be compared.
//!
//! Reading a document into a view also checks the reading interface against itself: keys are
//! sorted and counted right, the winner of a register is the greatest by (stamp, replica), a set
//! contains exactly what it lists.

use std::collections::{BTreeMap, BTreeSet};

use crdt_core::{Dot, Key, Kind, MapRef, Stamp, Value};

use crate::op::{Entry, Item};

/// One map: what stands at each name, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The concurrent values of each register, winner first.
    pub registers: BTreeMap<String, Vec<Written>>,
    /// The sum of each counter.
    pub counters: BTreeMap<String, i128>,
    /// The elements of each set, which may be none.
    pub sets: BTreeMap<String, BTreeSet<Value>>,
    /// The maps beneath, which may be empty.
    pub maps: BTreeMap<String, View>,
}

/// One value of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// When, by the writer's clock.
    pub stamp: Stamp,
    /// By which transaction.
    pub dot: Dot,
    /// What.
    pub value: Value,
}

impl Written {
    /// What decides between concurrent values.
    fn rank(&self) -> (Stamp, Dot) {
        (self.stamp, self.dot)
    }
}

impl View {
    /// Reads a map, and all beneath it, through the public reading interface.
    ///
    /// # Panics
    /// If the reading interface contradicts itself.
    #[must_use]
    pub fn of(map: MapRef<'_>) -> Self {
        let keys = map.keys();
        assert!(keys.is_sorted_by(|a, b| a < b), "keys are sorted and distinct: {keys:?}");
        assert_eq!(map.len(), keys.len());
        assert_eq!(map.is_empty(), keys.is_empty());
        let mut view = Self::default();
        for Key { name, kind } in keys {
            let at = name.to_string();
            match kind {
                Kind::Register => {
                    view.registers.insert(at, read_register(map, &name));
                }
                Kind::Counter => {
                    view.counters.insert(at, map.counter(&name).expect("a visible counter has a sum"));
                }
                Kind::Set => {
                    view.sets.insert(at, read_set(map, &name));
                }
                Kind::Map => {
                    view.maps.insert(at, Self::of(map.map(&name).expect("a visible map can be entered")));
                }
                other => panic!("a kind that the view does not know: {other}"),
            }
        }
        let counters: BTreeMap<String, i128> =
            map.counters().into_iter().map(|(name, sum)| (name.to_string(), sum)).collect();
        assert_eq!(counters, view.counters);
        view
    }

    /// Puts one live entry in, with the maps that lead to it.
    pub(crate) fn put(&mut self, entry: &Entry, dot: Dot, stamp: Stamp) {
        let (last, maps) = entry.path.split_last().expect("every entry stands at a key");
        let mut map = self;
        for key in maps {
            map = map.maps.entry(key.name.to_string()).or_default();
        }
        let name = last.name.to_string();
        match (&entry.item, last.kind) {
            (Item::Value(value), _) => {
                let values = map.registers.entry(name).or_default();
                values.push(Written { stamp, dot, value: value.clone() });
                values.sort_by_key(|written| std::cmp::Reverse(written.rank()));
            }
            (Item::Increment(by), _) => *map.counters.entry(name).or_default() += i128::from(*by),
            (Item::Element(value), _) => {
                map.sets.entry(name).or_default().insert(value.clone());
            }
            (Item::Presence, Kind::Set) => {
                map.sets.entry(name).or_default();
            }
            (Item::Presence, _) => {
                map.maps.entry(name).or_default();
            }
        }
    }

    /// Yields every value of every register, here and beneath.
    pub fn written(&self) -> Box<dyn Iterator<Item = &Written> + '_> {
        Box::new(self.registers.values().flatten().chain(self.maps.values().flat_map(Self::written)))
    }

    /// Tells whether no key is visible.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the map that the names lead to from here, if it exists.
    #[must_use]
    pub fn at(&self, names: &[&str]) -> Option<&Self> {
        names.iter().try_fold(self, |map, name| map.maps.get(*name))
    }
}

fn read_register(map: MapRef<'_>, name: &str) -> Vec<Written> {
    let register = map.register(name).expect("a visible register has a value");
    let values: Vec<Written> = register
        .conflicts()
        .into_iter()
        .map(|conflict| Written { stamp: conflict.stamp, dot: conflict.dot, value: conflict.value.clone() })
        .collect();
    let winner = values.first().expect("a visible register has a value");
    assert!(values.iter().all(|written| written.rank() <= winner.rank()), "the winner comes first: {values:?}");
    assert_eq!(register.get(), &winner.value);
    assert_eq!(register.is_conflicted(), values.len() > 1);
    let mut sorted = values;
    sorted.sort_by_key(|written| std::cmp::Reverse(written.rank()));
    sorted
}

fn read_set(map: MapRef<'_>, name: &str) -> BTreeSet<Value> {
    let set = map.set(name).expect("a visible set can be read");
    let values = set.values();
    assert!(values.is_sorted_by(|a, b| a < b), "elements are sorted and distinct: {values:?}");
    assert!(values.iter().all(|value| set.contains(value)));
    assert_eq!(set.len(), values.len());
    assert_eq!(set.is_empty(), values.is_empty());
    values.into_iter().cloned().collect()
}
