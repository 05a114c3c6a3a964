//! Reading everything, to know that it is there and right.
//!
//! What can a store lose without noticing? A row that nobody reads. So every row is read, decoded and applied, every
//! row is counted, and every page is checked, on a copy that only exists in memory (see [`Overlay`]).

use std::fs::File;
use std::path::Path;

use crdt_core::Head;
use redb::{ReadTransaction, ReadableTableMetadata};

use super::fault::Fault;
use super::overlay::Overlay;
use super::read;
use super::rows::{Limits, Rows, RowsError};
use super::table::{CHUNKS, DELTAS, LAYERS, VERSIONS};

/// The memory for pages while a file is checked.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// What a store holds, all of it found whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// How many documents.
    pub documents: u64,
    /// How many deltas beside their snapshots, coalesced ones counted once.
    pub deltas: u64,
    /// The bytes of the snapshots.
    pub snapshot_bytes: u64,
    /// The bytes of the deltas.
    pub delta_bytes: u64,
    /// The bytes of the file, free pages included; 0 if it is none.
    pub file_bytes: u64,
}

/// Checks a closed database file without changing it. Returns what it holds, and the rows for more questions.
pub(super) fn file(path: &Path) -> Result<(Verified, Rows), RowsError> {
    let file = File::open(path).map_err(Fault::Io)?;
    let file_bytes = file.metadata().map_err(Fault::Io)?.len();
    if file_bytes == 0 {
        return Err(Fault::damaged("the file is empty").into());
    }
    let limits = Limits { cache_bytes: CACHE_BYTES, tail_bytes_max: 0, check_bytes_max: u64::MAX };
    let rows = Rows::open(Overlay::keeping(file)?, limits)?;
    let verified = self::rows(&rows)?;
    Ok((Verified { file_bytes, ..verified }, rows))
}

/// Reads all that is durable.
pub(super) fn rows(rows: &Rows) -> Result<Verified, Fault> {
    rows.read(|transaction| {
        let totals = read::totals(transaction)?;
        let mut found = Verified::default();
        let (mut tail, mut layers, mut chunks, mut versions) = (0, 0, 0, 0);
        for name in read::names(transaction, totals)? {
            let row = read::row(transaction, &name)?;
            if row.number >= totals.next_number {
                return Err(Fault::damaged("a document has a number that was never given"));
            }
            found.documents += 1;
            tail += row.tail_end - row.tail_start;
            layers += row.layers.len() as u64;
            found.snapshot_bytes += row.snapshot_bytes;
            found.delta_bytes += row.delta_bytes();
            chunks += u64::from(row.chunks);
            versions += u64::from(row.has_version());
            let head = apply_all(read::whole(transaction, &row)?)?;
            if row.head.is_some_and(|noted| noted != head) {
                return Err(Fault::damaged("a document does not stand where its row says"));
            }
        }
        check_count(transaction, [tail, layers, chunks, versions])?;
        found.deltas = tail + layers;
        Ok(found)
    })
}

/// Puts a document together, and returns where it stands.
fn apply_all(whole: read::Whole) -> Result<Head, Fault> {
    let read::Whole { mut snapshot, deltas, version } = whole;
    for delta in &deltas {
        snapshot.apply(delta).map_err(|error| Fault::damaged(format!("a delta does not apply: {error}")))?;
    }
    if snapshot.version() == version {
        Ok(snapshot.head())
    } else {
        Err(Fault::damaged("a document ends at another version"))
    }
}

/// Checks that no table has a row that belongs to no document.
fn check_count(transaction: &ReadTransaction, expected: [u64; 4]) -> Result<(), Fault> {
    let found = [
        transaction.open_table(DELTAS)?.len()?,
        transaction.open_table(LAYERS)?.len()?,
        transaction.open_table(CHUNKS)?.len()?,
        transaction.open_table(VERSIONS)?.len()?,
    ];
    if found == expected { Ok(()) } else { Err(Fault::damaged("there are rows that belong to no document")) }
}
