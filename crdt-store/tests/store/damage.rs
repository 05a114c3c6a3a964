//! A store on a disk that lies or fails: a typed error or the right data, never a panic, never an empty document.

use std::fs;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crdt_core::{Document, ReplicaId, Snapshot};
use crdt_store::{DiskOpenError, DiskOptions, DiskStore, Store, StoreError, VerifyError};

use crate::disk::Disk;
use crate::{edit, folded};

const A: ReplicaId = ReplicaId::from_u128(1);

/// The byte in which redb says which of its two commit slots is the latest. In a file that was not closed, the other is
/// the commit before, as whole as this one: only a witness in a folder can tell.
const LATEST_SLOT: usize = 9;

/// So many that the books of redb, of pages that a commit has freed, are long enough to panic at and again on
/// unwinding. `c` is missing, since it is written later.
const NAMES: [&str; 26] = [
    "a", "b", "c1", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w",
    "x", "y", "z",
];

type Documents = Vec<(&'static str, Document)>;

fn options() -> DiskOptions {
    let mut options = DiskOptions::default();
    options.replica = Some(A);
    options.tail_bytes_max = 512;
    options
}

fn open(disk: &Disk) -> Result<DiskStore, DiskOpenError> {
    DiskStore::open_on(disk.clone(), options())
}

/// Makes two documents with a snapshot, layers and a tail; returns the disk as a kill would leave it.
fn filled(disk: &Disk) -> (Documents, Vec<u8>) {
    let documents = fill(&mut open(disk).expect("opens"), &["a", "b"]);
    (documents, disk.bytes())
}

fn fill(store: &mut DiskStore, names: &[&'static str]) -> Documents {
    let mut documents: Documents = names.iter().map(|name| (*name, Document::new(A))).collect();
    for value in 0..120 {
        for (name, document) in &mut documents {
            let _ = store.append(name, &edit(document, value)).expect("continues");
            if value == 60 {
                store.replace(name, document.snapshot()).expect("is staged");
            }
            if value % 5 == 4 {
                store.note_head(name, &document.head()).expect("is staged");
            }
        }
        store.sync().expect("the disk takes it");
    }
    documents
}

/// Reads a document; `None` where the store has none of that name.
fn read(store: &DiskStore, name: &str) -> Result<Option<Snapshot>, StoreError> {
    Ok(store.load(name)?.map(folded))
}

/// What came of opening and reading a store on a damaged disk.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    right: u32,
    refused_on_opening: u32,
    refused_on_reading: u32,
}

impl Tally {
    /// Reads all, and writes on: damage may also come to light then.
    fn count(&mut self, disk: &Disk, documents: &[(&str, Document)], what: &str) {
        self.count_opened(|| open(disk), documents, what);
    }

    fn count_opened(
        &mut self,
        open: impl FnOnce() -> Result<DiskStore, DiskOpenError>,
        documents: &[(&str, Document)],
        what: &str,
    ) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.read_all(open(), documents, what)));
        assert!(outcome.is_ok(), "{what}: a panic came through");
    }

    fn read_all(&mut self, opened: Result<DiskStore, DiskOpenError>, documents: &[(&str, Document)], what: &str) {
        let mut store = match opened {
            Ok(store) => store,
            Err(DiskOpenError::Damaged(_) | DiskOpenError::FormatTooNew { .. }) => {
                self.refused_on_opening += 1;
                return;
            }
            Err(error) => panic!("{what}: {error:?}"),
        };
        for (name, head) in store.heads().unwrap_or_default() {
            let known = documents.iter().find(|(known, _)| **known == *name);
            assert!(known.is_some_and(|(_, document)| head == Some(document.head())), "{what}: a head is wrong");
        }
        for (name, document) in documents {
            match read(&store, name) {
                Ok(Some(snapshot)) => assert!(snapshot == document.snapshot(), "{what}: {name} is not what was stored"),
                Ok(None) => panic!("{what}: {name} is gone"),
                Err(StoreError::Damaged(_)) => {
                    self.refused_on_reading += 1;
                    assert!(store.sync().is_err() && store.documents().is_err(), "{what}: not poisoned");
                    return;
                }
                Err(error) => panic!("{what}: {error:?}"),
            }
        }
        self.right += 1;
        let mut fresh = Document::new(A);
        let written = store.append("c", &edit(&mut fresh, 1)).and_then(|_| store.sync());
        assert!(matches!(written, Ok(()) | Err(StoreError::Damaged(_))), "{what}: {written:?}");
    }
}

/// A sequence that is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_nothing() {
    let disk = Disk::default();
    let (documents, killed) = filled(&disk);
    let images = [disk.bytes(), killed];
    let flips = from_env("CRDT_STORE_FLIPS").unwrap_or(2_000) as usize;
    let seed = from_env("CRDT_STORE_SEED").unwrap_or(1);
    let (mut random, mut tally) = (Random(seed), Tally::default());
    for flip in 0..flips {
        let mut bytes = images[flip % 2].clone();
        // One in four in the headers, on which all else hangs.
        let at = random.below(if flip % 8 < 2 { 512 } else { bytes.len() as u64 }) as usize;
        if at == LATEST_SLOT {
            continue;
        }
        bytes[at] ^= 1 << random.below(8);
        tally.count(&Disk::holding(bytes), &documents, &format!("seed {seed}, flip {flip} at byte {at}"));
    }
    println!("{} bytes: {tally:?}", images[0].len());
    assert!(tally.refused_on_opening > 0, "{tally:?}");
}

/// A look at the format that trusted the books of redb once ended the process here: redb panicked on them, and again
/// while that panic unwound. So this run ends at the first flip that does so again.
#[test]
fn a_flipped_bit_in_a_folder_is_an_error_or_changes_nothing() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let open = || DiskStore::open(room.path(), options());
    let files = ["store.redb", "witness"].map(|name| room.path().join(name));
    let image = || files.each_ref().map(|file| fs::read(file).expect("reads"));
    let mut store = open().expect("opens");
    let documents = fill(&mut store, &NAMES);
    let killed = image();
    drop(store);
    let images = [image(), killed];
    let flips = from_env("CRDT_STORE_FLIPS").unwrap_or(3_000);
    let seed = from_env("CRDT_STORE_SEED").unwrap_or(1);
    let (mut random, mut tally) = (Random(seed), Tally::default());
    for flip in 0..flips {
        let [mut bytes, witness] = images[(flip % 2) as usize].clone();
        let at = random.below(if flip % 8 < 2 { 512 } else { bytes.len() as u64 }) as usize;
        if at == LATEST_SLOT {
            continue;
        }
        bytes[at] ^= 1 << random.below(8);
        // The files stay the same ones, so that the witness has no say.
        for (file, bytes) in files.iter().zip([bytes, witness]) {
            fs::write(file, bytes).expect("writes");
        }
        tally.count_opened(open, &documents, &format!("seed {seed}, flip {flip} at byte {at}"));
    }
    println!("{:?} bytes: {tally:?}", images.map(|[store, _]| store.len()));
    assert!(tally.refused_on_opening > 0 && tally.right > 0, "{tally:?}");
}

#[test]
fn a_flipped_bit_in_a_file_too_long_to_be_checked_on_opening_is_found_on_reading() {
    let disk = Disk::default();
    let (documents, _) = filled(&disk);
    let whole = disk.bytes();
    let (mut random, mut found) = (Random(3), [0; 2]);
    for flip in 0..500 {
        let mut bytes = whole.clone();
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
        let mut options = options();
        options.check_bytes_max = 0;
        let Ok(store) = DiskStore::open_on(Disk::holding(bytes), options) else { continue };
        for (name, document) in &documents {
            match read(&store, name) {
                Ok(snapshot) => assert!(snapshot == Some(document.snapshot()), "flip {flip} at byte {at}"),
                Err(StoreError::Damaged(_)) => found[0] += 1,
                Err(StoreError::Poisoned) => found[1] += 1,
                Err(error) => panic!("flip {flip} at byte {at}: {error:?}"),
            }
        }
        // Closing writes, which in the books of redb may hit upon damage that ends the process.
        std::mem::forget(store);
    }
    assert!(found[0] > 10, "{found:?}");
}

#[test]
fn a_truncated_file_is_an_error() {
    let disk = Disk::default();
    let (documents, _) = filled(&disk);
    let whole = disk.bytes();
    let mut tally = Tally::default();
    for keep in (1..64).map(|part| whole.len() * part / 64).chain([1, 100, 320, 4096, whole.len() - 1]) {
        tally.count(&Disk::holding(whole[..keep].to_vec()), &documents, &format!("{keep} bytes kept"));
    }
    println!("{tally:?}");
    assert_eq!(tally.right, 0, "{tally:?}");
}

#[test]
fn a_disk_that_fails_at_any_write_loses_nothing_durable() {
    for error in [ErrorKind::StorageFull, ErrorKind::Other] {
        let mut failures = 0;
        for budget in 0..200 {
            let disk = Disk::failing_with(error);
            let mut document = Document::new(A);
            let mut store = open(&disk).expect("opens");
            let _ = store.append("d", &edit(&mut document, 0)).expect("continues");
            store.sync().expect("the disk takes it");
            disk.fail_after(budget);
            let mut durable = document.version();
            for value in 1..20 {
                let _ = store.append("d", &edit(&mut document, value)).expect("is staged in memory");
                match store.sync() {
                    Ok(()) => durable = document.version(),
                    Err(StoreError::Io(found)) => {
                        assert_eq!(found.kind(), error);
                        failures += 1;
                        break;
                    }
                    Err(error) => panic!("budget {budget}: {error:?}"),
                }
            }
            if store.sync().is_err() {
                let refused = store.append("d", &edit(&mut document, 99));
                assert!(matches!(refused, Err(StoreError::Poisoned)), "budget {budget}: {refused:?}");
                assert!(matches!(store.load("d"), Err(StoreError::Poisoned)));
                assert!(matches!(store.documents(), Err(StoreError::Poisoned)));
                assert!(matches!(store.replace("d", Snapshot::empty()), Err(StoreError::Poisoned)));
            }
            disk.mend();
            let at_failure = disk.bytes();
            drop(store);
            assert!(disk.bytes() == at_failure || failures == 0 || budget > 100, "nothing is written after a failure");
            let found = read(&open(&disk).expect("opens again"), "d").expect("reads").expect("is there");
            assert!(found.version().covers_all(&durable), "budget {budget}: durable writes are lost");
        }
        assert!(failures > 100, "{failures}");
    }
}

#[test]
fn a_disk_that_fails_while_a_store_is_opened_loses_nothing() {
    let disk = Disk::failing_with(ErrorKind::StorageFull);
    let (documents, killed) = filled(&disk);
    let (mut failures, mut tally) = ([0; 2], Tally::default());
    for (image, failures) in [disk.bytes(), killed].into_iter().zip(&mut failures) {
        for budget in 0.. {
            disk.put(image.clone());
            disk.fail_after(budget);
            let opened = open(&disk);
            disk.mend();
            match opened {
                Ok(_) => break,
                Err(DiskOpenError::Io(error)) => assert_eq!(error.kind(), ErrorKind::StorageFull),
                Err(error) => panic!("budget {budget}: {error:?}"),
            }
            *failures += 1;
            tally.count(&disk, &documents, &format!("budget {budget}"));
        }
    }
    println!("{failures:?}: {tally:?}");
    assert!(failures.iter().all(|count| *count > 1) && tally.right == failures.iter().sum::<u32>(), "{failures:?}");
}

/// A crash may come between a note and the write after it, or in the middle of either.
#[test]
fn a_head_is_never_stale_wherever_a_disk_fails() {
    let mut tally = [0; 2];
    for budget in 0..120 {
        let disk = Disk::failing_with(ErrorKind::Other);
        let mut document = Document::new(A);
        let mut store = open(&disk).expect("opens");
        disk.fail_after(budget);
        let mut write = |value: i64| {
            let _ = store.append("d", &edit(&mut document, value))?;
            if value % 3 == 0 {
                store.sync()?;
            }
            store.note_head("d", &document.head())?;
            if value % 2 == 0 {
                store.sync()?;
            }
            Ok::<_, StoreError>(())
        };
        let _ = (0..20).try_for_each(&mut write);
        disk.mend();
        drop(store);
        let store = open(&disk).expect("opens again");
        for (name, head) in store.heads().expect("reads") {
            let found = read(&store, &name).expect("reads").expect("is there");
            tally[usize::from(head.is_some())] += 1;
            assert!(head.is_none_or(|head| head == found.head()), "budget {budget}");
        }
        assert!(store.documents().expect("reads").is_empty() || DiskStore::check(&mut { store }).is_ok());
    }
    assert!(tally.iter().all(|count| *count > 5), "{tally:?}");
}

#[test]
fn a_head_that_is_not_that_of_the_content_is_damage() {
    let disk = Disk::default();
    let mut document = Document::new(A);
    let mut store = open(&disk).expect("opens");
    let _ = store.append("d", &edit(&mut document, 0)).expect("continues");
    // A lie of the caller's: the version shows it on reading, the digest only when all is put together.
    let mut head = document.head();
    head.digest.0 ^= 1;
    store.note_head("d", &head).expect("is staged");
    store.sync().expect("the disk takes it");
    assert!(store.load("d").is_ok());
    assert!(matches!(store.check(), Err(VerifyError::Damaged(_))));

    let disk = Disk::default();
    let mut store = open(&disk).expect("opens");
    let mut document = Document::new(A);
    let _ = store.append("d", &edit(&mut document, 0)).expect("continues");
    store.sync().expect("the disk takes it");
    let _ = edit(&mut document, 1);
    store.note_head("d", &document.head()).expect("is staged");
    store.sync().expect("the disk takes it");
    drop(store);
    assert!(matches!(open(&disk).expect("opens").load("d"), Err(StoreError::Damaged(_))));
}
