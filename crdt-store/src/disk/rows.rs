//! The documents of a store, on whatever the database lies: what is staged, and what is durable.
//!
//! How does a document that has vanished differ from one that never was? The names are read once, on opening, and
//! counted against the totals. From then on a name that is known and a row that is not there are damage.
//!
//! Memory: the names, and for up to [`TOUCHED_MAX`] documents written since they were last let go their row and
//! version; never a snapshot or a durable delta. Where the opening was in a document stays with its name, since nothing
//! may be coalesced across it however long ago that document was let go.

use std::collections::BTreeMap;
use std::sync::Arc;

use crdt_core::{Delta, Head, ReplicaId, Snapshot, VersionVector};
use redb::{ReadTransaction, StorageBackend};

use super::base::Base;
use super::fault::Fault;
use super::overlay::Overlay;
use super::read;
use super::row::{DocumentRow, FORMAT, IdentityRow, Totals};
use super::witness::Witness;
use super::write::Tables;
use crate::store::{Checkpoint, Listed, StoreError, Stored};

/// How many documents are remembered with their row and version after a sync.
const TOUCHED_MAX: usize = 4096;

/// No checkpoint is due before deltas of this many bytes, however small the snapshot.
const DELTA_BYTES_MIN: u64 = 1024 * 1024;

/// The documents, durable and staged.
#[derive(Debug)]
pub(super) struct Rows {
    base: Base,
    identity: IdentityRow,
    totals: Totals,
    /// The durable documents, and where each was first touched in this opening: see [`Touched::opened`].
    names: BTreeMap<Arc<str>, Option<u64>>,
    /// Documents written to, until they are let go.
    touched: BTreeMap<Arc<str>, Touched>,
    tail_bytes_max: u64,
    /// Told of each commit, where the store has a folder.
    witness: Option<Witness>,
}

/// What is known of a document without reading it again.
#[derive(Debug)]
struct Touched {
    /// As it is in the table, but for its head, which is that of what is staged.
    row: DocumentRow,
    /// The sequence of the first delta since the store was opened.
    opened: u64,
    /// What is noted in the row is not durable yet.
    has_note: bool,
    /// Staged deltas included.
    version: VersionVector,
    /// Takes the place of what is durable, and of its deltas.
    snapshot: Option<Snapshot>,
    /// Not durable yet, in order.
    deltas: Vec<Arc<Delta>>,
    staged_bytes: u64,
}

/// What an opening keeps to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) cache_bytes: usize,
    pub(super) tail_bytes_max: u64,
    pub(super) check_bytes_max: u64,
}

/// Why rows cannot be opened.
#[derive(Debug)]
pub(super) enum RowsError {
    FormatTooNew(u32),
    FormatTooOld(u32),
    Fault(Fault),
}

impl From<Fault> for RowsError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Rows {
    /// Makes the tables of a new store in an empty database.
    pub(super) fn create(backend: impl StorageBackend, limits: Limits, identity: IdentityRow) -> Result<Self, Fault> {
        let base = Base::open(backend, limits.cache_bytes, 0)?;
        let totals = Totals { commits: 1, ..Totals::default() };
        base.write(|transaction| {
            let mut tables = Tables::open(transaction)?;
            tables.put_format()?;
            tables.put_identity(&identity)?;
            tables.put_totals(totals)
        })?;
        let (names, touched) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { base, identity, totals, names, touched, tail_bytes_max: limits.tail_bytes_max, witness: None })
    }

    /// Opens the tables of a store. O(documents): their names are read, nothing else.
    ///
    /// What redb writes on opening is released when all that is read here is right: a store of another format, or
    /// one that is seen to be damaged, stays as it is.
    pub(super) fn open(overlay: Overlay, limits: Limits) -> Result<Self, RowsError> {
        let base = Base::open(overlay.clone(), limits.cache_bytes, limits.check_bytes_max)?;
        check_format(base.read(read::format)?).inspect_err(|_| {
            // Whoever cannot read a file does not close it either, as redb would by writing to it.
            base.fail(&Fault::damaged("the format is another"));
        })?;
        let (identity, totals, names) = base.read(|transaction| {
            let totals = read::totals(transaction)?;
            Ok((read::identity(transaction)?, totals, read::names(transaction, totals)?))
        })?;
        overlay.release().map_err(Fault::from).inspect_err(|fault| base.fail(fault))?;
        let names = names.into_iter().map(|name| (name, None)).collect();
        Ok(Self {
            base,
            identity,
            totals,
            names,
            touched: BTreeMap::new(),
            tail_bytes_max: limits.tail_bytes_max,
            witness: None,
        })
    }

    pub(super) fn identity(&self) -> &IdentityRow {
        &self.identity
    }

    pub(super) fn commits(&self) -> u64 {
        self.totals.commits
    }

    pub(super) fn attach(&mut self, witness: Witness) {
        self.witness = Some(witness);
    }

    /// Makes another identity durable.
    pub(super) fn set_identity(&mut self, identity: IdentityRow) -> Result<(), Fault> {
        let totals = Totals { commits: self.totals.commits + 1, ..self.totals };
        self.base.write(|transaction| {
            let mut tables = Tables::open(transaction)?;
            tables.put_identity(&identity)?;
            tables.put_totals(totals)
        })?;
        self.identity = identity;
        self.totals = totals;
        self.tell_witness()
    }

    pub(super) fn names(&self) -> Result<Vec<Arc<str>>, Fault> {
        if self.base.has_failed() {
            return Err(Fault::Poisoned);
        }
        let new = self.touched.keys().filter(|name| !self.names.contains_key(*name));
        let mut names: Vec<Arc<str>> = self.names.keys().chain(new).cloned().collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn heads(&self) -> Result<Vec<Listed>, Fault> {
        let mut heads = self.base.read(read::heads)?;
        let head = |name: &Arc<str>| match self.touched.get(name) {
            Some(touched) => touched.row.head.clone(),
            None => heads.remove(name),
        };
        let names = self.names()?;
        Ok(names.iter().cloned().zip(names.iter().map(head)).collect())
    }

    pub(super) fn note_head(&mut self, name: &str, head: &Head) -> Result<(), Fault> {
        if self.base.has_failed() {
            return Err(Fault::Poisoned);
        }
        let noted = match self.touched.get(name) {
            Some(touched) => touched.row.head.clone(),
            None if self.names.contains_key(name) => self.base.read(|transaction| read::row(transaction, name))?.head,
            None => return Ok(()),
        };
        if noted.as_ref() != Some(head) {
            let touched = self.touch(name)?;
            touched.row.head = Some(head.clone());
            touched.has_note = true;
        }
        Ok(())
    }

    pub(super) fn note_settled(&mut self, name: &str, replica: ReplicaId) -> Result<(), Fault> {
        if self.base.has_failed() {
            return Err(Fault::Poisoned);
        }
        if self.touched.contains_key(name) || self.names.contains_key(name) {
            let touched = self.touch(name)?;
            if !touched.row.settled.contains(&replica) {
                touched.row.settled.push(replica);
                touched.has_note = true;
            }
        }
        Ok(())
    }

    pub(super) fn settled(&self) -> Result<Vec<(Arc<str>, ReplicaId)>, Fault> {
        let mut settled = Vec::new();
        if self.identity.disputed.is_empty() {
            return Ok(settled);
        }
        for name in self.names()? {
            let replicas = match self.touched.get(&name) {
                Some(touched) => touched.row.settled.clone(),
                None => self.base.read(|transaction| read::row(transaction, &name))?.settled,
            };
            settled.extend(replicas.into_iter().map(|replica| (Arc::clone(&name), replica)));
        }
        Ok(settled)
    }

    pub(super) fn load(&self, name: &str) -> Result<Option<Stored>, Fault> {
        let touched = self.touched.get(name);
        if let Some(Touched { snapshot: Some(snapshot), deltas, version, .. }) = touched {
            let (snapshot, deltas, version) = (snapshot.clone(), deltas.clone(), version.clone());
            return if self.base.has_failed() {
                Err(Fault::Poisoned)
            } else {
                Ok(Some(Stored { snapshot, deltas, version }))
            };
        }
        let is_durable = self.names.contains_key(name);
        if !is_durable && touched.is_none() {
            return if self.base.has_failed() { Err(Fault::Poisoned) } else { Ok(None) };
        }
        let whole = self.base.read(|transaction| match is_durable {
            true => read::whole(transaction, &read::row(transaction, name)?),
            false => Ok(read::Whole::empty()),
        })?;
        let read::Whole { snapshot, mut deltas, mut version } = whole;
        if let Some(touched) = touched {
            deltas.extend(touched.deltas.iter().cloned());
            version = touched.version.clone();
        }
        Ok(Some(Stored { snapshot, deltas, version }))
    }

    pub(super) fn append(&mut self, name: &str, delta: &Arc<Delta>) -> Result<Checkpoint, StoreError> {
        if self.base.has_failed() {
            return Err(StoreError::Poisoned);
        }
        if self.touched.contains_key(name) || self.names.contains_key(name) {
            return self.touch(name).map_err(Fault::into_store_error)?.append(delta);
        }
        let mut touched = Touched::new();
        let checkpoint = touched.append(delta)?;
        self.touched.insert(name.into(), touched);
        Ok(checkpoint)
    }

    pub(super) fn replace(&mut self, name: &str, snapshot: Snapshot) -> Result<(), Fault> {
        if self.base.has_failed() {
            return Err(Fault::Poisoned);
        }
        let touched = self.touch(name)?;
        touched.version = snapshot.version();
        touched.row.head = Some(snapshot.head());
        touched.snapshot = Some(snapshot);
        touched.deltas.clear();
        touched.staged_bytes = 0;
        Ok(())
    }

    /// Makes everything staged durable in one commit.
    pub(super) fn sync(&mut self) -> Result<(), Fault> {
        if self.base.has_failed() {
            return Err(Fault::Poisoned);
        }
        if !self.touched.values().any(Touched::is_staged) {
            return Ok(());
        }
        let mut totals = Totals { commits: self.totals.commits + 1, ..self.totals };
        let staged = self.touched.iter_mut().filter(|(_, touched)| touched.is_staged());
        let (names, tail_bytes_max) = (&self.names, self.tail_bytes_max);
        self.base.write(|transaction| {
            let mut tables = Tables::open(transaction)?;
            for (name, touched) in staged {
                if !names.contains_key(name) {
                    touched.row.number = totals.next_number;
                    totals.next_number += 1;
                    totals.documents += 1;
                }
                touched.write(&mut tables, name, tail_bytes_max)?;
            }
            tables.put_totals(totals)
        })?;
        self.totals = totals;
        self.tell_witness()?;
        self.names.extend(self.touched.iter().map(|(name, touched)| (Arc::clone(name), Some(touched.opened))));
        if self.touched.len() > TOUCHED_MAX {
            self.touched.clear();
        }
        Ok(())
    }

    pub(super) fn close(self) -> Result<(), Fault> {
        self.base.close()
    }

    pub(super) fn compact(&mut self) -> Result<bool, Fault> {
        self.base.compact()
    }

    pub(super) fn reader(&self) -> Result<ReadTransaction, Fault> {
        self.base.reader()
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, Fault>) -> Result<T, Fault> {
        self.base.read(read)
    }

    /// Ends the store, for a fault that was found elsewhere.
    pub(super) fn fail(&self, fault: Fault) -> Fault {
        self.base.fail(&fault);
        fault
    }

    fn touch(&mut self, name: &str) -> Result<&mut Touched, Fault> {
        if !self.touched.contains_key(name) {
            let touched = match self.names.get(name) {
                Some(opened) => self.base.read(|transaction| {
                    let row = read::row(transaction, name)?;
                    let version = read::version(transaction, &row)?;
                    Ok(Touched { opened: opened.unwrap_or(row.tail_end), row, version, ..Touched::new() })
                })?,
                None => Touched::new(),
            };
            self.touched.insert(name.into(), touched);
        }
        self.touched.get_mut(name).ok_or_else(|| Fault::damaged("a document is lost that was just put there"))
    }

    /// Notes the commit beside the store. Not synced: after a loss of power the note may be older than the store,
    /// never newer, and after a mere kill it is exact.
    fn tell_witness(&mut self) -> Result<(), Fault> {
        match &mut self.witness {
            Some(witness) => {
                witness.note_commits(self.totals.commits).map_err(Fault::Io).inspect_err(|fault| self.base.fail(fault))
            }
            None => Ok(()),
        }
    }
}

fn check_format(found: u32) -> Result<(), RowsError> {
    match found {
        FORMAT => Ok(()),
        0 => Err(Fault::damaged("the format is 0, which there never was").into()),
        1..FORMAT => Err(RowsError::FormatTooOld(found)),
        _ => Err(RowsError::FormatTooNew(found)),
    }
}

impl Touched {
    /// Begins a document of which nothing is durable.
    fn new() -> Self {
        Self {
            row: DocumentRow::default(),
            opened: 0,
            has_note: false,
            version: VersionVector::new(),
            snapshot: None,
            deltas: Vec::new(),
            staged_bytes: 0,
        }
    }

    fn is_staged(&self) -> bool {
        self.snapshot.is_some() || !self.deltas.is_empty() || self.has_note
    }

    fn append(&mut self, delta: &Arc<Delta>) -> Result<Checkpoint, StoreError> {
        StoreError::check_continues(&self.version, delta)?;
        delta.advance(&mut self.version);
        self.row.head = None;
        self.staged_bytes += delta.size_hint() as u64;
        self.deltas.push(Arc::clone(delta));
        let durable = if self.snapshot.is_some() { (0, 0) } else { (self.row.snapshot_bytes, self.row.delta_bytes()) };
        let (snapshot_bytes, delta_bytes) = (durable.0, durable.1 + self.staged_bytes);
        let is_due = delta_bytes > snapshot_bytes.max(DELTA_BYTES_MIN);
        Ok(if is_due { Checkpoint::Due } else { Checkpoint::NotDue })
    }

    /// Writes what is staged; the row is then as it is in the table.
    fn write(&mut self, tables: &mut Tables<'_>, name: &str, tail_bytes_max: u64) -> Result<(), Fault> {
        if let Some(snapshot) = self.snapshot.take() {
            tables.replace(&mut self.row, &snapshot)?;
        }
        let deltas = std::mem::take(&mut self.deltas);
        self.staged_bytes = 0;
        self.has_note = false;
        if !deltas.is_empty() {
            tables.append(&mut self.row, &deltas, &self.version, (tail_bytes_max, self.opened))?;
        }
        tables.put_row(name, &self.row)
    }
}
