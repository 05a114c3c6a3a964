//! The plain maps under test, and the naive model of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::Hash;

use crdt_core::{CounterMap, CounterMapDelta, DeltaError, LwwMap, LwwMapDelta, ReplicaId, Stamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::world::{Event, Subject};

/// Keys to choose from: a few, so that writes meet, or so many that a map has a directory of shards.
pub(crate) trait Key: Copy + Ord + Hash + Debug + Serialize + DeserializeOwned {
    const COUNT: u32;

    fn of(number: u32) -> Self;
}

impl Key for u8 {
    const COUNT: u32 = 4;

    fn of(number: u32) -> Self {
        number as Self
    }
}

impl Key for u16 {
    const COUNT: u32 = 600;

    fn of(number: u32) -> Self {
        number as Self
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum MapAction<V> {
    Write(u32, V),
    /// From, count.
    WriteMany(u32, u32, V),
    Remove(u32),
    Clear,
}

impl<V: Copy> MapAction<V> {
    fn of<K: Key>(seed: u32, value: V) -> Self {
        let key = (seed >> 4) % K::COUNT;
        match seed % 16 {
            0..=5 => Self::Write(key, value),
            6..=8 => Self::WriteMany(key, 1 + (seed >> 8) % (K::COUNT - key), value),
            9..=14 => Self::Remove(key),
            _ => Self::Clear,
        }
    }

    /// Returns what is written under a key.
    fn written(self, key: u32) -> Option<V> {
        match self {
            Self::Write(written, value) if written == key => Some(value),
            Self::WriteMany(from, count, value) if (from..from + count).contains(&key) => Some(value),
            _ => None,
        }
    }

    fn removes(self, key: u32) -> bool {
        match self {
            Self::Remove(removed) => removed == key,
            Self::Clear => true,
            Self::Write(..) | Self::WriteMany(..) => false,
        }
    }
}

impl<K: Key> Subject for LwwMap<K, u8> {
    type Delta = LwwMapDelta<K, u8>;
    /// Wall clock and value.
    type Action = MapAction<(u64, u8)>;
    /// All values of each key, the winner first.
    type View = BTreeMap<K, Vec<u8>>;

    fn action(seed: u32) -> Self::Action {
        MapAction::of::<K>(seed, (u64::from((seed >> 8) % 6), (seed >> 12) as u8))
    }

    fn write(&mut self, replica: ReplicaId, action: Self::Action) -> Option<Self::Delta> {
        let stamp = Stamp::from_u64;
        match action {
            MapAction::Write(key, (clock, value)) => self.insert(replica, stamp(clock), K::of(key), value).ok(),
            MapAction::WriteMany(from, count, (clock, value)) => {
                let entries = (from..from + count).map(|key| (K::of(key), value));
                self.extend(replica, stamp(clock), entries).ok().flatten()
            }
            MapAction::Remove(key) => self.remove(replica, &K::of(key)).ok().flatten(),
            MapAction::Clear => self.clear(replica).ok().flatten(),
        }
    }

    fn apply(&mut self, delta: &Self::Delta) -> Result<bool, DeltaError> {
        LwwMap::apply(self, delta)
    }

    fn merge(&mut self, other: &Self) {
        LwwMap::merge(self, other).expect("three replicas");
    }

    fn view(&self) -> Self::View {
        let values = |(key, winner): (&K, &u8)| {
            let conflicts = self.conflicts(key);
            let writers: BTreeSet<ReplicaId> = conflicts.iter().map(|conflict| conflict.dot.replica).collect();
            assert_eq!(writers.len(), conflicts.len(), "one of each writer at most");
            let values: Vec<u8> = conflicts.iter().map(|conflict| *conflict.value).collect();
            assert_eq!((values.first(), self.get(key)), (Some(winner), Some(winner)));
            (*key, values)
        };
        let view: Self::View = self.iter().map(values).collect();
        assert_eq!(view.len(), self.len());
        view
    }

    /// Of each key the writes that nobody has replaced or removed having seen them.
    fn model(seen: &[&Event<Self>]) -> Self::View {
        let values = |key: u32| {
            let touches = |event: &Event<Self>| event.action.written(key).is_some() || event.action.removes(key);
            let stands = |event: &&&Event<Self>| !seen.iter().any(|other| touches(other) && other.saw(event));
            let ranked = |event: &&Event<Self>| {
                let (clock, value) = event.action.written(key)?;
                Some((clock, event.replica, value))
            };
            let mut ranked: Vec<_> = seen.iter().filter(stands).filter_map(ranked).collect();
            ranked.sort_unstable_by(|a, b| b.cmp(a));
            ranked.into_iter().map(|(.., value)| value).collect::<Vec<u8>>()
        };
        let all = (0..K::COUNT).map(|key| (K::of(key), values(key)));
        all.filter(|(_, values)| !values.is_empty()).collect()
    }
}

impl<K: Key> Subject for CounterMap<K> {
    type Delta = CounterMapDelta<K>;
    type Action = MapAction<i64>;
    type View = BTreeMap<K, i128>;

    /// Adds small numbers, and now and then nearly all that fits.
    fn action(seed: u32) -> Self::Action {
        let by = match (seed >> 8) % 16 {
            0 => i64::MAX - 9,
            1 => i64::MIN + 9,
            _ => i64::from((seed >> 12) % 7) - 2,
        };
        MapAction::of::<K>(seed, by)
    }

    fn write(&mut self, replica: ReplicaId, action: Self::Action) -> Option<Self::Delta> {
        match action {
            MapAction::Write(key, by) => self.add(replica, K::of(key), by).ok(),
            MapAction::WriteMany(from, count, by) => {
                self.extend(replica, (from..from + count).map(|key| (K::of(key), by))).ok().flatten()
            }
            MapAction::Remove(key) => self.remove(replica, &K::of(key)).ok().flatten(),
            MapAction::Clear => self.clear(replica).ok().flatten(),
        }
    }

    fn apply(&mut self, delta: &Self::Delta) -> Result<bool, DeltaError> {
        CounterMap::apply(self, delta)
    }

    fn merge(&mut self, other: &Self) {
        CounterMap::merge(self, other).expect("three replicas");
    }

    fn view(&self) -> Self::View {
        let view: Self::View = self.iter().map(|(key, sum)| (*key, sum)).collect();
        assert_eq!(view.len(), self.len());
        assert!(view.iter().all(|(key, sum)| self.get(key) == Some(*sum)));
        view
    }

    /// Of each key the sum of what nobody has removed having seen it.
    fn model(seen: &[&Event<Self>]) -> Self::View {
        let mut sums = BTreeMap::new();
        for event in seen {
            let counted = (0..K::COUNT).filter_map(|key| Some((key, event.action.written(key)?)));
            let stays =
                |(key, _): &(u32, i64)| !seen.iter().any(|other| other.action.removes(*key) && other.saw(event));
            for (key, by) in counted.filter(stays) {
                *sums.entry(K::of(key)).or_default() += i128::from(by);
            }
        }
        sums
    }
}
