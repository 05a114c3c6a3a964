//! The add-wins set as it is serialised, and the checks on what is read back.
//!
//! A forged state must not break what the set relies on: counters in range, every dot covered by the
//! version, no element without a dot. One value has one form: everything ascending.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Change, OrSet, OrSetDelta};
use crate::context::{Context, TooManyReplicas};
use crate::dots::Dots;
use crate::elements::{Builder, Elements};
use crate::id::Dot;
use crate::types::are_valid;
use crate::types::few::Few;
use crate::version::VersionVector;

impl<E: Ord + Hash + Serialize> Serialize for OrSet<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_struct("OrSet", 2)?;
        parts.serialize_field("version", &self.version())?;
        parts.serialize_field("elements", &self.sorted(&self.elements))?;
        parts.end()
    }
}

impl<'de, E: Clone + Ord + Hash + Deserialize<'de>> Deserialize<'de> for OrSet<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parts::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
    }
}

/// A set as it is deserialised, before its elements are held against its version.
#[derive(Deserialize)]
#[serde(rename = "OrSet", bound(deserialize = "E: Clone + Ord + Hash + Deserialize<'de>"))]
struct Parts<E> {
    version: VersionVector,
    elements: Listed<E>,
}

/// Elements in ascending order, which go into their place as they are read: they are not kept a second time.
struct Listed<E> {
    /// Numbers the replicas that have a dot here, with the highest dot of each.
    context: Context,
    elements: Builder<E>,
}

impl<E: Clone + Ord + Hash> TryFrom<Parts<E>> for OrSet<E> {
    type Error = String;

    fn try_from(Parts { version, elements: listed }: Parts<E>) -> Result<Self, String> {
        let Listed { mut context, elements } = listed;
        context.rise_to(&version)?;
        Ok(Self { context, elements: Elements::built(elements) })
    }
}

impl<E: Clone + Ord + Hash> Listed<E> {
    fn push(&mut self, element: E, dots: &[Dot]) -> Result<(), String> {
        if self.elements.last().is_some_and(|last| *last >= element) {
            return Err("elements are not ascending".into());
        }
        if dots.is_empty() || !are_valid(dots) {
            return Err("dots are missing, or not ascending, or a counter is out of range".into());
        }
        let dots: Result<Dots, TooManyReplicas> = dots.iter().map(|dot| self.context.note(*dot)).collect();
        self.elements.push(element, dots.map_err(|error| error.to_string())?);
        Ok(())
    }
}

impl<'de, E: Clone + Ord + Hash + Deserialize<'de>> Deserialize<'de> for Listed<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<E>(PhantomData<E>);

        impl<'de, E: Clone + Ord + Hash + Deserialize<'de>> Visitor<'de> for List<E> {
            type Value = Listed<E>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of elements with their dots")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listed<E>, A::Error> {
                let mut listed = Listed { context: Context::default(), elements: Elements::builder(0) };
                while let Some((element, Few(dots))) = list.next_element::<(E, Few<Dot>)>()? {
                    listed.push(element, &dots).map_err(de::Error::custom)?;
                }
                Ok(listed)
            }
        }

        deserializer.deserialize_seq(List(PhantomData))
    }
}

/// A delta as it is deserialised, before it is checked.
#[derive(Deserialize)]
#[serde(rename = "OrSetDelta")]
pub(super) struct DeltaParts<E> {
    dot: Dot,
    changes: Few<Change<E>>,
}

impl<E> TryFrom<DeltaParts<E>> for OrSetDelta<E> {
    type Error = &'static str;

    fn try_from(parts: DeltaParts<E>) -> Result<Self, Self::Error> {
        let Few(changes) = parts.changes;
        let is_before = |dot: &Dot| dot.replica != parts.dot.replica || dot.counter < parts.dot.counter;
        let is_valid = |change: &Change<E>| are_valid(&change.superseded) && change.superseded.iter().all(is_before);
        if !are_valid(&[parts.dot]) || !changes.iter().all(is_valid) {
            return Err("no replica makes such a change");
        }
        Ok(Self { dot: parts.dot, changes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{COUNTER_MAX, ReplicaId};
    use crate::limits::REPLICAS_MAX;
    use crate::types::WriteError;

    const A: ReplicaId = ReplicaId::from_u128(1);

    fn elements(set: &OrSet<u8>) -> Vec<u8> {
        set.iter().copied().collect()
    }

    #[test]
    fn forged_states_and_deltas_are_refused() {
        let id = "00000000-0000-0000-0000-000000000001";
        let dot = |counter| format!(r#"{{"replica":"{id}","counter":{counter}}}"#);
        let state =
            |counter: u64, elements: &str| format!(r#"{{"version":{{"{id}":{counter}}},"elements":[{elements}]}}"#);
        let read = |json: &str| serde_json::from_str::<OrSet<u8>>(json);
        let one = |dots: &str| format!("[7,[{dots}]]");
        assert_eq!(elements(&read(&state(1, &one(&dot(1)))).unwrap()), [7]);
        let unsorted = format!("[8,[{}]],[7,[{}]]", dot(1), dot(1));
        let forged = [
            one(&dot(2)),
            one(&dot(0)),
            one(""),
            one(&format!("{},{}", dot(1), dot(1))),
            one(&dot(u64::MAX)),
            unsorted,
        ];
        for elements in forged {
            assert!(read(&state(1, &elements)).is_err(), "{elements}");
        }
        let stranger = one(&dot(1)).replace(id, "00000000-0000-0000-0000-000000000002");
        assert!(read(&state(1, &stranger)).is_err(), "the version lacks its replica");
        let swapped = format!(r#"{{"elements":[{}],"version":{{"{id}":1}}}}"#, one(&dot(1)));
        assert_eq!(elements(&read(&swapped).unwrap()), [7], "fields in another order");
        assert!(read(&state(COUNTER_MAX + 1, "")).is_err());
        assert!(read(&state(0, "")).is_err());
        for counter in [0, COUNTER_MAX + 1] {
            let delta = format!(r#"{{"dot":{},"changes":[]}}"#, dot(counter));
            assert!(serde_json::from_str::<OrSetDelta<u8>>(&delta).is_err());
        }
        for (superseded, is_read) in [(2, true), (3, false), (4, false)] {
            let change = format!(r#"{{"element":7,"added":true,"superseded":[{}]}}"#, dot(superseded));
            let delta = format!(r#"{{"dot":{},"changes":[{change}]}}"#, dot(3));
            assert_eq!(serde_json::from_str::<OrSetDelta<u8>>(&delta).is_ok(), is_read, "{delta}");
        }
    }

    #[test]
    fn as_many_replicas_as_there_may_be_are_read_and_no_more() {
        for (replicas, is_read) in [(REPLICAS_MAX, true), (REPLICAS_MAX + 1, false)] {
            let dots: Vec<Dot> =
                (0..replicas as u128).map(|replica| Dot::new(ReplicaId::from_u128(replica), 1)).collect();
            let version: VersionVector = dots.iter().map(|dot| (dot.replica, dot.counter)).collect();
            let parts = serde_json::json!({ "version": version, "elements": [(7, dots)] });
            assert_eq!(serde_json::from_value::<OrSet<u8>>(parts).is_ok(), is_read, "{replicas}");
        }
    }

    #[test]
    fn a_replica_that_has_spent_its_last_dot_writes_no_more() {
        let id = "00000000-0000-0000-0000-000000000001";
        let json = format!(r#"{{"version":{{"{id}":{}}},"elements":[]}}"#, COUNTER_MAX - 1);
        let mut set: OrSet<u8> = serde_json::from_str(&json).unwrap();
        assert!(set.insert(A, 1).is_ok());
        assert_eq!(set.insert(A, 2), Err(WriteError::CounterExhausted));
        assert_eq!(set.remove(A, &1), Err(WriteError::CounterExhausted));
        assert_eq!(elements(&set), [1]);
    }
}
