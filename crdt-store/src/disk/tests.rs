//! When a store keeps its id, and when it takes another.

mod format;
mod held;
mod numbers;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crdt_core::{Document, ReplicaId, Snapshot};
use tempfile::TempDir;

use super::folder::{LOCK_FILE, WITNESS_FILE};
use super::witness::Record;
use super::*;

const MACHINE: u64 = 1;

/// A folder with room for a store and its copies.
struct Room(TempDir);

impl Room {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn open(path: &Path) -> DiskStore {
    DiskStore::open_at(path, &DiskOptions::default(), MACHINE).expect("opens")
}

fn open_vouched(path: &Path) -> DiskStore {
    let options = DiskOptions { continuity: Continuity::Vouched, ..DiskOptions::default() };
    DiskStore::open_at(path, &options, MACHINE).expect("opens")
}

/// An identity that was kept, whatever spoke against it.
fn kept(replica: ReplicaId, vouched: Option<Renewal>) -> Identity {
    Identity { replica, former: Vec::new(), renewed: None, vouched }
}

/// Makes a commit.
fn write_one(store: &mut DiskStore) {
    let mut snapshot = store.load("d").expect("reads").map_or_else(Snapshot::empty, |stored| {
        stored.deltas.iter().fold(stored.snapshot, |mut snapshot, delta| {
            snapshot.apply(delta).expect("in order");
            snapshot
        })
    });
    let mut document = Document::from_snapshot(store.replica(), std::mem::replace(&mut snapshot, Snapshot::empty()));
    let mut edit = document.transact(1);
    edit.counter("n").add(1).expect("far from overflow");
    let delta = edit.commit().expect("a change was made").delta;
    let _ = store.append("d", &Arc::new(delta)).expect("continues");
    store.sync().expect("the disk takes it");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new folder");
    for file in [STORE_FILE, WITNESS_FILE, LOCK_FILE] {
        fs::copy(from.join(file), to.join(file)).expect("copies");
    }
}

/// Writes the bytes of one file over another, which stays the same file.
fn overwrite(from: &Path, to: &Path) {
    fs::write(to, fs::read(from).expect("reads")).expect("writes");
}

fn assert_renewed(store: &DiskStore, former: ReplicaId, why: Renewal) {
    let identity = store.identity();
    assert_eq!(identity.renewed, Some(why));
    assert_ne!(identity.replica, former);
    assert_eq!(identity.former.last(), Some(&former));
    assert_eq!(store.replica(), identity.replica);
}

#[test]
fn reopening_and_moving_the_folder_keep_the_id() {
    let room = Room::new();
    let mut store = open(&room.path("a"));
    let replica = store.replica();
    write_one(&mut store);
    drop(store);
    for round in 0..3 {
        let mut store = open(&room.path("a"));
        assert_eq!(store.identity(), &kept(replica, None), "round {round}");
        write_one(&mut store);
    }
    fs::rename(room.path("a"), room.path("b")).expect("moves");
    assert_eq!(open(&room.path("b")).replica(), replica);
}

#[test]
fn a_copied_folder_takes_a_new_id_and_the_original_keeps_its_own() {
    let room = Room::new();
    let mut store = open(&room.path("a"));
    let replica = store.replica();
    write_one(&mut store);
    drop(store);
    copy_folder(&room.path("a"), &room.path("b"));
    let copy = open(&room.path("b"));
    assert_renewed(&copy, replica, Renewal::OtherFile);
    let (renewed, version) = (copy.replica(), copy.load("d").expect("reads").expect("is there").version);
    assert_eq!(version.counter(replica), 1, "what the former id wrote stays");
    drop(copy);
    assert_eq!(open(&room.path("a")).replica(), replica);
    let again = open(&room.path("b"));
    assert_eq!((again.replica(), again.identity().renewed), (renewed, None), "once is enough");
}

#[test]
fn a_file_that_came_alone_takes_a_new_id() {
    let room = Room::new();
    let replica = open(&room.path("a")).replica();
    fs::create_dir(room.path("b")).expect("a new folder");
    fs::copy(room.path("a").join(STORE_FILE), room.path("b").join(STORE_FILE)).expect("copies");
    assert_renewed(&open(&room.path("b")), replica, Renewal::NoWitness);
}

#[test]
fn a_lost_or_damaged_witness_costs_the_id() {
    let room = Room::new();
    let path = room.path("a");
    let first = open(&path).replica();
    fs::remove_file(path.join(WITNESS_FILE)).expect("removes");
    let store = open(&path);
    assert_renewed(&store, first, Renewal::NoWitness);
    let second = store.replica();
    drop(store);
    fs::write(path.join(WITNESS_FILE), b"not a witness").expect("writes");
    let store = open(&path);
    assert_renewed(&store, second, Renewal::NoWitness);
    assert_eq!(store.identity().former, [first, second]);
}

#[test]
fn another_machine_costs_the_id() {
    let room = Room::new();
    let replica = open(&room.path("a")).replica();
    let there = DiskStore::open_at(&room.path("a"), &DiskOptions::default(), 2).expect("opens");
    assert_renewed(&there, replica, Renewal::OtherMachine);
}

#[test]
fn a_copy_from_before_the_last_opening_put_back_in_place_costs_the_id() {
    let room = Room::new();
    let (path, file) = (room.path("a"), room.path("a").join(STORE_FILE));
    let mut store = open(&path);
    let replica = store.replica();
    write_one(&mut store);
    drop(store);
    fs::copy(&file, room.path("copy")).expect("copies");
    let mut store = open(&path);
    write_one(&mut store);
    drop(store);
    overwrite(&room.path("copy"), &file);
    assert_renewed(&open(&path), replica, Renewal::OtherSeal);
}

#[test]
fn a_copy_from_within_the_last_opening_put_back_in_place_costs_the_id() {
    let room = Room::new();
    let (path, file) = (room.path("a"), room.path("a").join(STORE_FILE));
    let mut store = open(&path);
    let replica = store.replica();
    write_one(&mut store);
    fs::copy(&file, room.path("copy")).expect("copies");
    write_one(&mut store);
    drop(store);
    overwrite(&room.path("copy"), &file);
    assert_renewed(&open(&path), replica, Renewal::RolledBack);
}

#[test]
fn a_damaged_header_that_names_the_commit_before_the_last_costs_the_id() {
    let room = Room::new();
    let (path, file) = (room.path("a"), room.path("a").join(STORE_FILE));
    let mut store = open(&path);
    let replica = store.replica();
    write_one(&mut store);
    write_one(&mut store);
    let mut killed = fs::read(&file).expect("reads");
    drop(store);
    killed[9] ^= 1;
    fs::write(&file, killed).expect("writes");
    assert!(matches!(DiskStore::verify(&path), Err(VerifyError::Damaged(_))));
    assert_renewed(&open(&path), replica, Renewal::RolledBack);
}

#[test]
fn the_same_bytes_put_back_in_place_keep_the_id() {
    let room = Room::new();
    let (path, file) = (room.path("a"), room.path("a").join(STORE_FILE));
    let replica = open(&path).replica();
    fs::copy(&file, room.path("copy")).expect("copies");
    overwrite(&room.path("copy"), &file);
    assert_eq!(open(&path).replica(), replica);
}

#[test]
fn an_operator_may_vouch_for_a_copy_but_not_for_a_store_set_back() {
    let room = Room::new();
    let (path, file) = (room.path("a"), room.path("a").join(STORE_FILE));
    let replica = open(&path).replica();
    copy_folder(&path, &room.path("b"));
    assert_eq!(open_vouched(&room.path("b")).identity(), &kept(replica, Some(Renewal::OtherFile)));
    assert_eq!(open(&room.path("b")).replica(), replica, "once vouched for, proven from then on");
    assert_eq!(open_vouched(&room.path("b")).identity(), &kept(replica, None), "there is nothing to vouch for");

    fs::remove_file(room.path("b").join(WITNESS_FILE)).expect("removes");
    assert_eq!(open_vouched(&room.path("b")).identity(), &kept(replica, Some(Renewal::NoWitness)));
    assert_eq!(open(&room.path("b")).replica(), replica);

    let mut store = open(&path);
    fs::copy(&file, room.path("copy")).expect("copies");
    write_one(&mut store);
    drop(store);
    overwrite(&room.path("copy"), &file);
    let store = open_vouched(&path);
    assert_renewed(&store, replica, Renewal::RolledBack);
    assert_eq!(store.identity().vouched, None);
}

/// That it was another file hid that it was an earlier one, and an operator who vouched for the move
/// vouched for dots that had been spent.
#[test]
fn an_earlier_copy_put_back_as_another_file_is_not_vouched_for() {
    let room = Room::new();
    let put_back = |path: &Path| {
        let file = path.join(STORE_FILE);
        fs::remove_file(&file).expect("removes");
        fs::copy(room.path("copy"), &file).expect("copies");
    };
    let path = room.path("a");
    let mut store = open(&path);
    let replica = store.replica();
    write_one(&mut store);
    fs::copy(path.join(STORE_FILE), room.path("copy")).expect("copies");
    write_one(&mut store);
    drop(store);
    put_back(&path);
    assert_renewed(&open_vouched(&path), replica, Renewal::RolledBack);

    let path = room.path("b");
    let replica = open(&path).replica();
    fs::copy(path.join(STORE_FILE), room.path("copy")).expect("copies");
    write_one(&mut open(&path));
    put_back(&path);
    let there = DiskOptions { continuity: Continuity::Vouched, ..DiskOptions::default() };
    let there = DiskStore::open_at(&path, &there, 2).expect("opens");
    assert_renewed(&there, replica, Renewal::OtherSeal);
}

/// The states that a kill can leave: the files as they are after each step of an opening.
#[test]
fn a_kill_between_any_two_steps_of_an_opening_keeps_the_id() {
    let room = Room::new();
    let path = room.path("a");
    let replica = open(&path).replica();
    let (store_file, witness_file) = (path.join(STORE_FILE), path.join(WITNESS_FILE));
    let before = fs::read(&store_file).expect("reads");

    // The witness accepts the old seal and a new one; the database still has the old.
    let mut witness = Witness::open(&witness_file).expect("reads").expect("is there");
    let (place, old) = (witness.record().place, witness.record().seals[0]);
    let new = [7; 16];
    witness.set_record(Record { seals: [old, new], place }).expect("writes");
    assert_eq!(open(&path).replica(), replica);

    // The database has the new one, the witness both.
    let mut witness = Witness::open(&witness_file).expect("reads").expect("is there");
    let now = witness.record().seals[0];
    witness.set_record(Record { seals: [old, now], place }).expect("writes");
    assert_eq!(open(&path).replica(), replica);

    // A note of commits that was never written.
    let mut witness = Witness::open(&witness_file).expect("reads").expect("is there");
    let commits = witness.commits();
    witness.note_commits(commits - 1).expect("writes");
    drop(witness);
    assert_eq!(open(&path).replica(), replica);

    // A slot that is torn leaves the one before it, which accepts the seal that the database then has.
    let mut witness = Witness::open(&witness_file).expect("reads").expect("is there");
    let record = *witness.record();
    witness.set_record(record).expect("writes");
    let torn = 4096 * usize::from(witness.turn() % 2 == 1);
    let mut bytes = fs::read(&witness_file).expect("reads");
    bytes[torn + 20] ^= 1;
    fs::write(&witness_file, bytes).expect("writes");
    assert_eq!(open(&path).replica(), replica);

    // The store of the first opening is another life by now.
    fs::write(&store_file, before).expect("writes");
    assert_renewed(&open(&path), replica, Renewal::OtherSeal);
}

#[test]
fn a_kill_in_the_middle_of_a_renewal_loses_nothing() {
    let room = Room::new();
    let path = room.path("a");
    let mut store = open(&path);
    let replica = store.replica();
    write_one(&mut store);
    drop(store);
    copy_folder(&path, &room.path("b"));
    let copy = room.path("b");
    // The new witness is there, the database has not changed yet.
    let place = Witness::open(&path.join(WITNESS_FILE)).expect("reads").expect("is there").record().place;
    let file = FileMark::of(&fs::File::open(copy.join(STORE_FILE)).expect("opens")).expect("reads");
    let record = Record { seals: [[9; 16]; 2], place: self::Place { file, ..place } };
    Witness::create(&copy.join(WITNESS_FILE), record, 3).expect("writes");
    let store = open(&copy);
    assert_renewed(&store, replica, Renewal::OtherSeal);
    assert_eq!(store.load("d").expect("reads").expect("is there").version.counter(replica), 1);
}

#[test]
fn a_crash_in_the_middle_of_a_creation_leaves_room_for_the_next() {
    let room = Room::new();
    let path = room.path("a");
    fs::create_dir(&path).expect("a new folder");
    fs::write(path.join("store.tmp"), b"half a database").expect("writes");
    fs::write(path.join("witness.tmp"), b"half a witness").expect("writes");
    fs::write(path.join(WITNESS_FILE), b"a witness of what was never named").expect("writes");
    let replica = open(&path).replica();
    assert_eq!(open(&path).replica(), replica);
    let mut names: Vec<_> =
        fs::read_dir(&path).expect("lists").map(|entry| entry.expect("lists").file_name()).collect();
    names.sort();
    assert_eq!(names, [LOCK_FILE, STORE_FILE, WITNESS_FILE]);
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_the_folder() {
    use std::os::unix::fs::PermissionsExt;
    let room = Room::new();
    let path = room.path("deep/er/a");
    drop(open(&path));
    let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    ["deep", "deep/er", "deep/er/a"].iter().for_each(|folder| assert_eq!(mode(&room.path(folder)), 0o700));
    [LOCK_FILE, STORE_FILE, WITNESS_FILE].iter().for_each(|file| assert_eq!(mode(&path.join(file)), 0o600));
}

#[test]
fn the_second_to_open_learns_who_is_first() {
    let room = Room::new();
    let path = room.path("a");
    let store = open(&path);
    let holder = |note: Option<&str>| Holder { pid: Some(std::process::id()), note: note.map(str::to_owned) };
    let refusal = || match DiskStore::open(&path, DiskOptions::default()) {
        Err(DiskOpenError::Held { holder }) => holder,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(), holder(None));
    store.announce("ws://127.0.0.1:7001").expect("writes");
    assert_eq!(refusal(), holder(Some("ws://127.0.0.1:7001")));
    store.announce(&"x\n".repeat(10_000)).expect("writes");
    assert_eq!(refusal().note.map(|note| note.len()), Some(512), "one line, cut off");
    assert!(matches!(DiskStore::verify(&path), Err(VerifyError::Held { .. })));
    drop(store);
    drop(open(&path));
}

#[test]
fn an_id_that_is_asked_for_must_be_the_stores() {
    let room = Room::new();
    let [asked, other] = [1, 2].map(ReplicaId::from_u128);
    let with = |replica| DiskOptions { replica: Some(replica), ..DiskOptions::default() };
    let path = room.path("a");
    let open = |replica, machine| DiskStore::open_at(&path, &with(replica), machine);
    assert_eq!(open(asked, MACHINE).expect("opens").replica(), asked);
    assert!(matches!(open(other, MACHINE), Err(DiskOpenError::OtherReplica { owner }) if owner == asked));
    assert_renewed(&open(asked, 2).expect("opens"), asked, Renewal::OtherMachine);
    assert!(open(asked, 2).is_ok(), "a former id still names the store");
}

#[test]
fn an_empty_or_foreign_file_is_damage_and_no_empty_store() {
    let room = Room::new();
    let path = room.path("a");
    drop(open(&path));
    for bytes in [b"".as_slice(), b"x", &[0; 10_000], b"SQLite format 3\0"] {
        fs::write(path.join(STORE_FILE), bytes).expect("writes");
        let refused = DiskStore::open_at(&path, &DiskOptions::default(), MACHINE);
        assert!(matches!(refused, Err(DiskOpenError::Damaged(_))), "{refused:?}");
        assert!(matches!(DiskStore::verify(&path), Err(VerifyError::Damaged(_))));
        assert_eq!(fs::read(path.join(STORE_FILE)).expect("reads"), bytes, "left as it is");
    }
}
