//! Folding: many small deltas into few large ones, so that a checkpoint writes what has changed and not the document.
//!
//! How do the deltas of a document stay few without a snapshot at every turn? The tail is coalesced into a *layer*
//! once it is long, and a layer takes in the one before it while that is not much larger, as in a log-structured
//! merge: each byte is written anew about as often as the logarithm of what has gathered. Ten thousand overwrites of
//! one register end as one value. A layer stays small enough to be sent to a peer as one delta of the log.
//!
//! Nothing is coalesced across the moment at which the store was opened. If this is a copy, it was made there: the
//! state at which two histories under one id were still one can then be put together again.
//!
//! Source: O'Neil, Cheng, Gawlick, O'Neil, "The log-structured merge-tree" (1996); differs in: order is kept by
//! position, and merging is [`Delta::coalesce`].

use std::sync::Arc;

use crdt_core::Delta;
use redb::Table;

use super::fault::Fault;
use super::read;
use super::row::{DocumentRow, Layer};
use super::table::{Tag, delta_key, seal};

/// The longest layer that is made of more than one delta.
pub(super) const LAYER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Deltas that continue each other, coalesced.
struct Run {
    delta: Delta,
    /// The sequence of the last delta in it.
    sequence: u64,
    /// At most this long, encoded.
    bytes: u64,
}

/// A table of deltas: of the tail, or layers.
type Deltas<'t> = Table<'t, &'static [u8; 16], &'static [u8]>;

/// Folds the tail of a document, and `staged` behind it, which are deltas and their bytes, into layers; `opened` is the
/// sequence of the first delta since the store was opened.
pub(super) fn fold(
    deltas: &mut Deltas<'_>,
    layers: &mut Deltas<'_>,
    row: &mut DocumentRow,
    (staged, encoded): (&[Arc<Delta>], &[Vec<u8>]),
    opened: u64,
) -> Result<(), Fault> {
    let tail = read::tail(deltas, row)?;
    for held in &tail {
        deltas.remove(&delta_key(row.number, held.sequence))?;
    }
    let held = tail.into_iter().map(|held| Run { delta: held.delta, sequence: held.sequence, bytes: held.bytes });
    let staged = (row.tail_end..).zip(staged.iter().zip(encoded)).map(|(sequence, (delta, bytes))| Run {
        delta: Delta::clone(delta),
        sequence,
        bytes: bytes.len() as u64,
    });
    let runs = gather(held.chain(staged), opened);
    row.tail_end += encoded.len() as u64;
    row.tail_start = row.tail_end;
    row.tail_bytes = 0;
    for run in runs {
        add_layer(layers, row, run, opened)?;
    }
    Ok(())
}

/// Coalesces what continues each other, as far as the length of a layer allows.
fn gather(deltas: impl Iterator<Item = Run>, opened: u64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for next in deltas {
        if let Some(run) = runs.last_mut()
            && run.bytes + next.bytes <= LAYER_BYTES_MAX
            && (run.sequence < opened) == (next.sequence < opened)
            // A delta that began before what was held does not continue the one before it. Both stay.
            && run.delta.coalesce(&next.delta).is_ok()
        {
            run.sequence = next.sequence;
            run.bytes += next.bytes;
        } else {
            runs.push(next);
        }
    }
    runs
}

/// Writes a run as a layer, together with the layers before it that are not much longer.
fn add_layer(layers: &mut Deltas<'_>, row: &mut DocumentRow, run: Run, opened: u64) -> Result<(), Fault> {
    let Run { mut delta, sequence, .. } = run;
    let mut bytes = delta.to_bytes();
    while let Some(last) = row.layers.last().copied() {
        let length = bytes.len() as u64;
        let is_apart = (last.sequence < opened) != (sequence < opened);
        if is_apart || last.bytes > 2 * length || last.bytes + length > LAYER_BYTES_MAX {
            break;
        }
        let key = delta_key(row.number, last.sequence);
        let mut before = read::layer(layers, &key)?;
        if before.coalesce(&delta).is_err() {
            break;
        }
        layers.remove(&key)?;
        row.layers.pop();
        bytes = before.to_bytes();
        delta = before;
    }
    let key = delta_key(row.number, sequence);
    layers.insert(&key, seal(Tag::Layer, &key, &bytes).as_slice())?;
    row.layers.push(Layer { sequence, bytes: bytes.len() as u64 });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{DiskOptions, DiskStore};
    use crate::store::Store;
    use crdt_core::{Document, ReplicaId, Snapshot};
    use redb::backends::InMemoryBackend;

    const A: ReplicaId = ReplicaId::from_u128(1);
    const TAIL_BYTES_MAX: u64 = 4096;

    fn new_store() -> DiskStore {
        let tail_bytes_max = TAIL_BYTES_MAX as usize;
        let options = DiskOptions { replica: Some(A), tail_bytes_max, ..DiskOptions::default() };
        DiskStore::open_on(InMemoryBackend::new(), options).expect("opens")
    }

    fn row(store: &DiskStore) -> DocumentRow {
        store.rows.read(|transaction| read::row(transaction, "d")).expect("reads")
    }

    fn loaded(store: &DiskStore) -> Snapshot {
        let stored = store.load("d").expect("reads").expect("is there");
        stored.deltas.iter().fold(stored.snapshot, |mut snapshot, delta| {
            snapshot.apply(delta).expect("in order");
            snapshot
        })
    }

    fn write(store: &mut DiskStore, document: &mut Document, key: &str, value: &str) {
        let mut edit = document.transact(1);
        edit.register(key).set(value).expect("short");
        let delta = edit.commit().expect("a change was made").delta;
        let _ = store.append("d", &Arc::new(delta)).expect("continues");
    }

    #[test]
    fn layers_stay_as_few_as_the_logarithm_of_what_they_hold() {
        let (mut store, mut document) = (new_store(), Document::new(A));
        for value in 0..20_000 {
            write(&mut store, &mut document, &format!("key {value}"), "some value");
            if value % 20 == 0 {
                store.sync().expect("takes it");
                let row = row(&store);
                let folds = row.delta_bytes() / TAIL_BYTES_MAX + 2;
                assert!(row.layers.len() as u32 <= 2 + folds.ilog2(), "{row:?}");
                assert!(row.tail_bytes <= TAIL_BYTES_MAX);
            }
        }
        store.sync().expect("takes it");
        assert!(row(&store).delta_bytes() > 500_000);
        assert!(loaded(&store) == document.snapshot());
    }

    #[test]
    fn overwrites_of_one_register_end_as_one_small_layer() {
        let (mut store, mut document) = (new_store(), Document::new(A));
        for value in 0..10_000 {
            write(&mut store, &mut document, "key", &format!("value {value}"));
            if value % 50 == 0 {
                store.sync().expect("takes it");
            }
        }
        store.sync().expect("takes it");
        let row = row(&store);
        assert!(row.layers.len() <= 2 && row.delta_bytes() < 2 * TAIL_BYTES_MAX, "{row:?}");
        assert!(loaded(&store) == document.snapshot());
    }

    #[test]
    fn a_layer_ends_before_it_is_too_long_to_be_one_delta() {
        let (mut store, mut document) = (new_store(), Document::new(A));
        let value = "x".repeat(1_000_000);
        for key in 0..10 {
            write(&mut store, &mut document, &format!("key {key}"), &value);
        }
        store.sync().expect("takes it");
        let row = row(&store);
        assert!(row.layers.len() >= 3 && row.layers.iter().all(|layer| layer.bytes <= LAYER_BYTES_MAX), "{row:?}");
        assert!(loaded(&store) == document.snapshot());
    }
}
