//! Writing what is staged of a document, within the transaction of one sync.

use std::sync::Arc;

use crdt_core::{Delta, Snapshot, VersionVector};
use redb::{Table, WriteTransaction};

use super::fault::Fault;
use super::fold;
use super::row::{DocumentRow, FORMAT, FORMAT_KEY, IDENTITY_KEY, IdentityRow, TOTALS_KEY, Totals, VersionRow};
use super::table::{CHUNKS, DELTAS, DOCUMENTS, LAYERS, META, VERSIONS};
use super::table::{Tag, chunk_key, delta_key, seal, version_key};

/// The longest piece of a snapshot in one row: with key, checksum and the header of a page it fills 64 KiB, where
/// redb, whose pages are powers of two, would spend 128 KiB on a few bytes more.
const CHUNK_BYTES_MAX: usize = 64 * 1024 - 256;

/// The longest delta in a tail. A longer one has a page of redb to itself, and every short one that is put behind it
/// then gets one too, whose neighbour stands in the way: 4 KiB for fifty bytes. So it becomes a layer at once.
const TAIL_DELTA_BYTES_MAX: usize = 4096 - 64;

/// The tables of one transaction, open.
pub(super) struct Tables<'t> {
    meta: Table<'t, &'static [u8], &'static [u8]>,
    documents: Table<'t, &'static [u8], &'static [u8]>,
    versions: Table<'t, &'static [u8; 8], &'static [u8]>,
    chunks: Table<'t, &'static [u8; 20], &'static [u8]>,
    deltas: Table<'t, &'static [u8; 16], &'static [u8]>,
    layers: Table<'t, &'static [u8; 16], &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            documents: transaction.open_table(DOCUMENTS)?,
            versions: transaction.open_table(VERSIONS)?,
            chunks: transaction.open_table(CHUNKS)?,
            deltas: transaction.open_table(DELTAS)?,
            layers: transaction.open_table(LAYERS)?,
        })
    }

    pub(super) fn put_format(&mut self) -> Result<(), Fault> {
        self.put_meta(FORMAT_KEY, &FORMAT.to_le_bytes())
    }

    pub(super) fn put_identity(&mut self, identity: &IdentityRow) -> Result<(), Fault> {
        self.put_meta(IDENTITY_KEY, &identity.encode())
    }

    pub(super) fn put_totals(&mut self, totals: Totals) -> Result<(), Fault> {
        totals.check()?;
        self.put_meta(TOTALS_KEY, &totals.encode())
    }

    fn put_meta(&mut self, key: &[u8], payload: &[u8]) -> Result<(), Fault> {
        self.meta.insert(key, seal(Tag::Meta, key, payload).as_slice())?;
        Ok(())
    }

    pub(super) fn put_row(&mut self, name: &str, row: &DocumentRow) -> Result<(), Fault> {
        row.check()?;
        let key = name.as_bytes();
        self.documents.insert(key, seal(Tag::Document, key, &row.encode()).as_slice())?;
        Ok(())
    }

    fn put_version(&mut self, row: &DocumentRow, version: VersionVector) -> Result<(), Fault> {
        let key = version_key(row.number);
        let version = VersionRow { generation: row.generation, tail_start: row.tail_start, version };
        self.versions.insert(&key, seal(Tag::Version, &key, &version.encode()).as_slice())?;
        Ok(())
    }

    /// Puts a snapshot in the place of all that is held of a document.
    pub(super) fn replace(&mut self, row: &mut DocumentRow, snapshot: &Snapshot) -> Result<(), Fault> {
        let number = row.number;
        let chunks = chunk_key(number, 0, 0)..=chunk_key(number, u64::MAX, u32::MAX);
        self.chunks.retain_in::<&[u8; 20], _>(chunks.start()..=chunks.end(), |_, _| false)?;
        let deltas = delta_key(number, 0)..=delta_key(number, u64::MAX);
        self.deltas.retain_in::<&[u8; 16], _>(deltas.start()..=deltas.end(), |_, _| false)?;
        self.layers.retain_in::<&[u8; 16], _>(deltas.start()..=deltas.end(), |_, _| false)?;

        let bytes = snapshot.encode();
        row.generation += 1;
        row.snapshot_bytes = bytes.len() as u64;
        row.chunks = 0;
        for piece in bytes.chunks(CHUNK_BYTES_MAX) {
            let key = chunk_key(number, row.generation, row.chunks);
            self.chunks.insert(&key, seal(Tag::Chunk, &key, piece).as_slice())?;
            row.chunks += 1;
        }
        row.layers.clear();
        row.tail_start = row.tail_end;
        row.tail_bytes = 0;
        self.put_version(row, snapshot.version())
    }

    /// Puts deltas behind all that is held of a document, which then stands at `version`. Folds the tail into a
    /// layer if it, or a delta in it, has become too long, but not with what was there before the sequence `opened`.
    pub(super) fn append(
        &mut self,
        row: &mut DocumentRow,
        deltas: &[Arc<Delta>],
        version: &VersionVector,
        (tail_bytes_max, opened): (u64, u64),
    ) -> Result<(), Fault> {
        let encoded: Vec<Vec<u8>> = deltas.iter().map(|delta| delta.to_bytes()).collect();
        let added: u64 = encoded.iter().map(|bytes| bytes.len() as u64).sum();
        let is_long = encoded.iter().any(|bytes| bytes.len() > TAIL_DELTA_BYTES_MAX);
        if is_long || row.tail_bytes + added > tail_bytes_max {
            fold::fold(&mut self.deltas, &mut self.layers, row, (deltas, &encoded), opened)?;
            return self.put_version(row, version.clone());
        }
        for bytes in &encoded {
            let key = delta_key(row.number, row.tail_end);
            self.deltas.insert(&key, seal(Tag::Delta, &key, bytes).as_slice())?;
            row.tail_end += 1;
        }
        row.tail_bytes += added;
        Ok(())
    }
}
