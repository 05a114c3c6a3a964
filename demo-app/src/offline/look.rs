//! Looks beneath the carts: who the replica is, what its store holds, and which deltas it still keeps.

use std::collections::BTreeMap;
use std::path::Path;

use crdt_core::{Document, ReplicaId, Snapshot};
use crdt_store::{DiskStore, Store, Stored};
use serde::Serialize;

use crate::cart;
use crate::offline::folder::{self, FolderError, Open, Renewed};

/// What a folder holds. Serialises to the object that `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Under which id it writes.
    pub replica: ReplicaId,
    /// The ids before that one, oldest first: one for each time it was copied or restored.
    pub former: Vec<ReplicaId>,
    /// Why this opening took a new id, if it did.
    pub renewed: Option<String>,
    /// Its documents by name.
    pub documents: Vec<DocumentLine>,
    /// The bytes of the store's file, free pages included.
    pub file_bytes: u64,
}

/// What a store holds of one document.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentLine {
    /// Its name.
    pub cart: String,
    /// How many transactions of whom.
    pub version: BTreeMap<ReplicaId, u64>,
    /// The hash of its content: equal wherever the versions are equal.
    pub digest: String,
    /// The bytes of the last snapshot.
    pub snapshot_bytes: u64,
    /// How many deltas came after it, coalesced ones counted once.
    pub deltas: usize,
    /// Their bytes.
    pub delta_bytes: u64,
}

/// One delta that a store still holds. Serialises to an entry of the array that `--json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeltaLine {
    /// Whose transactions are in it, and which.
    pub dots: Vec<DotsLine>,
    /// How many transactions.
    pub transactions: u64,
    /// Its bytes.
    pub bytes: u64,
    /// What it touched when it came, sorted: items, `name`, or the path of anything else. Empty if nothing
    /// visible changed.
    pub touched: Vec<String>,
}

/// The transactions `from` to `to` of one replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DotsLine {
    /// Whose.
    pub replica: ReplicaId,
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

/// The log of one document. Serialises to the object that `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Log {
    /// The document.
    pub cart: String,
    /// How many transactions the last snapshot holds; their deltas are no longer kept one by one.
    pub in_snapshot: u128,
    /// The deltas since, in the order in which they were applied here.
    pub deltas: Vec<DeltaLine>,
}

/// Reads who a folder is and what it holds. O(bytes).
///
/// # Errors
/// [`FolderError`].
pub fn inspect(folder: &Path, notice: &mut dyn FnMut(Renewed)) -> Result<Inspection, FolderError> {
    let store = open(folder, notice)?;
    let mut documents = Vec::new();
    for name in store.documents().map_err(|error| FolderError::of_store(folder, error))? {
        documents.push(document_line(folder, &name, load(folder, &store, &name)?)?);
    }
    let identity = store.identity().clone();
    // An open file is larger than a closed one, for pages that may be needed.
    drop(store);
    Ok(Inspection {
        replica: identity.replica,
        former: identity.former,
        renewed: identity.renewed.map(|renewed| renewed.to_string()),
        documents,
        file_bytes: folder::file_bytes(folder)?,
    })
}

/// Reads the deltas of a cart that its store still holds. O(bytes of the document).
///
/// # Errors
/// [`FolderError`].
pub fn log(folder: &Path, cart: &str, notice: &mut dyn FnMut(Renewed)) -> Result<Log, FolderError> {
    let store = open(folder, notice)?;
    let Stored { snapshot, deltas, .. } = load(folder, &store, cart)?;
    let in_snapshot = snapshot.version().total();
    // Whoever reads is no writer: nothing is ever written under this id.
    let mut reader = Document::from_snapshot(ReplicaId::from_u128(0), snapshot);
    let mut lines = Vec::with_capacity(deltas.len());
    for delta in deltas {
        let changes = reader.apply(&delta).map_err(|error| FolderError::of_content(folder, error))?;
        let mut touched: Vec<String> = changes.iter().map(|change| place(&change.path)).collect();
        touched.sort();
        touched.dedup();
        let dots =
            delta.ranges().map(|range| DotsLine { replica: range.replica, from: range.after + 1, to: range.through });
        lines.push(DeltaLine {
            dots: dots.collect(),
            transactions: delta.len(),
            bytes: delta.to_bytes().len() as u64,
            touched,
        });
    }
    Ok(Log { cart: cart.to_owned(), in_snapshot, deltas: lines })
}

fn open(folder: &Path, notice: &mut dyn FnMut(Renewed)) -> Result<DiskStore, FolderError> {
    let Open { inner: store, renewed } = folder::open_store(folder)?;
    renewed.into_iter().for_each(notice);
    Ok(store)
}

/// Loads a document; one that nobody has written to is empty.
fn load(folder: &Path, store: &DiskStore, name: &str) -> Result<Stored, FolderError> {
    let stored = store.load(name).map_err(|error| FolderError::of_store(folder, error))?;
    let empty = || Stored { snapshot: Snapshot::empty(), deltas: Vec::new(), version: Default::default() };
    Ok(stored.unwrap_or_else(empty))
}

fn document_line(folder: &Path, name: &str, stored: Stored) -> Result<DocumentLine, FolderError> {
    let Stored { mut snapshot, deltas, version } = stored;
    let snapshot_bytes = if snapshot.version().is_empty() { 0 } else { snapshot.encode().len() as u64 };
    for delta in &deltas {
        snapshot.apply(delta).map_err(|error| FolderError::of_content(folder, error))?;
    }
    Ok(DocumentLine {
        cart: name.to_owned(),
        version: version.iter().collect(),
        digest: snapshot.digest().to_string(),
        snapshot_bytes,
        deltas: deltas.len(),
        delta_bytes: deltas.iter().map(|delta| delta.to_bytes().len() as u64).sum(),
    })
}

/// Names a place as a person would: by item, or `name`, or by its path.
fn place(path: &crdt_core::Path) -> String {
    match cart::item_at(path) {
        Some(item) => format!("items/{item}"),
        None if cart::is_name_at(path) => "name".to_owned(),
        None => path.to_string(),
    }
}
