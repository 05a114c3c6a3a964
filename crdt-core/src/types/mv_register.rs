//! Multi-value register: concurrent writes are all kept, until a write that has seen them.
//!
//! A value here but not there: newer, or replaced there? If the other version covers its dot, they
//! had it and replaced it; otherwise they have not seen it yet. Nothing is decided by clocks.
//!
//! Source: Shapiro, Preguiça, Baquero, Zawirski, "A comprehensive study of convergent and
//! commutative replicated data types" (2011), §3.2.2; dots instead of a vector a value as in
//! Almeida, Shoker, Baquero, "Delta state replicated data types" (2018), §7.2; differs in: deltas
//! name what they replace, and causal order is checked instead of assumed.
//!
//! Deliberately absent: choosing among concurrent values; the application knows how. And a limit on
//! replicas: the version grows with every one that ever wrote.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DeltaError, WriteError, are_superseded, are_valid};
use crate::id::{COUNTER_MAX, Dot, ReplicaId};
use crate::version::VersionVector;

/// A register that keeps concurrent values apart.
///
/// Serialises as its version and its values in the order of their dots.
///
/// ```
/// use crdt_core::{MvRegister, ReplicaId};
///
/// let (a, b) = (ReplicaId::from_u128(1), ReplicaId::from_u128(2));
/// let mut left = MvRegister::new();
/// let mut right = MvRegister::new();
/// let one = left.write(a, "one")?;
/// let two = right.write(b, "two")?;
/// left.apply(&two)?;
/// assert_eq!(left.values().collect::<Vec<_>>(), [&"one", &"two"]);
/// let both = left.write(a, "one and two")?;
/// right.apply(&one)?;
/// right.apply(&both)?;
/// assert_eq!(right.values().collect::<Vec<_>>(), [&"one and two"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts<T>", into = "Parts<T>", bound(serialize = "T: Clone + Serialize"))]
pub struct MvRegister<T> {
    version: VersionVector,
    /// By the dot that wrote them, which `version` covers.
    values: BTreeMap<Dot, T>,
}

/// What one mutation of an [`MvRegister`] changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DeltaParts<T>")]
#[must_use = "other copies learn of the change only by its delta"]
pub struct MvRegisterDelta<T> {
    dot: Dot,
    value: Option<T>,
    /// Ascending.
    superseded: Vec<Dot>,
}

impl<T> MvRegister<T> {
    /// Returns a register that nobody has written.
    #[must_use]
    pub const fn new() -> Self {
        Self { version: VersionVector::new(), values: BTreeMap::new() }
    }

    /// Yields the values, in the order of their dots: none before the first write and after
    /// [`clear`](Self::clear), more than one after concurrent writes.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> {
        self.values.values()
    }

    /// Returns which transactions have been applied.
    #[must_use]
    pub fn version(&self) -> &VersionVector {
        &self.version
    }
}

impl<T: Clone> MvRegister<T> {
    /// Replaces all values that are here, as `replica`. O(values).
    ///
    /// # Errors
    /// [`WriteError::CounterExhausted`]; nothing has changed.
    pub fn write(&mut self, replica: ReplicaId, value: T) -> Result<MvRegisterDelta<T>, WriteError> {
        self.commit(replica, Some(value))
    }

    /// Removes all values that are here, as `replica`; `None` if there is nothing to remove.
    /// A concurrent write survives. O(values).
    ///
    /// # Errors
    /// [`WriteError::CounterExhausted`]; nothing has changed.
    pub fn clear(&mut self, replica: ReplicaId) -> Result<Option<MvRegisterDelta<T>>, WriteError> {
        if self.values.is_empty() { Ok(None) } else { self.commit(replica, None).map(Some) }
    }

    /// Takes in a delta; tells whether it was new. O(values + replaced values × log n).
    ///
    /// # Errors
    /// [`DeltaError::Gap`] if it builds on a delta that is missing; nothing has changed.
    pub fn apply(&mut self, delta: &MvRegisterDelta<T>) -> Result<bool, DeltaError> {
        if self.version.covers(delta.dot) {
            return Ok(false);
        }
        let next = self.version.next(delta.dot.replica);
        let missing = delta.superseded.iter().find(|dot| !self.version.covers(**dot));
        if let Some(missing) = (next != delta.dot).then_some(&next).or(missing) {
            return Err(DeltaError::Gap { missing: *missing });
        }
        // Its author's last value is gone, even if it was another that cleared it, in a delta still to come.
        self.values.retain(|dot, _| dot.replica != delta.dot.replica);
        for dot in &delta.superseded {
            self.values.remove(dot);
        }
        if let Some(value) = &delta.value {
            self.values.insert(delta.dot, value.clone());
        }
        self.version.raise(delta.dot.replica, delta.dot.counter);
        Ok(true)
    }

    /// Takes in another copy. O(values and replicas of both × log n).
    pub fn merge(&mut self, other: &Self) {
        self.values.retain(|dot, _| other.values.contains_key(dot) || !other.version.covers(*dot));
        for (dot, value) in &other.values {
            if !self.version.covers(*dot) {
                self.values.insert(*dot, value.clone());
            }
        }
        self.version.merge(&other.version);
    }

    fn commit(&mut self, replica: ReplicaId, value: Option<T>) -> Result<MvRegisterDelta<T>, WriteError> {
        let dot = self.version.next(replica);
        if dot.counter > COUNTER_MAX {
            return Err(WriteError::CounterExhausted);
        }
        let superseded = std::mem::take(&mut self.values).into_keys().collect();
        self.values.extend(value.clone().map(|value| (dot, value)));
        self.version.raise(dot.replica, dot.counter);
        Ok(MvRegisterDelta { dot, value, superseded })
    }
}

impl<T> MvRegisterDelta<T> {
    /// Returns the name of the transaction.
    #[must_use]
    pub fn dot(&self) -> Dot {
        self.dot
    }
}

impl<T> Default for MvRegister<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A register as it is serialised.
#[derive(Serialize, Deserialize)]
#[serde(rename = "MvRegister")]
struct Parts<T> {
    version: VersionVector,
    values: Vec<(Dot, T)>,
}

impl<T> From<MvRegister<T>> for Parts<T> {
    fn from(register: MvRegister<T>) -> Self {
        Self { version: register.version, values: register.values.into_iter().collect() }
    }
}

impl<T> TryFrom<Parts<T>> for MvRegister<T> {
    type Error = &'static str;

    fn try_from(parts: Parts<T>) -> Result<Self, Self::Error> {
        let dots: Vec<Dot> = parts.values.iter().map(|(dot, _)| *dot).collect();
        if !are_valid(&dots) || !dots.is_sorted_by(|a, b| a.replica < b.replica) {
            return Err("dots are not ascending, one of each replica");
        }
        if !dots.iter().all(|dot| parts.version.covers(*dot)) {
            return Err("a dot is not covered by the version");
        }
        Ok(Self { version: parts.version, values: parts.values.into_iter().collect() })
    }
}

/// A delta as it is serialised, before it is checked.
#[derive(Deserialize)]
#[serde(rename = "MvRegisterDelta")]
struct DeltaParts<T> {
    dot: Dot,
    value: Option<T>,
    superseded: Vec<Dot>,
}

impl<T> TryFrom<DeltaParts<T>> for MvRegisterDelta<T> {
    type Error = &'static str;

    fn try_from(parts: DeltaParts<T>) -> Result<Self, Self::Error> {
        if !are_valid(&[parts.dot]) || !are_superseded(&parts.superseded, parts.dot) {
            return Err("no replica makes such a change");
        }
        Ok(Self { dot: parts.dot, value: parts.value, superseded: parts.superseded })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplicaId = ReplicaId::from_u128(1);
    const B: ReplicaId = ReplicaId::from_u128(2);

    fn values(register: &MvRegister<u8>) -> Vec<u8> {
        register.values().copied().collect()
    }

    #[test]
    fn concurrent_writes_stay_until_a_write_that_saw_them() {
        let (mut left, mut right) = (MvRegister::new(), MvRegister::new());
        let _ = left.write(A, 1);
        let _ = right.write(B, 2);
        left.merge(&right);
        assert_eq!(values(&left), [1, 2]);
        let _ = left.write(A, 3);
        right.merge(&left);
        assert_eq!(values(&right), [3]);
    }

    #[test]
    fn a_write_survives_a_concurrent_clear() {
        let (mut left, mut right) = (MvRegister::new(), MvRegister::new());
        let first = left.write(A, 1).unwrap();
        assert_eq!(right.apply(&first), Ok(true));
        let clear = left.clear(A).unwrap().unwrap();
        let _ = right.write(B, 2).unwrap();
        assert_eq!(right.apply(&clear), Ok(true));
        assert_eq!(values(&right), [2]);
        assert_eq!(left.clear(A), Ok(None));
    }

    #[test]
    fn deltas_out_of_order_are_refused_and_repeated_ones_skipped() {
        let mut author = MvRegister::new();
        let first = author.write(A, 1).unwrap();
        let second = author.write(A, 2).unwrap();
        let mut other = MvRegister::new();
        assert_eq!(other.apply(&second), Err(DeltaError::Gap { missing: Dot::new(A, 1) }));
        assert_eq!(other, MvRegister::new());
        assert_eq!((other.apply(&first), other.apply(&second)), (Ok(true), Ok(true)));
        assert_eq!(other.apply(&first), Ok(false));
        assert_eq!(other, author);
    }

    #[test]
    fn a_delta_is_refused_while_what_it_replaced_is_missing() {
        let (mut left, mut right) = (MvRegister::new(), MvRegister::new());
        let first = left.write(A, 1).unwrap();
        assert_eq!(right.apply(&first), Ok(true));
        let over = right.write(B, 2).unwrap();
        let mut third = MvRegister::new();
        assert_eq!(third.apply(&over), Err(DeltaError::Gap { missing: Dot::new(A, 1) }));
    }

    #[test]
    fn a_write_replaces_its_authors_last_one_even_where_the_clear_between_them_is_missing() {
        let (mut author, mut other, mut reader) = (MvRegister::new(), MvRegister::new(), MvRegister::new());
        let first = author.write(A, 1).unwrap();
        assert_eq!(other.apply(&first), Ok(true));
        let clear = other.clear(B).unwrap().unwrap();
        assert_eq!(author.apply(&clear), Ok(true));
        let second = author.write(A, 2).unwrap();
        assert_eq!((reader.apply(&first), reader.apply(&second)), (Ok(true), Ok(true)));
        assert_eq!(values(&reader), [2]);
        assert_eq!((reader.apply(&clear), reader == author), (Ok(true), true));
    }

    #[test]
    fn forged_states_and_deltas_are_refused() {
        let id = "00000000-0000-0000-0000-000000000001";
        for version in ["{}".to_owned(), format!(r#"{{"{id}":281474976710656}}"#), format!(r#"{{"{id}":0}}"#)] {
            let state = format!(r#"{{"version":{version},"values":[[{{"replica":"{id}","counter":1}},7]]}}"#);
            assert!(serde_json::from_str::<MvRegister<u8>>(&state).is_err(), "{state}");
        }
        let dot = |counter| format!(r#"{{"replica":"{id}","counter":{counter}}}"#);
        let two = format!(r#"{{"version":{{"{id}":2}},"values":[[{},7],[{},8]]}}"#, dot(1), dot(2));
        assert!(serde_json::from_str::<MvRegister<u8>>(&two).is_err(), "two values of one replica");
        for (superseded, is_read) in [(dot(2), true), (dot(3), false), (format!("{},{}", dot(1), dot(2)), false)] {
            let delta = format!(r#"{{"dot":{},"value":7,"superseded":[{superseded}]}}"#, dot(3));
            assert_eq!(serde_json::from_str::<MvRegisterDelta<u8>>(&delta).is_ok(), is_read, "{delta}");
        }
        for counter in [0, COUNTER_MAX + 1] {
            let dot = format!(r#"{{"replica":"{id}","counter":{counter}}}"#);
            let delta = format!(r#"{{"dot":{dot},"value":7,"superseded":[]}}"#);
            assert!(serde_json::from_str::<MvRegisterDelta<u8>>(&delta).is_err(), "{delta}");
        }
    }

    #[test]
    fn a_replica_that_has_spent_its_last_dot_writes_no_more() {
        let id = "00000000-0000-0000-0000-000000000001";
        let state = |counter| format!(r#"{{"version":{{"{id}":{counter}}},"values":[]}}"#);
        let mut register: MvRegister<u8> = serde_json::from_str(&state(COUNTER_MAX - 1)).unwrap();
        assert!(register.write(A, 1).is_ok());
        assert_eq!(register.write(A, 2), Err(WriteError::CounterExhausted));
        assert_eq!(values(&register), [1]);
    }
}
