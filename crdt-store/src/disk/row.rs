//! What the rows say: the totals and the identity of the store, and what is held of each document.
//!
//! Numbers are varints as in docs/protocol.md. A row lists what must be found elsewhere (how many chunks, which layers,
//! which part of the tail), so that whatever has vanished is missed.
//!
//! No number in a row is larger than [`NUMBER_MAX`], and no layer longer than [`VALUE_BYTES_MAX`]: so none of them, and
//! no sum of them, overflows when it is counted on. A row that says otherwise is refused on reading, and never written.
//!
//! How is a noted head never stale, when a crash may come between the note and a write? It stands in the row that every
//! write to the document replaces, in the transaction of that write: either both are there, or neither.

use crdt_core::codec::{Encode, Reader};
use crdt_core::{DecodeError, Digest, Frontier, Head, ReplicaId, VersionVector};

use super::fault::Fault;

/// The version of what docs/storage.md describes, counted from 1. Any change to a byte of it raises it; "Changing the
/// format" there says what else that takes.
pub(super) const FORMAT: u32 = 2;

/// Keys of the META table.
pub(super) const FORMAT_KEY: &[u8] = b"format";
pub(super) const IDENTITY_KEY: &[u8] = b"identity";
pub(super) const TOTALS_KEY: &[u8] = b"totals";

/// The largest number in a row. Nothing gets there by counting.
pub(super) const NUMBER_MAX: u64 = u64::MAX >> 1;

/// The most bytes of a layer, which is one value. redb takes none of as many.
const VALUE_BYTES_MAX: u64 = u32::MAX as u64;

/// Sixteen random bytes that name one opening of one store.
pub(super) type Seal = [u8; 16];

/// Who writes to this store, and who has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdentityRow {
    pub(super) replica: ReplicaId,
    pub(super) seal: Seal,
    /// Set in a backup: whoever opens it as a store takes a new id.
    pub(super) is_backup: bool,
    /// Oldest first.
    pub(super) former: Vec<ReplicaId>,
    /// Those of them that were left because others used them as well.
    pub(super) disputed: Vec<ReplicaId>,
}

impl IdentityRow {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(35 + 16 * (self.former.len() + self.disputed.len()));
        out.put_replica(self.replica);
        out.put_bytes(&self.seal);
        out.put_u8(self.is_backup.into());
        put_replicas(&mut out, &self.former);
        put_replicas(&mut out, &self.disputed);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        const WHAT: &str = "the identity";
        let read = || {
            let mut reader = Reader::new(bytes);
            let replica = reader.replica(WHAT)?;
            let seal = reader.replica(WHAT)?.to_bytes();
            let is_backup = match reader.u8(WHAT)? {
                0 => false,
                1 => true,
                tag => return Err(DecodeError::Unknown { what: WHAT, tag }),
            };
            let (former, disputed) = (replicas(&mut reader, WHAT)?, replicas(&mut reader, WHAT)?);
            reader.finish()?;
            Ok(Self { replica, seal, is_backup, former, disputed })
        };
        read().map_err(|error| Fault::decode(WHAT, error))
    }
}

fn put_replicas(out: &mut Vec<u8>, replicas: &[ReplicaId]) {
    out.put_varint(replicas.len() as u64);
    replicas.iter().for_each(|replica| out.put_replica(*replica));
}

fn replicas(reader: &mut Reader<'_>, what: &'static str) -> Result<Vec<ReplicaId>, DecodeError> {
    let count = reader.count(16, what)?;
    (0..count).map(|_| reader.replica(what)).collect()
}

/// What changes with every commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// How many commits there have been.
    pub(super) commits: u64,
    /// How many rows the table of documents has.
    pub(super) documents: u64,
    /// The number that the next new document gets.
    pub(super) next_number: u64,
}

impl Totals {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(12);
        [self.commits, self.documents, self.next_number].iter().for_each(|number| out.put_varint(*number));
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        const WHAT: &str = "the totals";
        let read = || {
            let mut reader = Reader::new(bytes);
            let [commits, documents, next_number] = [reader.varint(WHAT)?, reader.varint(WHAT)?, reader.varint(WHAT)?];
            reader.finish()?;
            Ok(Self { commits, documents, next_number })
        };
        let totals = read().map_err(|error| Fault::decode(WHAT, error))?;
        totals.check()?;
        Ok(totals)
    }

    /// Refuses numbers that cannot be.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let Self { commits, documents, next_number } = *self;
        check_numbers(&[commits, documents, next_number])
    }
}

fn check_numbers(numbers: &[u64]) -> Result<(), Fault> {
    let are_small = numbers.iter().all(|number| *number <= NUMBER_MAX);
    if are_small { Ok(()) } else { Err(Fault::damaged("a row has a number that is larger than can be")) }
}

/// A coalesced delta: where it stands, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) sequence: u64,
    pub(super) bytes: u64,
}

/// What is held of one document: a snapshot, then layers, then the tail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DocumentRow {
    /// Stands for the name in the keys of other tables; never used again.
    pub(super) number: u64,
    /// How many snapshots there have been; 0 if the document begins with a delta.
    pub(super) generation: u64,
    pub(super) chunks: u32,
    pub(super) snapshot_bytes: u64,
    /// In order; their sequences ascend and lie below the tail.
    pub(super) layers: Vec<Layer>,
    /// The sequence of the first delta in the tail.
    pub(super) tail_start: u64,
    /// The sequence behind the last.
    pub(super) tail_end: u64,
    pub(super) tail_bytes: u64,
    /// Disputed ids under which it is settled whose dots are whose.
    pub(super) settled: Vec<ReplicaId>,
    /// Where all of that leaves the document, if it was noted.
    pub(super) head: Option<Head>,
}

impl DocumentRow {
    /// Returns the sequences under which the deltas of the tail must be found, in order.
    pub(super) fn tail(&self) -> std::ops::Range<u64> {
        self.tail_start..self.tail_end
    }

    /// Tells whether there is anything whose version stands in a row of its own.
    pub(super) fn has_version(&self) -> bool {
        self.generation > 0 || !self.layers.is_empty()
    }

    /// Returns the bytes of layers and tail.
    pub(super) fn delta_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.bytes).sum::<u64>() + self.tail_bytes
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24 + 8 * self.layers.len());
        out.put_varint(self.number);
        out.put_varint(self.generation);
        out.put_varint(u64::from(self.chunks));
        out.put_varint(self.snapshot_bytes);
        out.put_varint(self.layers.len() as u64);
        for layer in &self.layers {
            out.put_varint(layer.sequence);
            out.put_varint(layer.bytes);
        }
        out.put_varint(self.tail_start);
        out.put_varint(self.tail_end);
        out.put_varint(self.tail_bytes);
        put_replicas(&mut out, &self.settled);
        if let Some(head) = &self.head {
            head.frontier.encode(&mut out);
            out.put_bytes(&head.digest.0.to_le_bytes());
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        const WHAT: &str = "the row of a document";
        let read = || {
            let mut reader = Reader::new(bytes);
            let number = reader.varint(WHAT)?;
            let generation = reader.varint(WHAT)?;
            let chunks = reader.varint_max(u32::MAX.into(), WHAT)? as u32;
            let snapshot_bytes = reader.varint(WHAT)?;
            let mut layers = Vec::new();
            for _ in 0..reader.count(2, WHAT)? {
                layers.push(Layer { sequence: reader.varint(WHAT)?, bytes: reader.varint(WHAT)? });
            }
            let [tail_start, tail_end, tail_bytes] = [reader.varint(WHAT)?, reader.varint(WHAT)?, reader.varint(WHAT)?];
            let settled = replicas(&mut reader, WHAT)?;
            let head = if reader.rest().is_empty() { None } else { Some(decode_head(&mut reader)?) };
            reader.finish()?;
            Ok(Self {
                number,
                generation,
                chunks,
                snapshot_bytes,
                layers,
                tail_start,
                tail_end,
                tail_bytes,
                settled,
                head,
            })
        };
        let row = read().map_err(|error| Fault::decode(WHAT, error))?;
        row.check()?;
        Ok(row)
    }

    /// Refuses numbers that cannot be.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let Self { number, generation, snapshot_bytes, tail_start, tail_end, tail_bytes, .. } = *self;
        check_numbers(&[number, generation, snapshot_bytes, tail_start, tail_end, tail_bytes])?;
        for layer in &self.layers {
            check_numbers(&[layer.sequence])?;
            if layer.bytes > VALUE_BYTES_MAX {
                return Err(Fault::damaged("a layer is longer than can be"));
            }
        }
        if tail_start > tail_end { Err(Fault::damaged("a tail ends before it begins")) } else { Ok(()) }
    }
}

fn decode_head(reader: &mut Reader<'_>) -> Result<Head, DecodeError> {
    let frontier = Frontier::decode(reader)?;
    let mut digest = [0; 16];
    digest.copy_from_slice(reader.bytes(16, "a digest")?);
    Ok(Head { frontier, digest: Digest(u128::from_le_bytes(digest)) })
}

/// The version after the snapshot and the layers of a document, and which those are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VersionRow {
    pub(super) generation: u64,
    pub(super) tail_start: u64,
    pub(super) version: VersionVector,
}

impl VersionRow {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 19 * self.version.len());
        out.put_varint(self.generation);
        out.put_varint(self.tail_start);
        out.put_varint(self.version.len() as u64);
        for (replica, counter) in self.version.iter() {
            out.put_replica(replica);
            out.put_varint(counter);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        const WHAT: &str = "the version of a document";
        let read = || {
            let mut reader = Reader::new(bytes);
            let generation = reader.varint(WHAT)?;
            let tail_start = reader.varint(WHAT)?;
            let mut version = VersionVector::new();
            for _ in 0..reader.count(17, WHAT)? {
                version.raise(reader.replica(WHAT)?, reader.varint(WHAT)?);
            }
            reader.finish()?;
            Ok(Self { generation, tail_start, version })
        };
        read().map_err(|error| Fault::decode(WHAT, error))
    }
}
