//! Stores from the outside: what each promises, on whatever it stands, and what becomes of it when that fails.

mod disk;

mod backup;
mod damage;
mod laws;
mod many;
mod upgrade;
mod written;

use std::sync::Arc;

use crdt_core::{Delta, Document, Snapshot};
use crdt_store::Stored;

/// Commits a small change, of which some are to one register.
fn edit(document: &mut Document, value: i64) -> Arc<Delta> {
    let mut edit = document.transact(1);
    edit.counter("n").add(value).expect("far from overflow");
    edit.register(&format!("r{}", value % 40)).set(format!("value {value}")).expect("short");
    Arc::new(edit.commit().expect("a change was made").delta)
}

/// Puts together what is stored.
fn folded(stored: Stored) -> Snapshot {
    let mut snapshot = stored.snapshot;
    stored.deltas.iter().for_each(|delta| snapshot.apply(delta).expect("what is read applies"));
    assert_eq!(snapshot.version(), stored.version);
    snapshot
}
