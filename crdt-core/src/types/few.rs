//! Lists of which one is the usual length, as they are read.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use smallvec::SmallVec;

/// A list of which one is the usual length.
pub(super) struct Few<T>(pub(super) SmallVec<[T; 1]>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        few(deserializer).map(Self)
    }
}

/// Reads a list, and believes nobody who says how long it is: `SmallVec` by itself makes room for that.
pub(super) fn few<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SmallVec<[T; 1]>, D::Error> {
    struct Items<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
        type Value = SmallVec<[T; 1]>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut items = SmallVec::new();
            while let Some(item) = list.next_element()? {
                items.push(item);
            }
            Ok(items)
        }
    }

    deserializer.deserialize_seq(Items(PhantomData))
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error, SeqDeserializer};

    use super::*;

    #[test]
    fn the_length_that_a_list_claims_is_not_believed() {
        /// Claims to hold what it does not.
        struct Claim;

        impl Iterator for Claim {
            type Item = u8;

            fn next(&mut self) -> Option<u8> {
                None
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (1 << 40, Some(1 << 40))
            }
        }

        let list: SeqDeserializer<_, Error> = SeqDeserializer::new(Claim);
        assert_eq!(few::<u8, _>(list).unwrap().capacity(), 1);
    }
}
