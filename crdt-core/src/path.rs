//! Where an entry stands in a document.
//!
//! A map key is a name *and* a kind: two devices that create the same name with different kinds
//! have made two entries, which live side by side and never clash.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text::{self, Text};

/// What kind of data a map key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// Keys that lead on.
    Map,
    /// Distinct values; add wins.
    Set,
    /// One value, with conflicts kept.
    Register,
    /// A sum of increments.
    Counter,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Map => "map",
            Self::Set => "set",
            Self::Register => "register",
            Self::Counter => "counter",
        })
    }
}

/// One step of a [`Path`]: a name and the kind of data it leads to. Ordered by name, then kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The name; at most [`KEY_BYTES_MAX`](crate::limits::KEY_BYTES_MAX) bytes.
    pub name: Text,
    /// What it leads to.
    pub kind: Kind,
}

impl Key {
    /// Makes a key of the given kind.
    #[must_use]
    pub fn new(kind: Kind, name: impl Into<Text>) -> Self {
        Self { name: name.into(), kind }
    }

    /// Returns a number that is never less than that of a lesser key.
    pub(crate) fn rank(&self) -> u128 {
        text::rank(self.name.as_bytes())
    }

    pub(crate) fn borrowed(&self) -> KeyRef<'_> {
        KeyRef { name: &self.name, kind: self.kind }
    }
}

/// A key whose name lies elsewhere, such as in bytes that are being read. Ordered as [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyRef<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: Kind,
}

impl KeyRef<'_> {
    pub(crate) fn to_key(self) -> Key {
        Key::new(self.kind, self.name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

/// The keys from the root of a document to one of its entries. The empty path is the root map.
///
/// Shared: copying a path copies a pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Path(Arc<[Key]>);

impl Path {
    /// Returns the keys, the one nearest the root first.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.0
    }
}

impl From<Vec<Key>> for Path {
    fn from(keys: Vec<Key>) -> Self {
        Self(keys.into())
    }
}

impl From<&[Key]> for Path {
    fn from(keys: &[Key]) -> Self {
        Self(keys.into())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|key| write!(f, "/{key}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrowed_keys_are_ordered_as_owned_ones() {
        let kinds = [Kind::Map, Kind::Set, Kind::Register, Kind::Counter];
        let names = ["", "a", "aa", "b", "é"];
        let keys: Vec<Key> = names.iter().flat_map(|name| kinds.map(|kind| Key::new(kind, *name))).collect();
        assert!(keys.is_sorted_by(|left, right| left < right));
        for (left, right) in keys.iter().flat_map(|left| keys.iter().map(move |right| (left, right))) {
            assert_eq!(left.borrowed().cmp(&right.borrowed()), left.cmp(right));
            assert!(left > right || left.rank() <= right.rank());
            assert_eq!(left.borrowed().to_key(), *left);
        }
    }
}
