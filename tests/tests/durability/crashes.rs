//! Power is lost at any operation of creating, opening, committing, folding and recovering.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crdt_store::DiskStore;
use crdt_tests::Choices;
use crdt_tests::disk::{Ended, Ledger, SimDisk, Trouble, Workload, options};
use crdt_tests::law::from_env;

/// Where the power was lost, in numbers.
#[derive(Debug, Default)]
struct Seen {
    while_opening: AtomicU64,
    while_writing: AtomicU64,
    after_all: AtomicU64,
    while_recovering: AtomicU64,
}

#[test]
fn power_lost_at_any_operation_takes_nothing_that_was_acknowledged() {
    let cases = from_env("CRDT_CRASHES").unwrap_or(10_000);
    let (next, seen) = (AtomicU64::new(0), Seen::default());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= cases {
                        break;
                    }
                    lose_power(seed, &seen);
                }
            });
        }
    });
    println!("{cases} losses of power: {seen:?}");
    let counts = [&seen.while_opening, &seen.while_writing, &seen.after_all, &seen.while_recovering];
    let counts = counts.map(|count| count.load(Ordering::Relaxed));
    assert!(counts.iter().all(|count| *count > cases / 50), "all of it is met: {counts:?}");
}

/// One story: a store is filled, loses power once or twice, and goes on.
fn lose_power(seed: u64, seen: &Seen) {
    let mut choices = Choices::new(seed);
    let (disk, mut ledger) = (SimDisk::new(Vec::new()), Ledger::default());
    // Half of the stores have a history without trouble.
    let found = if choices.coin() { well(&disk, &mut ledger, seed) } else { BTreeMap::new() };

    disk.set_trouble(Trouble::PowerLoss { at: choices.below(150) as u64 });
    match DiskStore::open_on(disk.clone(), options()) {
        Err(_) => count(&seen.while_opening),
        Ok(mut store) => {
            let changes = 5 + choices.below(60);
            let ended = Workload::new(found, seed).run(&mut store, &mut ledger, changes);
            count(if matches!(ended, Ended::Failed(_)) { &seen.while_writing } else { &seen.after_all });
        }
    }
    let mut disk = left(&disk, &ledger, &mut choices);
    if choices.coin() {
        disk.set_trouble(Trouble::PowerLoss { at: choices.below(12) as u64 });
        let _ = DiskStore::open_on(disk.clone(), options());
        count(&seen.while_recovering);
        disk = left(&disk, &ledger, &mut choices);
    }

    let mut store = DiskStore::open_on(disk.clone(), options()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let found = ledger.check(&store).unwrap_or_else(|unfaithful| panic!("seed {seed}: {unfaithful}"));
    let ended = Workload::new(found, seed + 1).run(&mut store, &mut ledger, 10);
    assert!(matches!(ended, Ended::Done), "seed {seed}: {ended:?}");
    drop(store);
    let store = DiskStore::open_on(disk, options()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    ledger.check(&store).unwrap_or_else(|unfaithful| panic!("seed {seed}, afterwards: {unfaithful}"));
}

/// Returns what a loss of power leaves. A store that was never whole is made in a temporary file, which is not
/// looked at again (the processes of `killed` show that).
fn left(disk: &SimDisk, ledger: &Ledger, choices: &mut Choices) -> SimDisk {
    if ledger.is_empty() { SimDisk::new(Vec::new()) } else { disk.after_power_loss(choices) }
}

/// Fills a store while nothing is wrong, and closes it.
fn well(disk: &SimDisk, ledger: &mut Ledger, seed: u64) -> BTreeMap<String, crdt_core::Snapshot> {
    let mut store = DiskStore::open_on(disk.clone(), options()).expect("nothing is wrong");
    let ended = Workload::new(BTreeMap::new(), seed ^ 0x77_65_6c_6c).run(&mut store, ledger, 30);
    assert!(matches!(ended, Ended::Done), "seed {seed}: {ended:?}");
    crdt_store::Store::sync(&mut store).expect("nothing is wrong");
    ledger.acknowledged();
    ledger.check(&store).unwrap_or_else(|unfaithful| panic!("seed {seed}, before: {unfaithful}"))
}

fn count(what: &AtomicU64) {
    what.fetch_add(1, Ordering::Relaxed);
}
