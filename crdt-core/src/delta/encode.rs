//! A delta as bytes: canonical, so that a hash over them is a hash over the content.
//!
//! A delta of one transaction leaves out what its one dot implies, and its chain hash is the hash
//! of its content seeded with the chain before it. A salt, if it has one, goes before the content, into the bytes
//! and into the hash. docs/protocol.md has every byte.

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{ChainedRange, CounterDelta, Delta, DeltaLead, LeafDelta, MapDelta, NodeDelta, SetDelta, range_of};
use crate::clock::Stamp;
use crate::codec::Encode;
use crate::id::{Dot, ReplicaId};
use crate::node::OwnWrite;
use crate::value::Value;
use crate::wire::{put_key, put_replicas, put_value};

/// First byte of a delta of one transaction.
pub(super) const SINGLE: u8 = 1;
/// First byte of a coalesced delta.
pub(super) const COALESCED: u8 = 2;
/// First byte of a delta of one transaction that has a salt.
pub(super) const SALTED: u8 = 4;
/// Where in the bytes of a delta of one transaction the content begins, which its chain hash covers.
pub(super) const CONTENT_AT: usize = 1 + size_of::<u64>();

impl Delta {
    /// Appends the canonical bytes, 30 to 60 for one small entry. O(entries).
    pub fn encode(&self, out: &mut Vec<u8>) {
        let lead = match self.single() {
            Some(only) => DeltaLead::Single { chain_after: only.chain_after, salt: self.salt },
            None => DeltaLead::Coalesced,
        };
        lead.encode(out);
        self.encode_behind_lead(out);
    }

    /// Returns the one range of a delta of one transaction.
    fn single(&self) -> Option<&ChainedRange> {
        match &self.ranges[..] {
            [only] if only.range.through == only.range.after + 1 => Some(only),
            _ => None,
        }
    }

    /// Fills in the chain hash of a delta straight from a commit.
    pub(crate) fn seal(&mut self) {
        let only = *self.single().expect("a commit spends one dot");
        let mut content = Vec::with_capacity(64);
        if let Some(salt) = self.salt {
            content.put_u64(salt.get());
        }
        self.encode_behind_lead(&mut content);
        self.ranges[0].chain_through = chain(only.chain_after, &content);
    }

    /// Appends the table of replicas and what refers to it.
    fn encode_behind_lead(&self, out: &mut Vec<u8>) {
        let replicas = self.replicas();
        put_replicas(out, &replicas);
        let mut encoder = Encoder { out, replicas: &replicas, ranges: &self.ranges };
        match self.single() {
            Some(only) => {
                encoder.replica(only.range.replica);
                encoder.out.put_varint(only.range.after);
            }
            None => encoder.ranges(),
        }
        encoder.map(&self.body);
    }

    /// Returns every replica that the delta refers to, sorted. One whose dots are superseded has a range, or is needed.
    fn replicas(&self) -> SmallVec<[ReplicaId; 4]> {
        let mut replicas: SmallVec<[ReplicaId; 4]> = self.ranges().map(|range| range.replica).collect();
        replicas.extend(self.needs.iter().map(|need| need.replica));
        if !self.needs.is_empty() {
            replicas.sort_unstable();
            replicas.dedup();
        }
        replicas
    }
}

/// Returns the chain hash after a transaction: XXH3-64 of its content, seeded with the hash before.
pub(super) fn chain(before: u64, content: &[u8]) -> u64 {
    xxh3_64_with_seed(content, before)
}

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    /// Sorted.
    replicas: &'a [ReplicaId],
    ranges: &'a [ChainedRange],
}

impl Encoder<'_> {
    fn replica(&mut self, replica: ReplicaId) {
        let at = self.replicas.binary_search(&replica).expect("the table lists every replica referred to");
        self.out.put_varint(at as u64);
    }

    fn ranges(&mut self) {
        self.out.put_varint(self.ranges.len() as u64);
        for chained in self.ranges {
            self.replica(chained.range.replica);
            self.out.put_varint(chained.range.after);
            self.out.put_varint(chained.range.through - chained.range.after);
            self.out.put_u64(chained.chain_after);
            self.out.put_u64(chained.chain_through);
        }
    }

    /// Writes a dot inside the ranges: no replica where they are of one, nothing where there is one dot only.
    fn dot_in_range(&mut self, dot: Dot) {
        let range = match self.ranges {
            [only] if only.range.through == only.range.after + 1 => return,
            [only] => only.range,
            _ => {
                self.replica(dot.replica);
                range_of(self.ranges, dot.replica).expect("added dots lie in the ranges")
            }
        };
        self.out.put_varint(dot.counter - range.after - 1);
    }

    fn leaf<P>(&mut self, leaf: &LeafDelta<P>, payload: impl Fn(&mut Vec<u8>, &P)) {
        let (added, superseded) = (leaf.added.len(), leaf.superseded.len());
        self.out.put_varint((superseded as u64) << 2 | added.min(3) as u64);
        if added >= 3 {
            self.out.put_varint(added as u64 - 3);
        }
        for (dot, content) in &leaf.added {
            self.dot_in_range(*dot);
            payload(self.out, content);
        }
        for dot in &leaf.superseded {
            self.replica(dot.replica);
            self.out.put_varint(dot.counter);
        }
    }

    /// Writes how much a map or set lists, and its presence.
    fn container(&mut self, entries: usize, presence: Option<&LeafDelta<()>>) {
        self.out.put_varint((entries as u64) << 1 | u64::from(presence.is_some()));
        if let Some(leaf) = presence {
            self.leaf(leaf, |_, ()| ());
        }
    }

    fn map(&mut self, map: &MapDelta) {
        self.container(map.children.len(), map.presence.as_deref());
        for (key, child) in map.children.iter() {
            put_key(self.out, key);
            match child {
                NodeDelta::Register(leaf) => self.leaf(leaf, put_register_entry),
                NodeDelta::Counter(counter) => self.counter(counter),
                NodeDelta::Set(set) => self.set(set),
                NodeDelta::Map(map) => self.map(map),
            }
        }
    }

    fn set(&mut self, set: &SetDelta) {
        self.container(set.elements.len(), set.presence.as_deref());
        for (element, leaf) in set.elements.iter() {
            put_value(self.out, element);
            self.leaf(leaf, |_, ()| ());
        }
    }

    fn counter(&mut self, counter: &CounterDelta) {
        self.out.put_varint(counter.writes.len() as u64);
        for (owner, (at, write)) in counter.writes.iter() {
            self.dot_in_range(Dot::new(*owner, *at));
            match write {
                OwnWrite::Dropped => self.out.put_u8(0),
                OwnWrite::Total { total, since: None } => {
                    self.out.put_u8(1);
                    self.out.put_signed(*total);
                }
                OwnWrite::Total { total, since: Some(since) } => {
                    self.out.put_u8(2);
                    self.out.put_signed(*total);
                    self.out.put_varint(at - since - 1);
                }
            }
        }
        self.out.put_varint(counter.resets.len() as u64);
        for (owner, (through, total)) in counter.resets.iter() {
            self.replica(*owner);
            self.out.put_varint(*through);
            self.out.put_signed(*total);
        }
    }
}

/// Writes the stamp and the value of one register entry.
fn put_register_entry(out: &mut Vec<u8>, (stamp, value): &(Stamp, Value)) {
    out.put_u64(stamp.as_u64());
    put_value(out, value);
}
