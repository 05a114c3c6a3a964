//! Bits that turn over in a file at rest: an error or the right data, never something else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crdt_store::{DiskStore, Store};
use crdt_tests::Choices;
use crdt_tests::disk::{Ended, Ledger, SimDisk, Unfaithful, Workload, options, silence_redb};
use crdt_tests::law::from_env;

/// Changes in the file: enough for most of it to be in use.
const CHANGES: usize = 1_000;

#[test]
fn a_bit_that_turned_over_is_an_error_or_changes_nothing() {
    let bits = from_env("CRDT_ROT").unwrap_or(10_000);
    let (disk, mut ledger) = (SimDisk::new(Vec::new()), Ledger::default());
    // Nothing is folded, so that most of what was written is in use.
    let mut roomy = options();
    roomy.tail_bytes_max = usize::MAX;
    let mut store = DiskStore::open_on(disk.clone(), roomy).expect("nothing is wrong");
    let ended = Workload::new(BTreeMap::new(), 1).run(&mut store, &mut ledger, CHANGES);
    assert!(matches!(ended, Ended::Done), "{ended:?}");
    store.sync().expect("nothing is wrong");
    ledger.acknowledged();
    drop(store);
    let whole = disk.content();

    silence_redb();
    let (next, noticed) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let mut ledger = ledger.clone();
                while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < bits) {
                    noticed.fetch_add(u64::from(turn_over(&whole, number, &mut ledger)), Ordering::Relaxed);
                }
            });
        }
    });
    let noticed = noticed.into_inner();
    println!("{bits} bits turned over in {} bytes: {noticed} noticed, the others changed nothing", whole.len());
    // The rest are pages that are free, and the file's own spare room.
    assert!(noticed > bits / 20, "only {noticed} of {bits} bits were in use");
}

/// Turns one bit over; tells whether that was noticed.
fn turn_over(whole: &[u8], number: u64, ledger: &mut Ledger) -> bool {
    let mut choices = Choices::new(number);
    let at = choices.below(whole.len());
    let mut content = whole.to_vec();
    content[at] ^= 1 << choices.below(8);
    let Ok(store) = DiskStore::open_on(SimDisk::new(content), options()) else { return true };
    match ledger.check(&store) {
        Ok(_) => false,
        Err(Unfaithful::Unreadable(_)) => true,
        Err(wrong) => panic!("bit {number}, in byte {at}: {wrong}"),
    }
}
