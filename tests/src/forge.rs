//! Makes forged bytes pass checksums: a second, careless reader of the snapshot format.
//!
//! A snapshot ends with the digest of its content, so a mutant is mostly refused at the last
//! sixteen bytes. [`reseal`] reads the mutant without minding order, limits or duplicates and writes
//! the digest that its content has, as an attacker would. It shares nothing with the
//! library but the reading of primitives, so that both agree on honest snapshots is a second opinion.

use crdt_core::codec::{Encode, Reader};
use crdt_core::{Delta, DeltaLead, ReplicaId};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

/// Bytes of the digest at the end.
const DIGEST_BYTES: usize = 16;

/// Writes a snapshot without content that claims these counters, with chain hashes of 0.
#[must_use]
pub fn claim(heads: impl IntoIterator<Item = (ReplicaId, u64)>) -> Vec<u8> {
    let heads: Vec<(ReplicaId, u64)> = heads.into_iter().collect();
    let mut bytes = vec![3];
    bytes.put_varint(heads.len() as u64);
    for (replica, counter) in heads {
        bytes.put_replica(replica);
        bytes.put_varint(counter);
        bytes.put_u64(0);
    }
    bytes.put_bytes(&[0, 0]);
    bytes.put_bytes(&[0; DIGEST_BYTES]);
    bytes
}

/// Writes what follows the handle in the frame of a delta, as on a link on which nobody has a number.
///
/// # Panics
/// If the delta's own bytes are none.
#[must_use]
pub fn delta_in_full(delta: &Delta) -> Vec<u8> {
    let encoded = delta.to_bytes();
    let mut reader = Reader::new(&encoded);
    let lead = DeltaLead::read(&mut reader).expect("a delta's own bytes");
    let lead_bytes = &encoded[1..encoded.len() - reader.rest().len()];
    let count = reader.count(16, "table").expect("a delta's own bytes");
    let form = match lead {
        DeltaLead::Single { salt: None, .. } => 0,
        DeltaLead::Single { salt: Some(_), .. } => 2,
        DeltaLead::Coalesced => 4,
    };
    let mut bytes = Vec::new();
    bytes.put_varint(8 * count as u64 + form);
    for _ in 0..count {
        bytes.put_varint(0);
        bytes.put_replica(reader.replica("replica").expect("a delta's own bytes"));
    }
    bytes.put_bytes(lead_bytes);
    bytes.put_bytes(reader.rest());
    bytes
}

/// Puts the right digest at the end of snapshot bytes, if they can be read as a snapshot at all.
pub fn reseal(bytes: &mut Vec<u8>) {
    if let Some((digest, len)) = digest(bytes) {
        bytes.truncate(len);
        bytes.extend_from_slice(&digest.to_le_bytes());
    }
}

/// Returns the digest of the content of snapshot bytes, and where it stands in them.
#[must_use]
pub fn digest(bytes: &[u8]) -> Option<(u128, usize)> {
    let mut reader = Reader::new(bytes);
    reader.u8("format").ok()?;
    let mut replicas = Vec::new();
    for _ in 0..reader.count(25, "frontier").ok()? {
        replicas.push(reader.replica("replica").ok()?.to_bytes());
        reader.varint("counter").ok()?;
        reader.u64("chain").ok()?;
    }
    let mut walk = Walk { reader, replicas, sum: 0 };
    walk.map(0, 100)?;
    let len = bytes.len() - walk.reader.rest().len();
    (walk.reader.rest().len() >= DIGEST_BYTES).then_some((walk.sum, len))
}

struct Walk<'a> {
    reader: Reader<'a>,
    replicas: Vec<[u8; 16]>,
    sum: u128,
}

/// A dot as it goes into a hash.
type RawDot = ([u8; 16], u64);

impl Walk<'_> {
    fn entry(&mut self, path: u64, payload: u64, dot: RawDot) {
        let mut bytes = Vec::with_capacity(40);
        bytes.extend_from_slice(&path.to_le_bytes());
        bytes.extend_from_slice(&payload.to_le_bytes());
        bytes.extend_from_slice(&dot.0);
        bytes.extend_from_slice(&dot.1.to_le_bytes());
        self.sum = self.sum.wrapping_add(xxh3_128(&bytes));
    }

    fn dot(&mut self) -> Option<RawDot> {
        let rank = self.reader.varint("rank").ok()?;
        let replica = *self.replicas.get(usize::try_from(rank).ok()?)?;
        Some((replica, self.reader.varint("counter").ok()?))
    }

    fn dots(&mut self, path: u64, payload: u64) -> Option<()> {
        for _ in 0..self.reader.count(2, "dots").ok()? {
            let dot = self.dot()?;
            self.entry(path, payload, dot);
        }
        Some(())
    }

    fn map(&mut self, path: u64, depth: usize) -> Option<()> {
        self.dots(path, 0)?;
        for _ in 0..self.reader.count(1, "keys").ok()? {
            let kind = self.reader.u8("kind").ok()?;
            let name = self.reader.blob(usize::MAX, "name").ok()?;
            let at = xxh3_64_with_seed(name, path.wrapping_add(u64::from(kind)));
            match kind {
                1 => self.map(at, depth.checked_sub(1)?)?,
                2 => self.set(at)?,
                3 => self.register(at)?,
                4 => self.counter(at)?,
                _ => return None,
            }
        }
        Some(())
    }

    fn set(&mut self, at: u64) -> Option<()> {
        self.dots(at, 0)?;
        for _ in 0..self.reader.count(1, "elements").ok()? {
            let payload = self.value()?.hash(0);
            self.dots(at, payload)?;
        }
        Some(())
    }

    fn register(&mut self, at: u64) -> Option<()> {
        for _ in 0..self.reader.count(1, "values").ok()? {
            let dot = self.dot()?;
            let stamp = self.reader.u64("stamp").ok()?;
            let payload = self.value()?.hash(stamp);
            self.entry(at, payload, dot);
        }
        Some(())
    }

    fn counter(&mut self, at: u64) -> Option<()> {
        for _ in 0..self.reader.count(1, "entries").ok()? {
            let dot = self.dot()?;
            let total = self.reader.signed("total").ok()?;
            let base = dot.1.wrapping_sub(self.reader.varint("since").ok()?);
            let base_total = self.reader.signed("base total").ok()?;
            let mut bytes = Vec::with_capacity(24);
            bytes.extend_from_slice(&total.to_le_bytes());
            bytes.extend_from_slice(&base.to_le_bytes());
            bytes.extend_from_slice(&base_total.to_le_bytes());
            self.entry(at, xxh3_64_with_seed(&bytes, 0), dot);
        }
        Some(())
    }

    fn value(&mut self) -> Option<RawValue> {
        let fixed = |tag, number: u64| RawValue { tag, bytes: number.to_le_bytes().to_vec() };
        let text = |tag, bytes: &[u8]| RawValue { tag, bytes: bytes.to_vec() };
        Some(match self.reader.u8("value").ok()? {
            0 => fixed(1, 0),
            1 => fixed(2, 0),
            2 => fixed(2, 1),
            3 => fixed(3, self.reader.signed("number").ok()? as u64),
            4 => fixed(4, self.reader.u64("float").ok()?),
            5 => text(5, self.reader.blob(usize::MAX, "text").ok()?),
            6 => text(6, self.reader.blob(usize::MAX, "bytes").ok()?),
            short @ 16.. => text(5, self.reader.bytes(usize::from(short) - 16, "text").ok()?),
            _ => return None,
        })
    }
}

/// A value as it goes into a hash.
struct RawValue {
    tag: u64,
    bytes: Vec<u8>,
}

impl RawValue {
    fn hash(&self, seed: u64) -> u64 {
        xxh3_64_with_seed(&self.bytes, seed.wrapping_add(self.tag))
    }
}
