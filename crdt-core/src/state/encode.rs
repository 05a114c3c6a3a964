//! A whole state as bytes: canonical, so that equal documents have equal bytes on every machine.
//!
//! Everything is sorted here and only here; tables have no order of their own. The digest closes
//! the bytes.

use smallvec::SmallVec;

use super::State;
use crate::codec::Encode;
use crate::context::LocalDot;
use crate::node::{CounterEntry, CounterNode, MapNode, Node, RegisterEntry, RegisterNode, SetNode};
use crate::path::Key;
use crate::value::Value;
use crate::wire;

/// Entries that are visited before they are written.
const BLOCK: usize = 64;

/// First byte of a snapshot.
pub(super) const SNAPSHOT: u8 = 3;

impl State {
    /// Returns the canonical bytes. O(n log n).
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u8(SNAPSHOT);
        let frontier = self.frontier();
        frontier.encode(&mut out);
        // Bytes number the replicas by id; replicas that are numbered but have written nothing have no dots.
        let mut ranks = vec![0; self.context.len()];
        for (rank, (replica, ..)) in frontier.iter().enumerate() {
            let index = self.context.index(replica).expect("a frontier lists replicas of the context");
            ranks[index.position()] = rank as u64;
        }
        let mut encoder = Encoder { out: &mut out, ranks: &ranks };
        encoder.map(&self.root);
        out.put_bytes(&self.digest.0.to_le_bytes());
        out
    }
}

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    /// By replica index: its place among the replicas sorted by id.
    ranks: &'a [u64],
}

impl Encoder<'_> {
    fn dot(&mut self, dot: LocalDot) {
        self.out.put_varint(self.ranks[dot.replica().position()]);
        self.out.put_varint(dot.counter());
    }

    fn rank(&self, dot: LocalDot) -> (u64, u64) {
        (self.ranks[dot.replica().position()], dot.counter())
    }

    fn dots(&mut self, dots: &[LocalDot]) {
        self.out.put_varint(dots.len() as u64);
        if let [only] = dots {
            return self.dot(*only);
        }
        let mut sorted: SmallVec<[LocalDot; 4]> = dots.iter().copied().collect();
        sorted.sort_unstable_by_key(|dot| self.rank(*dot));
        sorted.into_iter().for_each(|dot| self.dot(dot));
    }

    fn map(&mut self, map: &MapNode) {
        self.dots(&map.presence);
        let children = ascending(map.children.iter(), Key::rank);
        self.out.put_varint(children.len() as u64);
        for (_, key, child) in children {
            wire::put_key(self.out, key);
            match child {
                Node::Register(register) => self.register(register),
                Node::Counter(counter) => self.counter(counter),
                Node::Set(set) => self.set(set),
                Node::Map(map) => self.map(map),
            }
        }
    }

    fn set(&mut self, set: &SetNode) {
        self.dots(&set.presence);
        let elements = ascending(set.elements.held(), Value::rank);
        self.out.put_varint(elements.len() as u64);
        for block in elements.chunks(BLOCK) {
            // Visits each, so that a block of them comes from memory at once and not one after the other.
            self.out.reserve(block.iter().map(|(_, element, _)| element.payload_len() + 4).sum());
            for (_, element, held) in block {
                wire::put_value(self.out, element);
                self.dots(set.elements.dots(element, held));
            }
        }
    }

    fn register(&mut self, register: &RegisterNode) {
        let mut entries: SmallVec<[&RegisterEntry; 4]> = register.entries.iter().collect();
        entries.sort_unstable_by_key(|entry| self.rank(entry.dot));
        self.out.put_varint(entries.len() as u64);
        for entry in entries {
            self.dot(entry.dot);
            self.out.put_u64(entry.stamp.as_u64());
            wire::put_value(self.out, &entry.value);
        }
    }

    fn counter(&mut self, counter: &CounterNode) {
        let mut entries: SmallVec<[&CounterEntry; 4]> = counter.entries().iter().collect();
        entries.sort_unstable_by_key(|entry| self.rank(entry.dot));
        self.out.put_varint(entries.len() as u64);
        for entry in entries {
            self.dot(entry.dot);
            self.out.put_signed(entry.total);
            self.out.put_varint(entry.dot.counter() - entry.base);
            self.out.put_signed(entry.base_total);
        }
    }
}

/// Returns entries in the order of their keys, behind the ranks of these: numbers that order most keys without
/// visiting them. O(n log n).
fn ascending<'a, K: Ord, V>(
    entries: impl Iterator<Item = (&'a K, &'a V)>,
    rank: impl Fn(&K) -> u128,
) -> Vec<(u128, &'a K, &'a V)> {
    let mut ranked: Vec<_> = entries.map(|(key, value)| (rank(key), key, value)).collect();
    ranked.sort_unstable_by(|left, right| left.0.cmp(&right.0).then_with(|| left.1.cmp(right.1)));
    ranked
}
