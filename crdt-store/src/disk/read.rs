//! Reading a document: its row, its version, its snapshot and its deltas, all of them or an error.
//!
//! What is expected stands in the row of the document; what is found must be exactly that.

use std::collections::BTreeMap;
use std::sync::Arc;

use crdt_core::{Delta, Head, Snapshot, VersionVector};
use redb::{ReadTransaction, ReadableTable};

use super::fault::Fault;
use super::row::{DocumentRow, IdentityRow, Totals, VersionRow};
use super::row::{FORMAT_KEY, IDENTITY_KEY, TOTALS_KEY};
use super::table::{CHECKSUM_BYTES, Tag, chunk_key, delta_key, unseal, version_key};
use super::table::{CHUNKS, DELTAS, DOCUMENTS, LAYERS, META, VERSIONS};

/// A delta as it stands in a table.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) sequence: u64,
    pub(super) bytes: u64,
    pub(super) delta: Delta,
}

/// Everything durable of one document.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) snapshot: Snapshot,
    pub(super) deltas: Vec<Arc<Delta>>,
    pub(super) version: VersionVector,
}

impl Whole {
    /// What is held of a document of which nothing is durable.
    pub(super) fn empty() -> Self {
        Self { snapshot: Snapshot::empty(), deltas: Vec::new(), version: VersionVector::new() }
    }
}

/// Reads one of the rows about the store.
fn meta<T>(
    transaction: &ReadTransaction,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let table = transaction.open_table(META)?;
    let value = table.get(key)?.ok_or_else(|| Fault::damaged("a row about the store is missing"))?;
    decode(unseal(Tag::Meta, key, value.value())?)
}

/// Reads the version of the format.
pub(super) fn format(transaction: &ReadTransaction) -> Result<u32, Fault> {
    meta(transaction, FORMAT_KEY, |bytes| {
        let bytes = bytes.try_into().map_err(|_| Fault::damaged("the version of the format has not four bytes"))?;
        Ok(u32::from_le_bytes(bytes))
    })
}

pub(super) fn identity(transaction: &ReadTransaction) -> Result<IdentityRow, Fault> {
    meta(transaction, IDENTITY_KEY, IdentityRow::decode)
}

pub(super) fn totals(transaction: &ReadTransaction) -> Result<Totals, Fault> {
    meta(transaction, TOTALS_KEY, Totals::decode)
}

/// Lists the documents, and checks that all are there.
pub(super) fn names(transaction: &ReadTransaction, totals: Totals) -> Result<Vec<Arc<str>>, Fault> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for entry in transaction.open_table(DOCUMENTS)?.iter()? {
        let (key, value) = entry?;
        let name = key.value();
        unseal(Tag::Document, name, value.value())?;
        let name = std::str::from_utf8(name).map_err(|_| Fault::damaged("the name of a document is not UTF-8"))?;
        names.push(name.into());
    }
    if names.len() as u64 != totals.documents || !names.is_sorted() {
        let found = names.len();
        return Err(Fault::damaged(format!("{found} documents are found where {} are expected", totals.documents)));
    }
    Ok(names)
}

/// Lists the heads that are noted.
pub(super) fn heads(transaction: &ReadTransaction) -> Result<BTreeMap<Arc<str>, Head>, Fault> {
    let mut heads = BTreeMap::new();
    for entry in transaction.open_table(DOCUMENTS)?.iter()? {
        let (key, value) = entry?;
        let name = key.value();
        let row = DocumentRow::decode(unseal(Tag::Document, name, value.value())?)?;
        let name = std::str::from_utf8(name).map_err(|_| Fault::damaged("the name of a document is not UTF-8"))?;
        heads.extend(row.head.map(|head| (name.into(), head)));
    }
    Ok(heads)
}

/// Reads the row of a document that is known to be there.
pub(super) fn row(transaction: &ReadTransaction, name: &str) -> Result<DocumentRow, Fault> {
    let table = transaction.open_table(DOCUMENTS)?;
    let value = table.get(name.as_bytes())?.ok_or_else(|| Fault::damaged("the row of a document is missing"))?;
    DocumentRow::decode(unseal(Tag::Document, name.as_bytes(), value.value())?)
}

/// Reads where a document stands after its snapshot and layers.
fn folded_version(transaction: &ReadTransaction, row: &DocumentRow) -> Result<VersionVector, Fault> {
    if !row.has_version() {
        return Ok(VersionVector::new());
    }
    let key = version_key(row.number);
    let table = transaction.open_table(VERSIONS)?;
    let value = table.get(&key)?.ok_or_else(|| Fault::damaged("the version of a document is missing"))?;
    let found = VersionRow::decode(unseal(Tag::Version, &key, value.value())?)?;
    if (found.generation, found.tail_start) != (row.generation, row.tail_start) {
        return Err(Fault::damaged("the version of a document is that of another snapshot"));
    }
    Ok(found.version)
}

/// Reads where a document stands, without its snapshot. O(bytes of the tail).
pub(super) fn version(transaction: &ReadTransaction, row: &DocumentRow) -> Result<VersionVector, Fault> {
    let mut version = folded_version(transaction, row)?;
    for held in tail(&transaction.open_table(DELTAS)?, row)? {
        held.delta.advance(&mut version);
    }
    Ok(version)
}

/// Reads a snapshot and all deltas, and checks that they make up the version. O(bytes).
pub(super) fn whole(transaction: &ReadTransaction, row: &DocumentRow) -> Result<Whole, Fault> {
    let snapshot = snapshot(transaction, row)?;
    let layers = layers(&transaction.open_table(LAYERS)?, row)?;
    let tail = tail(&transaction.open_table(DELTAS)?, row)?;
    let layers_fit = layers.iter().zip(&row.layers).all(|(held, layer)| held.bytes == layer.bytes);
    if !layers_fit || tail.iter().map(|held| held.bytes).sum::<u64>() != row.tail_bytes {
        return Err(Fault::damaged("the deltas of a document are not as long as its row says"));
    }
    let mut version = snapshot.version();
    layers.iter().for_each(|held| held.delta.advance(&mut version));
    if version != folded_version(transaction, row)? {
        return Err(Fault::damaged("the snapshot and the layers of a document do not make up its version"));
    }
    tail.iter().for_each(|held| held.delta.advance(&mut version));
    if row.head.as_ref().is_some_and(|head| head.version() != version) {
        return Err(Fault::damaged("a document does not stand where its row says"));
    }
    let deltas = layers.into_iter().chain(tail).map(|held| Arc::new(held.delta)).collect();
    Ok(Whole { snapshot, deltas, version })
}

fn snapshot(transaction: &ReadTransaction, row: &DocumentRow) -> Result<Snapshot, Fault> {
    if row.generation == 0 {
        return Ok(Snapshot::empty());
    }
    let table = transaction.open_table(CHUNKS)?;
    let mut bytes = Vec::new();
    for index in 0..row.chunks {
        let key = chunk_key(row.number, row.generation, index);
        let value = table.get(&key)?.ok_or_else(|| Fault::damaged("a piece of a snapshot is missing"))?;
        bytes.extend_from_slice(unseal(Tag::Chunk, &key, value.value())?);
    }
    if bytes.len() as u64 != row.snapshot_bytes {
        return Err(Fault::damaged("a snapshot is not as long as its row says"));
    }
    Snapshot::decode(&bytes).map_err(|error| Fault::decode("a snapshot", error))
}

/// Reads the tail of a document.
pub(super) fn tail(
    table: &impl ReadableTable<&'static [u8; 16], &'static [u8]>,
    row: &DocumentRow,
) -> Result<Vec<Held>, Fault> {
    held(table, Tag::Delta, row.number, row.tail())
}

fn layers(table: &impl ReadableTable<&'static [u8; 16], &'static [u8]>, row: &DocumentRow) -> Result<Vec<Held>, Fault> {
    held(table, Tag::Layer, row.number, row.layers.iter().map(|layer| layer.sequence))
}

/// Reads what a table holds of a document, which must be exactly what is expected.
fn held(
    table: &impl ReadableTable<&'static [u8; 16], &'static [u8]>,
    tag: Tag,
    number: u64,
    mut expected: impl Iterator<Item = u64>,
) -> Result<Vec<Held>, Fault> {
    let missing = || Fault::damaged("a delta is missing, or one is there that should not be");
    let mut found = Vec::new();
    let range = delta_key(number, 0)..=delta_key(number, u64::MAX);
    for entry in table.range::<&[u8; 16]>(&range.start()..=&range.end())? {
        let (key, value) = entry?;
        let sequence = expected.next().ok_or_else(missing)?;
        if *key.value() != delta_key(number, sequence) {
            return Err(missing());
        }
        let payload = unseal(tag, key.value(), value.value())?;
        let delta = Delta::decode(payload).map_err(|error| Fault::decode("a delta", error))?;
        found.push(Held { sequence, bytes: (value.value().len() - CHECKSUM_BYTES) as u64, delta });
    }
    if expected.next().is_some() { Err(missing()) } else { Ok(found) }
}

/// Reads one layer that must be there.
pub(super) fn layer(
    table: &impl ReadableTable<&'static [u8; 16], &'static [u8]>,
    key: &[u8; 16],
) -> Result<Delta, Fault> {
    let value = table.get(key)?.ok_or_else(|| Fault::damaged("a layer is missing"))?;
    let payload = unseal(Tag::Layer, key, value.value())?;
    Delta::decode(payload).map_err(|error| Fault::decode("a layer", error))
}
