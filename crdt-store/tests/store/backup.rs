//! Backups of a store that is being written, stores made of them, and what else is done to a whole store.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crdt_core::{Delta, Document, Snapshot};
use crdt_store::{BackupError, CompactError, DiskOptions, DiskStore, RestoreError, Store, VerifyError};

use crate::folded;

fn open(path: &Path) -> DiskStore {
    DiskStore::open(path, DiskOptions::default()).expect("opens")
}

fn edit(document: &mut Document, value: i64) -> Arc<Delta> {
    let mut edit = document.transact(1);
    edit.register(&format!("r{value}")).set("x".repeat(1000)).expect("short");
    Arc::new(edit.commit().expect("a change was made").delta)
}

fn write(store: &mut DiskStore, document: &mut Document, values: std::ops::Range<i64>) {
    for value in values {
        let _ = store.append("d", &edit(document, value)).expect("continues");
    }
    store.sync().expect("the disk takes it");
}

fn read(store: &DiskStore) -> Snapshot {
    folded(store.load("d").expect("reads").expect("is there"))
}

#[test]
fn a_backup_shows_one_moment_of_a_store_that_goes_on() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let mut store = open(&room.path().join("a"));
    let mut document = Document::new(store.replica());
    write(&mut store, &mut document, 0..300);
    store.replace("d", document.snapshot()).expect("is staged");
    write(&mut store, &mut document, 300..400);
    let (moment, owner) = (document.snapshot(), store.replica());
    let backup = store.start_backup().expect("begins");
    let file = room.path().join("backups/one");
    let writer = std::thread::spawn({
        let file = file.clone();
        move || backup.write_to(&file)
    });
    for round in 4..12 {
        write(&mut store, &mut document, round * 100..round * 100 + 100);
        store.replace("d", document.snapshot()).expect("is staged");
    }
    store.sync().expect("the disk takes it");
    assert_eq!(writer.join().expect("no panic").expect("writes"), fs::metadata(&file).expect("is there").len());
    assert_eq!(fs::read_dir(room.path().join("backups")).expect("lists").count(), 1, "no temporary file is left");

    let verified = DiskStore::restore(&file, room.path().join("b")).expect("restores");
    assert_eq!(verified.documents, 1);
    let restored = open(&room.path().join("b"));
    assert!(read(&restored) == moment);
    assert_eq!(restored.identity().renewed, Some(crdt_store::Renewal::Restored));
    assert_eq!(restored.identity().former, [owner]);
    let renewed = restored.replica();
    drop(restored);
    assert_eq!(open(&room.path().join("b")).replica(), renewed, "and keeps it");
    assert!(read(&store) == document.snapshot());
    assert_eq!(store.replica(), owner);
}

#[test]
fn a_backup_overwrites_nothing_and_needs_its_store() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let mut store = open(&room.path().join("a"));
    let mut document = Document::new(store.replica());
    write(&mut store, &mut document, 0..300);
    let file = room.path().join("backup");
    fs::write(&file, "mine").expect("writes");
    let backup = store.start_backup().expect("begins");
    assert!(matches!(backup.write_to(&file), Err(BackupError::Exists)));
    assert_eq!(fs::read(&file).expect("reads"), b"mine");
    drop(store);
    let late = backup.write_to(room.path().join("late"));
    assert!(matches!(late, Err(BackupError::Closed)), "{late:?}");
    assert!(!room.path().join("late").exists());
}

#[test]
fn a_store_is_restored_only_from_a_whole_backup_into_a_free_folder() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let mut store = open(&room.path().join("a"));
    let mut document = Document::new(store.replica());
    write(&mut store, &mut document, 0..300);
    let file = room.path().join("backup");
    store.start_backup().expect("begins").write_to(&file).expect("writes");
    let held = DiskStore::restore(&file, room.path().join("a"));
    assert!(matches!(held, Err(RestoreError::Held { .. })), "{held:?}");
    drop(store);
    let occupied = DiskStore::restore(&file, room.path().join("a"));
    assert!(matches!(occupied, Err(RestoreError::Occupied)), "{occupied:?}");

    let mut bytes = fs::read(&file).expect("reads");
    let at = bytes.windows(8).rposition(|window| window == b"xxxxxxxx").expect("a value is there");
    bytes[at] ^= 1;
    fs::write(room.path().join("bad"), bytes).expect("writes");
    let damaged = DiskStore::restore(room.path().join("bad"), room.path().join("b"));
    assert!(matches!(damaged, Err(RestoreError::Damaged(_))), "{damaged:?}");
    let missing = DiskStore::restore(room.path().join("none"), room.path().join("b"));
    assert!(matches!(missing, Err(RestoreError::Io(_))), "{missing:?}");
    assert!(matches!(DiskStore::verify(room.path().join("b")), Err(VerifyError::Missing)));
    DiskStore::restore(&file, room.path().join("b")).expect("the folder is still free");

    // A backup that was merely copied into a folder is recognised too, and so is a store taken for a backup.
    fs::create_dir(room.path().join("c")).expect("a new folder");
    fs::copy(&file, room.path().join("c/store.redb")).expect("copies");
    assert_eq!(open(&room.path().join("c")).identity().renewed, Some(crdt_store::Renewal::Restored));
    DiskStore::restore(room.path().join("a/store.redb"), room.path().join("e")).expect("restores");
    let restored = open(&room.path().join("e"));
    assert_eq!(restored.identity().renewed, Some(crdt_store::Renewal::Restored));
    assert!(read(&restored) == document.snapshot());
}

#[test]
fn verifying_counts_all_changes_nothing_and_finds_a_flipped_bit() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let path = room.path().join("a");
    let mut store = open(&path);
    let mut document = Document::new(store.replica());
    write(&mut store, &mut document, 0..300);
    store.replace("d", document.snapshot()).expect("is staged");
    write(&mut store, &mut document, 300..320);
    let open_now = store.check().expect("is whole");
    assert_eq!((open_now.documents, open_now.deltas), (1, 20));
    write(&mut store, &mut document, 320..321);
    drop(store);
    let before = fs::read(path.join("store.redb")).expect("reads");
    let verified = DiskStore::verify(&path).expect("is whole");
    assert_eq!((verified.documents, verified.deltas), (1, 21));
    assert_eq!(verified.file_bytes, before.len() as u64);
    assert!(fs::read(path.join("store.redb")).expect("reads") == before, "verifying writes nothing");

    let mut flipped = before.clone();
    let at = before.windows(8).position(|window| window == b"xxxxxxxx").expect("a value is there");
    flipped[at] ^= 0x10;
    fs::write(path.join("store.redb"), &flipped).expect("writes");
    assert!(matches!(DiskStore::verify(&path), Err(VerifyError::Damaged(_))));
    assert!(fs::read(path.join("store.redb")).expect("reads") == flipped, "not even then");
}

#[test]
fn compacting_shrinks_the_file_and_waits_for_backups() {
    let room = tempfile::tempdir().expect("a temporary folder");
    let path = room.path().join("a");
    let mut store = open(&path);
    let mut document = Document::new(store.replica());
    write(&mut store, &mut document, 0..4000);
    let mut small = Document::new(store.replica());
    let _ = edit(&mut small, 1);
    store.replace("d", small.snapshot()).expect("is staged");
    store.sync().expect("the disk takes it");
    let bytes = |path: &Path| fs::metadata(path.join("store.redb")).expect("is there").len();
    let before = bytes(&path);
    let backup = store.start_backup().expect("begins");
    assert!(matches!(store.compact(), Err(CompactError::Busy)));
    drop(backup);
    assert!(store.compact().expect("compacts"));
    drop(store);
    assert!(bytes(&path) * 4 < before, "{before} -> {}", bytes(&path));
    assert!(read(&open(&path)) == small.snapshot());
}

/// It was named, and then its folder could not be synced; the next attempt found it there. Who runs this as root may
/// read every folder, and sees that the backup is made.
#[cfg(unix)]
#[test]
fn a_backup_that_fails_at_the_last_step_leaves_no_file() {
    use std::os::unix::fs::PermissionsExt;
    let room = tempfile::tempdir().expect("a temporary folder");
    let mut store = open(&room.path().join("a"));
    let mut document = Document::new(store.replica());
    write(&mut store, &mut document, 0..3);
    let folder = room.path().join("unreadable");
    fs::create_dir(&folder).expect("a new folder");
    let set_mode = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("is ours");
    set_mode(0o300);
    let backup = store.start_backup().expect("begins");
    let written = backup.write_to(folder.join("one"));
    set_mode(0o700);
    let files = fs::read_dir(&folder).expect("lists").count();
    match written {
        Ok(_) => assert_eq!(files, 1),
        Err(error) => {
            assert!(matches!(error, BackupError::Io(_)), "{error:?}");
            assert_eq!(files, 0);
            backup.write_to(folder.join("one")).expect("nothing is in the way");
        }
    }
}
