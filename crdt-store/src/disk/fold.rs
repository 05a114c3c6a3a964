//! Folding: many small deltas into few large ones, so that a checkpoint writes what has changed and not the document.
//!
//! How do the deltas of a document stay few without a snapshot at every turn? The tail is coalesced into a *layer*
//! once it is long, and a layer takes in the one before it while that is not much larger, as in a log-structured
//! merge: each byte is written anew about as often as the logarithm of what has gathered. Ten thousand overwrites of
//! one register end as one value. A layer stays small enough to be sent to a peer as one delta of the log.
//!
//! Source: O'Neil, Cheng, Gawlick, O'Neil, "The log-structured merge-tree" (1996); differs in: order is kept by
//! position, and merging is [`Delta::coalesce`].

use std::sync::Arc;

use crdt_core::Delta;
use redb::Table;

use super::fault::Fault;
use super::read;
use super::row::{DocumentRow, Layer};
use super::table::delta_key;
use super::write::put_delta;

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

/// Folds the tail of a document, and `staged` behind it, into layers.
pub(super) fn fold(
    table: &mut Table<'_, &'static [u8; 16], &'static [u8]>,
    row: &mut DocumentRow,
    staged: &[Arc<Delta>],
    encoded: &[Vec<u8>],
) -> Result<(), Fault> {
    let tail = read::deltas(table, row.number, row.tail_start, row.tail_start..row.tail_end)?;
    for held in &tail {
        table.remove(&delta_key(row.number, held.sequence))?;
    }
    let held = tail.into_iter().map(|held| Run { delta: held.delta, sequence: held.sequence, bytes: held.bytes });
    let staged = (row.tail_end..).zip(staged.iter().zip(encoded)).map(|(sequence, (delta, bytes))| Run {
        delta: Delta::clone(delta),
        sequence,
        bytes: bytes.len() as u64,
    });
    let runs = gather(held.chain(staged));
    row.tail_end += encoded.len() as u64;
    row.tail_start = row.tail_end;
    row.tail_bytes = 0;
    for run in runs {
        add_layer(table, row, run)?;
    }
    Ok(())
}

/// Coalesces what continues each other, as far as the length of a layer allows.
fn gather(deltas: impl Iterator<Item = Run>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for next in deltas {
        if let Some(run) = runs.last_mut()
            && run.bytes + next.bytes <= LAYER_BYTES_MAX
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
fn add_layer(
    table: &mut Table<'_, &'static [u8; 16], &'static [u8]>,
    row: &mut DocumentRow,
    run: Run,
) -> Result<(), Fault> {
    let Run { mut delta, sequence, .. } = run;
    let mut bytes = delta.to_bytes();
    while let Some(last) = row.layers.last().copied() {
        let length = bytes.len() as u64;
        if last.bytes > 2 * length || last.bytes + length > LAYER_BYTES_MAX {
            break;
        }
        let key = delta_key(row.number, last.sequence);
        let mut before = read::delta(table, &key)?;
        if before.coalesce(&delta).is_err() {
            break;
        }
        table.remove(&key)?;
        row.layers.pop();
        bytes = before.to_bytes();
        delta = before;
    }
    put_delta(table, row.number, sequence, &bytes)?;
    row.layers.push(Layer { sequence, bytes: bytes.len() as u64 });
    Ok(())
}
