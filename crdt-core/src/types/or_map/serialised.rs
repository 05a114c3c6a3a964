//! Plain maps as they are serialised, and the checks on what is read back.
//!
//! A forged state must not break what a map relies on: counters in range, every dot covered by the version, no key
//! without an entry. One value has one form: everything ascending.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smallvec::SmallVec;

use super::{Cell, Change, Delta, OrMap};
use crate::context::{Context, LocalDot, TooManyReplicas};
use crate::id::Dot;
use crate::table::Builder;
use crate::types::are_valid;
use crate::types::few::Few;
use crate::version::VersionVector;

impl<K: Ord + Serialize, C: Cell> Serialize for OrMap<K, C>
where
    C::Named: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut cells: Vec<(&K, &C)> = self.cells.iter().collect();
        cells.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let mut parts = serializer.serialize_struct("OrMap", 2)?;
        parts.serialize_field("version", &self.version())?;
        parts.serialize_field("entries", &Sorted { cells, context: &self.context })?;
        parts.end()
    }
}

/// Keys and cells, ascending by key.
struct Sorted<'a, K, C> {
    cells: Vec<(&'a K, &'a C)>,
    context: &'a Context,
}

impl<K: Serialize, C: Cell> Serialize for Sorted<'_, K, C>
where
    C::Named: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.cells.iter().map(|(key, cell)| (key, cell.named(self.context))))
    }
}

impl<'de, K, C> Deserialize<'de> for OrMap<K, C>
where
    K: Clone + Ord + Hash + Deserialize<'de>,
    C: Cell,
    C::Named: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parts::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
    }
}

/// A map as it is deserialised, before its entries are held against its version.
#[derive(Deserialize)]
#[serde(
    rename = "OrMap",
    bound(deserialize = "K: Clone + Ord + Hash + Deserialize<'de>, C: Cell, C::Named: Deserialize<'de>")
)]
struct Parts<K, C> {
    version: VersionVector,
    entries: Listed<K, C>,
}

/// Cells in ascending order of their keys, which go into their place as they are read.
struct Listed<K, C> {
    /// Numbers the replicas that have a dot here, with the highest dot of each.
    context: Context,
    cells: Builder<K, C>,
    /// How many of them are visible.
    len: usize,
}

impl<K: Clone + Ord + Hash, C: Cell> TryFrom<Parts<K, C>> for OrMap<K, C> {
    type Error = String;

    fn try_from(Parts { version, entries: listed }: Parts<K, C>) -> Result<Self, String> {
        let Listed { mut context, cells, len } = listed;
        context.rise_to(&version)?;
        Ok(Self { context, cells: cells.finish(), len })
    }
}

impl<K: Clone + Ord + Hash, C: Cell> Listed<K, C> {
    fn push(&mut self, key: K, entries: SmallVec<[C::Named; 1]>) -> Result<(), String> {
        if self.cells.last().is_some_and(|last| *last >= key) {
            return Err("keys are not ascending".into());
        }
        let dots: SmallVec<[Dot; 1]> = entries.iter().map(C::dot).collect();
        if dots.is_empty() || !are_valid(&dots) {
            return Err("entries are missing, or not ascending, or a counter is out of range".into());
        }
        let dots: Result<SmallVec<[LocalDot; 1]>, TooManyReplicas> =
            dots.into_iter().map(|dot| self.context.note(dot)).collect();
        let dots = dots.map_err(|error| error.to_string())?;
        let cell = C::read(dots.into_iter().zip(entries)).ok_or("no replica writes such an entry")?;
        self.len += usize::from(cell.is_visible());
        self.cells.push(key, cell);
        Ok(())
    }
}

impl<'de, K, C> Deserialize<'de> for Listed<K, C>
where
    K: Clone + Ord + Hash + Deserialize<'de>,
    C: Cell,
    C::Named: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<K, C>(PhantomData<(K, C)>);

        impl<'de, K, C> Visitor<'de> for List<K, C>
        where
            K: Clone + Ord + Hash + Deserialize<'de>,
            C: Cell,
            C::Named: Deserialize<'de>,
        {
            type Value = Listed<K, C>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of keys with their entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listed<K, C>, A::Error> {
                let mut listed = Listed { context: Context::default(), cells: Builder::with_capacity(0), len: 0 };
                while let Some((key, Few(entries))) = list.next_element::<(K, Few<C::Named>)>()? {
                    listed.push(key, entries).map_err(de::Error::custom)?;
                }
                Ok(listed)
            }
        }

        deserializer.deserialize_seq(List(PhantomData))
    }
}

/// A delta as it is deserialised, before it is checked.
#[derive(Deserialize)]
#[serde(rename = "Delta")]
struct DeltaParts<K, D> {
    dot: Dot,
    changes: Few<(K, D)>,
}

impl<'de, K: Ord + Deserialize<'de>, D: Change + Deserialize<'de>> Deserialize<'de> for Delta<K, D> {
    fn deserialize<T: Deserializer<'de>>(deserializer: T) -> Result<Self, T::Error> {
        let DeltaParts { dot, changes: Few(changes) } = DeltaParts::<K, D>::deserialize(deserializer)?;
        if !changes.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(de::Error::custom("keys are not ascending"));
        }
        if !are_valid(&[dot]) || !changes.iter().all(|(_, change)| change.is_valid(dot)) {
            return Err(de::Error::custom("no replica makes such a change"));
        }
        Ok(Self { dot, changes })
    }
}

#[cfg(test)]
mod tests {
    use crate::context::TooManyReplicas;
    use crate::id::{COUNTER_MAX, ReplicaId};
    use crate::limits::REPLICAS_MAX;
    use crate::types::{CountError, CounterMap, CounterMapDelta, DeltaError, LwwMap, LwwMapDelta, WriteError};
    use crate::version::VersionVector;
    use crate::{Dot, Stamp};

    const A: ReplicaId = ReplicaId::from_u128(1);
    const ID: &str = "00000000-0000-0000-0000-000000000001";

    fn dot(counter: u64) -> String {
        format!(r#"{{"replica":"{ID}","counter":{counter}}}"#)
    }

    fn state(counter: u64, entries: &str) -> String {
        format!(r#"{{"version":{{"{ID}":{counter}}},"entries":[{entries}]}}"#)
    }

    #[test]
    fn forged_maps_are_refused() {
        let read = |json: &str| serde_json::from_str::<LwwMap<u8, u8>>(json);
        let value = |counter| format!(r#"{{"dot":{},"stamp":1,"value":9}}"#, dot(counter));
        let one = |key: u8, values: &str| format!("[{key},[{values}]]");
        let honest = read(&state(1, &one(7, &value(1)))).unwrap();
        assert_eq!((honest.get(&7), honest.len()), (Some(&9), 1));
        let forged = [
            one(7, &value(2)),
            one(7, &value(0)),
            one(7, &value(u64::MAX)),
            one(7, ""),
            one(7, &format!("{},{}", value(1), value(1))),
            one(7, &format!("{},{}", value(1), value(2))),
            format!("{},{}", one(8, &value(1)), one(7, &value(1))),
            format!("{},{}", one(7, &value(1)), one(7, &value(1))),
            one(7, &value(1)).replace(ID, "00000000-0000-0000-0000-000000000002"),
        ];
        for entries in forged {
            let counter = if entries.contains(&value(2)) && entries.contains(&value(1)) { 2 } else { 1 };
            assert!(read(&state(counter, &entries)).is_err(), "{entries}");
        }
    }

    #[test]
    fn forged_totals_are_refused() {
        let read = |json: &str| serde_json::from_str::<CounterMap<u8>>(json);
        let total =
            |counter: u64, base: u64| format!(r#"{{"dot":{},"total":5,"base":{base},"base_total":2}}"#, dot(counter));
        let one = |totals: &str| format!("[7,[{totals}]]");
        assert_eq!(read(&state(2, &one(&total(2, 1)))).unwrap().get(&7), Some(3));
        assert_eq!(read(&state(2, &one(&total(2, 2)))).unwrap().get(&7), None);
        for entries in [one(&total(2, 3)), one(&format!("{},{}", total(1, 0), total(2, 0))), one(&total(3, 0))] {
            assert!(read(&state(2, &entries)).is_err(), "{entries}");
        }
    }

    #[test]
    fn forged_deltas_are_refused() {
        let write = |dots: &str| format!(r#"{{"written":[1,9],"superseded":[{dots}]}}"#);
        let delta = |counter: u64, changes: &str| format!(r#"{{"dot":{},"changes":[{changes}]}}"#, dot(counter));
        let read = |json: &str| serde_json::from_str::<LwwMapDelta<u8, u8>>(json);
        assert!(read(&delta(2, &format!("[7,{}]", write(&dot(1))))).is_ok());
        let forged = [
            delta(0, ""),
            delta(COUNTER_MAX + 1, ""),
            delta(3, &format!("[7,{}]", write(&format!("{},{}", dot(2), dot(1))))),
            delta(3, &format!("[7,{}]", write(&dot(0)))),
            delta(3, &format!("[7,{}]", write(&dot(3)))),
            delta(3, &format!("[7,{}]", write(&format!("{},{}", dot(1), dot(2))))),
            delta(3, &format!("[8,{0}],[7,{0}]", write(""))),
            delta(3, &format!("[7,{0}],[7,{0}]", write(""))),
        ];
        for json in forged {
            assert!(read(&json).is_err(), "{json}");
        }
        let reset = |counter: u64| format!(r#"{{"dot":{},"total":1}}"#, dot(counter));
        let count = |resets: &str| delta(3, &format!(r#"[7,{{"own":null,"resets":[{resets}]}}]"#));
        let other = |counter| reset(counter).replace(ID, "00000000-0000-0000-0000-000000000002");
        assert!(serde_json::from_str::<CounterMapDelta<u8>>(&count(&other(1))).is_ok());
        for resets in [other(0), reset(1), reset(3), format!("{},{}", other(1), other(2))] {
            assert!(serde_json::from_str::<CounterMapDelta<u8>>(&count(&resets)).is_err(), "{resets}");
        }
    }

    #[test]
    fn as_many_replicas_as_there_may_be_are_read_and_no_more() {
        for (replicas, is_read) in [(REPLICAS_MAX, true), (REPLICAS_MAX + 1, false)] {
            let dots: Vec<Dot> =
                (0..replicas as u128).map(|replica| Dot::new(ReplicaId::from_u128(replica), 1)).collect();
            let version: VersionVector = dots.iter().map(|dot| (dot.replica, dot.counter)).collect();
            let values: Vec<_> =
                dots.iter().map(|dot| serde_json::json!({ "dot": dot, "stamp": 1, "value": 9 })).collect();
            let parts = serde_json::json!({ "version": version, "entries": [(7, values)] });
            assert_eq!(serde_json::from_value::<LwwMap<u8, u8>>(parts).is_ok(), is_read, "{replicas}");
        }
    }

    #[test]
    fn one_replica_too_many_is_refused_and_changes_nothing() {
        let all = (0..REPLICAS_MAX as u128).map(|replica| (ReplicaId::from_u128(replica), 1));
        let parts = serde_json::json!({ "version": all.collect::<VersionVector>(), "entries": [] });
        let json = parts.to_string();
        let stranger = ReplicaId::from_u128(u128::MAX);
        let mut map: LwwMap<u8, u8> = serde_json::from_str(&json).unwrap();
        let mut other = LwwMap::new();
        let delta = other.insert(stranger, Stamp::from_u64(1), 7, 7).unwrap();
        let before = map.clone();
        assert_eq!(map.insert(stranger, Stamp::from_u64(1), 7, 7), Err(WriteError::TooManyReplicas(TooManyReplicas)));
        assert_eq!(map.apply(&delta), Err(DeltaError::TooManyReplicas(TooManyReplicas)));
        assert_eq!((map.merge(&other), &map), (Err(TooManyReplicas), &before));
        assert_eq!(serde_json::to_string(&map).unwrap(), serde_json::to_string(&before).unwrap());
        assert!(map.insert(A, Stamp::from_u64(1), 7, 7).is_ok(), "one that has written goes on");
        let mut counters: CounterMap<u8> = serde_json::from_str(&json).unwrap();
        assert_eq!(counters.add(stranger, 7, 7), Err(CountError::Write(TooManyReplicas.into())));
        assert!(counters.is_empty());
    }

    #[test]
    fn a_replica_that_has_spent_its_last_dot_writes_no_more() {
        let stamp = Stamp::from_u64(1);
        let mut map: LwwMap<u8, u8> = serde_json::from_str(&state(COUNTER_MAX - 1, "")).unwrap();
        assert!(map.insert(A, stamp, 1, 1).is_ok());
        assert_eq!(map.insert(A, stamp, 2, 2), Err(WriteError::CounterExhausted));
        assert_eq!(map.remove(A, &1), Err(WriteError::CounterExhausted));
        assert_eq!((map.get(&1), map.len()), (Some(&1), 1));
        let mut counters: CounterMap<u8> = serde_json::from_str(&state(COUNTER_MAX, "")).unwrap();
        assert_eq!(counters.add(A, 1, 1), Err(CountError::Write(WriteError::CounterExhausted)));
        assert!(counters.is_empty());
    }
}
