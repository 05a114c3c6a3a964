//! A copy of a store that goes on being written, and a store made of such a copy.
//!
//! How does a copy show one moment, while writes go on? It is read in one transaction of redb, which keeps the pages
//! of that moment; they are freed when it ends. The copy is a database of its own with the same tables, marked as a
//! backup: what is made of it takes a new id, since the one it was taken from goes on under the old.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Key, ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition};

use super::base::Base;
use super::error::BackupError;
use super::fault::Fault;
use super::files;
use super::folder;
use super::read;
use super::row::IdentityRow;
use super::table::{CHUNKS, DELTAS, DOCUMENTS, LAYERS, Tag, VERSIONS, unseal};
use super::write::Tables;

const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// All that was durable at one moment. Cheap to take, and to keep: the store does not wait for it, but cannot reuse the
/// pages of that moment. Give it to another thread, and drop it when done.
pub struct Backup {
    transaction: ReadTransaction,
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backup").finish_non_exhaustive()
    }
}

impl Backup {
    pub(super) fn new(transaction: ReadTransaction) -> Self {
        Self { transaction }
    }

    /// Writes one file, which appears whole or not at all, and returns its length. O(bytes).
    ///
    /// # Errors
    /// [`BackupError`]; no file of that name was made.
    pub fn write_to(&self, file: impl AsRef<Path>) -> Result<u64, BackupError> {
        let path = file.as_ref();
        if path.try_exists()? {
            return Err(BackupError::Exists);
        }
        let temporary = temporary(path)?;
        let written = self.write_and_name(&temporary, path);
        if written.is_err() {
            // Best effort: the error that led here says more than another one would.
            let _ = files::remove_stale(&temporary);
        }
        Ok(written?)
    }

    fn write_and_name(&self, temporary: &Path, path: &Path) -> Result<u64, Fault> {
        let file = files::private().create_new(true).open(temporary)?;
        self.copy_into(file.try_clone()?)?;
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        files::publish_new(temporary, path)?;
        Ok(bytes)
    }

    fn copy_into(&self, file: File) -> Result<(), Fault> {
        let target = Base::open(FileBackend::new(file)?, CACHE_BYTES, 0)?;
        let source = &self.transaction;
        target.write(|transaction| {
            let mut tables = Tables::open(transaction)?;
            tables.put_format()?;
            tables.put_identity(&IdentityRow { is_backup: true, ..read::identity(source)? })?;
            tables.put_totals(read::totals(source)?)?;
            drop(tables);
            copy_table(source, DOCUMENTS, Tag::Document, &mut transaction.open_table(DOCUMENTS)?)?;
            copy_table(source, VERSIONS, Tag::Version, &mut transaction.open_table(VERSIONS)?)?;
            copy_table(source, CHUNKS, Tag::Chunk, &mut transaction.open_table(CHUNKS)?)?;
            copy_table(source, DELTAS, Tag::Delta, &mut transaction.open_table(DELTAS)?)?;
            copy_table(source, LAYERS, Tag::Layer, &mut transaction.open_table(LAYERS)?)
        })?;
        target.close()
    }
}

/// Copies a table, each value checked.
fn copy_table<K: Key + 'static>(
    source: &ReadTransaction,
    definition: TableDefinition<'_, K, &'static [u8]>,
    tag: Tag,
    target: &mut Table<'_, K, &'static [u8]>,
) -> Result<(), Fault> {
    let source = source.open_table(definition)?;
    for entry in source.iter()? {
        let (key, value) = entry?;
        unseal(tag, K::as_bytes(&key.value()).as_ref(), value.value())?;
        target.insert(key.value(), value.value())?;
    }
    if target.len()? == source.len()? { Ok(()) } else { Err(Fault::damaged("a table has not the rows it says")) }
}

/// Copies a backup to where a store is being made.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = files::private().create_new(true).open(to)?;
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}

/// Gives a name beside `path` that nobody else is writing to.
fn temporary(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{:016x}.tmp", u64::from_le_bytes(*folder::random()?.first_chunk().unwrap_or(&[0; 8]))));
    files::make_folder(&files::parent(path))?;
    Ok(path.with_file_name(name))
}
