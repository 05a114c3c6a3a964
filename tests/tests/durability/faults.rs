//! Disks that fail or fill up, at each of the first 500 operations that write.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use crdt_store::{DiskOpenError, DiskStore, Store, StoreError};
use crdt_tests::disk::{Ended, Ledger, SimDisk, Trouble, Workload, options};

const OPERATIONS: u64 = 500;

#[test]
fn an_io_error_at_each_of_the_first_500_writes_loses_nothing() {
    for at in 0..OPERATIONS {
        fail(Trouble::FailsOnce { at, error: ErrorKind::Other });
    }
}

#[test]
fn a_disk_that_is_full_from_each_of_the_first_500_writes_on_loses_nothing() {
    for at in 0..OPERATIONS {
        fail(Trouble::FailsFrom { at, error: ErrorKind::StorageFull });
    }
}

fn fail(trouble: Trouble) {
    let (Trouble::FailsOnce { at, error } | Trouble::FailsFrom { at, error }) = trouble else {
        panic!("{trouble:?} is no failure");
    };
    let (disk, mut ledger) = (SimDisk::new(Vec::new()), Ledger::default());
    disk.set_trouble(trouble);
    match DiskStore::open_on(disk.clone(), options()) {
        Err(DiskOpenError::Io(found)) => assert_eq!(found.kind(), error, "{trouble:?}"),
        Err(other) => panic!("{trouble:?}: {other:?} is no error of the disk"),
        Ok(mut store) => {
            let ended = Workload::new(BTreeMap::new(), at).run(&mut store, &mut ledger, 400);
            match ended {
                Ended::Failed(StoreError::Io(found)) => assert_eq!(found.kind(), error, "{trouble:?}"),
                other => panic!("{trouble:?}: {other:?} is no error of the disk"),
            }
            assert!(disk.operations() > at);
            // It takes nothing more, and does not pretend to.
            assert!(matches!(store.sync(), Err(StoreError::Poisoned)), "{trouble:?}");
            assert!(store.load("d0").is_err(), "{trouble:?}");
        }
    }
    disk.set_trouble(Trouble::None);
    // A store that was never whole is made in a temporary file, which is not looked at again.
    let disk = if ledger.is_empty() { SimDisk::new(Vec::new()) } else { disk };
    let mut store = DiskStore::open_on(disk, options()).unwrap_or_else(|error| panic!("{trouble:?}: {error}"));
    let found = ledger.check(&store).unwrap_or_else(|unfaithful| panic!("{trouble:?}: {unfaithful}"));
    let ended = Workload::new(found, 1).run(&mut store, &mut ledger, 10);
    assert!(matches!(ended, Ended::Done), "{trouble:?}: {ended:?}");
}
