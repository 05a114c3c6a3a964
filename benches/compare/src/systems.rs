//! What a library must be able to do to take part, as small traits, and who does it how.
//!
//! A system that lacks a trait has no such row; the workload says why. Everything that is not the work itself
//! (`empty`, `insert_all`, `copy`, `contents`) is called outside the timing.

use std::collections::{HashMap, HashSet};

pub(crate) mod automerge;
pub(crate) mod crdt_kit;
pub(crate) mod crdts;
pub(crate) mod dson;
pub(crate) mod limit;
pub(crate) mod loro;
pub(crate) mod ours;
pub(crate) mod yrs;

/// How a set that is generic over its elements holds a string: our own type, which keeps short text in place. With
/// `String` none of them is faster.
pub(crate) type Element = crdt_core::Text;

/// A replica of an add-wins set of strings.
pub(crate) trait SetReplica: Sized {
    /// Makes an empty one for a writer.
    fn empty(replica: u64) -> Self;
    /// Inserts keys in the way that suits the library best for many at once.
    fn insert_all(&mut self, keys: &[String]);
    /// Makes a copy that shares no memory, for the same or another writer.
    fn copy(&mut self, replica: u64) -> Self;
    /// Returns the elements.
    fn contents(&mut self) -> HashSet<String>;
}

/// Merging the state of another replica.
pub(crate) trait StateMerge: SetReplica {
    /// The other's state, in the form from which it is merged fastest.
    type State;
    /// Gets this replica's state ready for `target`; not timed.
    fn state(&mut self, target: &mut Self) -> Self::State;
    /// Merges it; what is left of the state is dropped outside the timing.
    fn merge(&mut self, state: &mut Self::State);
}

/// Single writes, and what travels for them.
pub(crate) trait Deltas: SetReplica {
    /// Inserts one key in a transaction of its own; returns the bytes for the others.
    fn insert(&mut self, key: &str) -> Vec<u8>;
    /// Removes one key in a transaction of its own; returns the bytes for the others.
    fn remove(&mut self, key: &str) -> Vec<u8>;
    /// Takes in the bytes of one transaction.
    fn apply(&mut self, delta: &[u8]);
    /// Inserts keys, each in a transaction of its own; returns the bytes that bring all of them to the others at once.
    fn batch(&mut self, keys: &[String]) -> Vec<u8> {
        keys.iter().flat_map(|key| self.insert(key)).collect()
    }
}

/// The whole state as bytes.
pub(crate) trait FullState: SetReplica {
    /// Encodes it, uncompressed.
    fn encode(&mut self) -> Vec<u8>;
    /// Decodes it into a replica that answers [`contains`](Self::contains) at once.
    fn decode(bytes: &[u8]) -> Self;
    /// Tells whether a key is in the set.
    fn contains(&mut self, key: &str) -> bool;
}

/// Bringing up a peer that has been away.
pub(crate) trait CatchUp: Deltas {
    /// Returns what the peer must tell first: its version, or all of its state.
    fn request(&mut self) -> Vec<u8>;
    /// Answers with what the peer lacks.
    fn answer(&mut self, request: &[u8]) -> Vec<u8>;
    /// Inserts one key in a transaction of its own, without making a message of it.
    fn insert_only(&mut self, key: &str) {
        let _ = self.insert(key);
    }
    /// Removes one key in a transaction of its own, without making a message of it.
    fn remove_only(&mut self, key: &str) {
        let _ = self.remove(key);
    }
    /// Takes the answer in.
    fn take(&mut self, answer: &[u8]);
}

/// A replica of a counter that goes up and down.
pub(crate) trait CounterReplica: Sized {
    /// Makes one at zero for a writer.
    fn empty(replica: u64) -> Self;
    /// Adds, or takes away, in a transaction of its own; returns the bytes for the others.
    fn add(&mut self, by: i64) -> Vec<u8>;
    /// Takes in the bytes of one transaction.
    fn apply(&mut self, delta: &[u8]);
    /// Returns the sum.
    fn value(&mut self) -> i128;
    /// The other's state, in the form from which it is merged fastest.
    type State;
    /// Makes a copy that shares no memory.
    fn copy(&mut self) -> Self;
    /// Gets this replica's state ready for `target`; not timed.
    fn state(&mut self, target: &mut Self) -> Self::State;
    /// Merges it.
    fn merge(&mut self, state: &mut Self::State);
}

/// A replica of a map of numbers in which the last write wins.
pub(crate) trait MapReplica: Sized {
    /// Makes an empty one for a writer.
    fn empty(replica: u64) -> Self;
    /// Writes one number under every key, in the way that suits the library best for many at once.
    fn put_all(&mut self, keys: &[String], number: i64);
    /// Makes a copy that shares no memory, for the same or another writer.
    fn copy(&mut self, replica: u64) -> Self;
    /// Returns the winners.
    fn contents(&mut self) -> HashMap<String, i64>;
    /// The other's state, in the form from which it is merged fastest.
    type State;
    /// Gets this replica's state ready for `target`; not timed.
    fn state(&mut self, target: &mut Self) -> Self::State;
    /// Merges it.
    fn merge(&mut self, state: &mut Self::State);
}

/// A replica of a cart: quantities that are added to and removed as a whole. A removal takes away what its
/// author had seen, and nothing else.
pub(crate) trait CartReplica: Sized {
    /// Makes an empty one for a writer, in a cart that will hold these items.
    fn empty(replica: u64, items: &[String]) -> Self;
    /// Adds to an item.
    fn add(&mut self, item: &str, quantity: i64);
    /// Removes an item, as far as it is known here.
    fn remove(&mut self, item: &str);
    /// Returns the bytes of everything done here since the last call.
    fn flush(&mut self) -> Vec<u8>;
    /// Takes in what another replica has flushed.
    fn receive(&mut self, message: &[u8]);
    /// Returns the quantities that are not zero.
    fn contents(&mut self) -> HashMap<String, i64>;
}

/// Returns the id of the n-th writer: spread over all bits, as random ids are, so that no encoding profits
/// from small numbers.
pub(crate) fn id(replica: u64) -> u128 {
    let half = |salt: u64| {
        let mut bits = (replica ^ salt).wrapping_add(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(bits ^ (bits >> 31))
    };
    half(0) << 64 | half(0x5851_f42d_4c95_7f2d)
}

/// Encodes a value of a library that brings serde and no encoding of its own. Postcard is the smallest and
/// among the fastest of the compact formats.
pub(crate) fn to_bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("the value is serialisable")
}

/// Decodes such a value.
pub(crate) fn from_bytes<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> T {
    postcard::from_bytes(bytes).expect("bytes of to_bytes")
}
