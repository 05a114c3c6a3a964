//! What the benchmarks share: documents of a given size, and how figures are told.
//!
//! Elements are 12-byte keys, as in the figures of other libraries that ours are compared with.

pub mod growth;
pub mod loopback;
pub mod pair;
pub mod program;
pub mod report;

use std::error::Error;

use crdt_core::{Delta, Document, ReplicaId};

/// The wall clock of every benchmark stands still.
pub const WALL_MS: u64 = 1_700_000_000_000;

/// Why there are no figures: something failed, or a result was wrong.
pub type Failed = Box<dyn Error + Send + Sync>;

/// Fails unless a result is right.
///
/// # Errors
/// What is wrong.
pub fn ensure(is_right: bool, what: impl FnOnce() -> String) -> Result<(), Failed> {
    if is_right { Ok(()) } else { Err(what().into()) }
}

/// Starts what replicas run on: as many threads as there are cores.
///
/// # Errors
/// Whatever the system says.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Makes the id of the n-th replica.
#[must_use]
pub const fn replica(number: u128) -> ReplicaId {
    ReplicaId::from_u128(number)
}

/// Makes the 12-byte key of an element.
#[must_use]
pub fn key(number: usize) -> String {
    format!("k{number:011}")
}

/// Makes a document whose set "s" holds the keys of `numbers`, a thousand to a transaction.
///
/// # Panics
/// If the document refuses them.
#[must_use]
pub fn set_document(writer: u128, numbers: std::ops::Range<usize>) -> Document {
    let mut document = Document::new(replica(writer));
    insert(&mut document, numbers);
    document
}

/// Inserts the keys of `numbers` into the set "s", a thousand to a transaction.
///
/// # Panics
/// If the document refuses them.
pub fn insert(document: &mut Document, numbers: std::ops::Range<usize>) {
    for chunk in numbers.clone().step_by(1_000) {
        let mut transaction = document.transact(WALL_MS);
        for number in chunk..(chunk + 1_000).min(numbers.end) {
            transaction.set("s").insert(key(number)).expect("within all limits");
        }
        let _ = transaction.commit().expect("something was inserted");
    }
}

/// Inserts one key in a transaction of its own; returns its delta.
///
/// # Panics
/// If the document refuses it.
pub fn insert_one(document: &mut Document, number: usize) -> Delta {
    let mut transaction = document.transact(WALL_MS);
    transaction.set("s").insert(key(number)).expect("within all limits");
    transaction.commit().expect("something was inserted").delta
}

/// Returns how many elements the set "s" has.
#[must_use]
pub fn elements(document: &Document) -> usize {
    document.root().set("s").map_or(0, |set| set.len())
}

/// Spreads numbers in a row over all elements, so that one is seldom where the last one was.
#[must_use]
pub const fn scattered(number: usize, size: usize) -> usize {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size
}
