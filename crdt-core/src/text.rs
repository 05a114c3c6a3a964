//! Immutable text, as names, values and set elements are.
//!
//! Most of it is short: a sku, a name, an id. Up to 23 bytes are held in place, so that a table of
//! such keys is one block of memory; what is longer is shared, so that copying it copies a pointer.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smol_str::SmolStr;

/// What is held in place.
const INLINE_BYTES_MAX: usize = 23;

/// Immutable text that is copied in O(1). 24 bytes, and no allocation up to 23 bytes of text.
///
/// ```
/// use crdt_core::{OrSet, ReplicaId, Text};
///
/// let mut set: OrSet<Text> = OrSet::new();
/// let _ = set.insert(ReplicaId::from_u128(1), "milk".into())?;
/// assert!(set.contains("milk"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(SmolStr);

impl Text {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Text is compared, ordered and hashed as `str` is.
impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        // What is known to be short is copied at once, without asking what else it might be.
        Self(if text.len() <= INLINE_BYTES_MAX { SmolStr::new_inline(text) } else { SmolStr::new(text) })
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Makes the text of the bytes where they lie, as `From` does.
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(text.into())
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Text, E> {
                let text = std::str::from_utf8(bytes);
                text.map(Text::from).map_err(|_| E::invalid_value(Unexpected::Bytes(bytes), &self))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// Returns the first sixteen bytes as a number: never less than that of what is less.
pub(crate) fn rank(bytes: &[u8]) -> u128 {
    let mut first = [0; 16];
    let len = bytes.len().min(16);
    first[..len].copy_from_slice(&bytes[..len]);
    u128::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    #[test]
    fn is_compared_ordered_and_hashed_as_str() {
        let hasher = RandomState::new();
        let long = "ä".repeat(40);
        let texts = ["", "a", "milk", "23 bytes are held here.", "24 bytes are held there.", "          ", &long];
        for text in texts {
            assert_eq!(Text::from(text), text);
            assert_eq!(Text::from(text.to_owned()), Text::from(text));
            assert_eq!(hasher.hash_one(Text::from(text)), hasher.hash_one(text));
            for other in texts {
                assert_eq!(Text::from(text).cmp(&Text::from(other)), text.cmp(other));
            }
            let json = serde_json::to_string(&Text::from(text)).unwrap();
            assert_eq!(json, serde_json::to_string(text).unwrap());
            assert_eq!(serde_json::from_str::<Text>(&json).unwrap(), text);
        }
        assert_eq!(size_of::<Text>(), 24);
    }
}
