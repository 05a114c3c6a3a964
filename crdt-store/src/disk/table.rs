//! The tables of the file, their keys, and the checksum that every value carries.
//!
//! redb checks its pages when it recovers, not when it reads them. So how does a reader know that a value is what was
//! written under its key? It begins with a hash over table, key and bytes: damaged bytes, and a value that stands
//! under another key, do not pass. That nothing is missing shows in the counts that rows higher up carry.

use redb::TableDefinition;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::fault::Fault;

/// What there is one of: format, identity, totals.
pub(super) const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");
/// Name → what is held of the document.
pub(super) const DOCUMENTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("documents");
/// Number → the version after the snapshot and the layers.
pub(super) const VERSIONS: TableDefinition<'_, &[u8; 8], &[u8]> = TableDefinition::new("versions");
/// Number, generation, index → a piece of the snapshot.
pub(super) const CHUNKS: TableDefinition<'_, &[u8; 20], &[u8]> = TableDefinition::new("chunks");
/// Number, sequence → a delta of the tail.
pub(super) const DELTAS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("deltas");
/// Number, sequence → a layer. Not beside the tail: redb writes a leaf anew for every row that is put into it, and a
/// leaf in which the tail of one document stands next to a layer of another is as long as that layer.
pub(super) const LAYERS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("layers");

/// Which table a checksum is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tag {
    Meta = 1,
    Document = 2,
    Version = 3,
    Chunk = 4,
    Delta = 5,
    Layer = 6,
}

/// The number of bytes before the payload of every value.
pub(super) const CHECKSUM_BYTES: usize = 8;

/// Puts the checksum before a payload.
pub(super) fn seal(tag: Tag, key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(CHECKSUM_BYTES + payload.len());
    value.extend_from_slice(&checksum(tag, key, payload).to_le_bytes());
    value.extend_from_slice(payload);
    value
}

/// Checks a value against its checksum and returns the payload.
pub(super) fn unseal<'v>(tag: Tag, key: &[u8], value: &'v [u8]) -> Result<&'v [u8], Fault> {
    let (sum, payload) = value.split_first_chunk().ok_or_else(|| bad(tag))?;
    if u64::from_le_bytes(*sum) == checksum(tag, key, payload) { Ok(payload) } else { Err(bad(tag)) }
}

pub(super) fn version_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

pub(super) fn chunk_key(number: u64, generation: u64, index: u32) -> [u8; 20] {
    let mut key = [0; 20];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..16].copy_from_slice(&generation.to_be_bytes());
    key[16..].copy_from_slice(&index.to_be_bytes());
    key
}

pub(super) fn delta_key(number: u64, sequence: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..].copy_from_slice(&sequence.to_be_bytes());
    key
}

fn checksum(tag: Tag, key: &[u8], payload: &[u8]) -> u64 {
    let mut place = Vec::with_capacity(1 + key.len());
    place.push(tag as u8);
    place.extend_from_slice(key);
    xxh3_64_with_seed(payload, xxh3_64(&place))
}

fn bad(tag: Tag) -> Fault {
    let what = match tag {
        Tag::Meta => "a row about the store",
        Tag::Document => "the row of a document",
        Tag::Version => "the version of a document",
        Tag::Chunk => "a piece of a snapshot",
        Tag::Delta => "a delta",
        Tag::Layer => "a layer",
    };
    Fault::damaged(format!("{what} does not have the checksum it came with"))
}
