//! Stores of another format: refused with an error of their own, and left as they are to the byte.

use super::row::{FORMAT, FORMAT_KEY};
use super::*;

/// The files of a store that must not change: its bytes, and those of its witness.
fn files(path: &Path) -> [Vec<u8>; 2] {
    [STORE_FILE, WITNESS_FILE].map(|file| fs::read(path.join(file)).expect("reads"))
}

/// Writes a row of the format into the store in a folder, with a checksum that fits.
fn set_format(path: &Path, payload: &[u8]) {
    let database = redb::Database::open(path.join(STORE_FILE)).expect("opens");
    let write = database.begin_write().expect("begins");
    let value = table::seal(table::Tag::Meta, FORMAT_KEY, payload);
    write.open_table(table::META).expect("opens").insert(FORMAT_KEY, value.as_slice()).expect("inserts");
    write.commit().expect("commits");
}

/// Makes a store whose row of the format says this; returns the id as well.
fn store_saying(path: &Path, payload: &[u8]) -> ReplicaId {
    let mut store = open(path);
    let replica = store.replica();
    write_one(&mut store);
    drop(store);
    set_format(path, payload);
    replica
}

fn open_again(path: &Path) -> Result<DiskStore, DiskOpenError> {
    DiskStore::open_at(path, &DiskOptions::default(), MACHINE)
}

/// Opens it in every way there is, and returns what the opening and the checking say.
fn refusals(room: &Room, path: &Path) -> (DiskOpenError, VerifyError, RestoreError) {
    let before = files(path);
    let refused = open_again(path).expect_err("must not be read");
    assert!(files(path) == before, "an opening that is refused changes nothing");
    let file = fs::OpenOptions::new().read(true).write(true).open(path.join(STORE_FILE)).expect("opens");
    let backend = FileBackend::new(file).expect("a file");
    let refused_on = DiskStore::open_on(backend, DiskOptions::default()).expect_err("must not be read");
    assert_eq!(refused_on.to_string(), refused.to_string());
    assert!(files(path) == before, "nor does one on a backend of one's own");
    let vouched = DiskOptions { continuity: Continuity::Vouched, ..DiskOptions::default() };
    assert!(DiskStore::open_at(path, &vouched, MACHINE).is_err());
    let unverified = DiskStore::verify(path).expect_err("must not be read");
    let unrestored = DiskStore::restore(path.join(STORE_FILE), room.path("restored")).expect_err("must not be read");
    assert!(files(path) == before, "nor do the others");
    assert!(!room.path("restored").join(STORE_FILE).exists());
    (refused, unverified, unrestored)
}

/// Asserts that the store opens under its id once its row says what it should.
fn assert_untouched(path: &Path, replica: ReplicaId) {
    set_format(path, &FORMAT.to_le_bytes());
    let store = open(path);
    assert_eq!((store.replica(), store.identity().renewed), (replica, None));
    assert_eq!(store.load("d").expect("reads").expect("is there").version.counter(replica), 1);
}

#[test]
fn an_older_format_is_refused_as_such_and_left_as_it_is() {
    let room = Room::new();
    for found in 1..FORMAT {
        let path = room.path(&found.to_string());
        let replica = store_saying(&path, &found.to_le_bytes());
        let (refused, unverified, unrestored) = refusals(&room, &path);
        assert!(matches!(refused, DiskOpenError::FormatTooOld { found: told } if told == found), "{refused:?}");
        assert!(matches!(unverified, VerifyError::FormatTooOld { found: told } if told == found), "{unverified:?}");
        assert!(matches!(unrestored, RestoreError::FormatTooOld { found: told } if told == found), "{unrestored:?}");
        assert_untouched(&path, replica);
    }
}

/// A number that is no format yet is one of a later version for all we know, however large.
#[test]
fn a_newer_format_is_refused_as_such_and_left_as_it_is() {
    let room = Room::new();
    for found in [FORMAT + 1, u32::MAX] {
        let path = room.path(&found.to_string());
        let replica = store_saying(&path, &found.to_le_bytes());
        let (refused, unverified, unrestored) = refusals(&room, &path);
        assert!(matches!(refused, DiskOpenError::FormatTooNew { found: told } if told == found), "{refused:?}");
        assert!(matches!(unverified, VerifyError::FormatTooNew { found: told } if told == found), "{unverified:?}");
        assert!(matches!(unrestored, RestoreError::FormatTooNew { found: told } if told == found), "{unrestored:?}");
        assert_untouched(&path, replica);
    }
}

/// Formats are counted from 1, in four bytes: no version, older or newer, has written these rows.
#[test]
fn what_can_be_no_format_is_damage() {
    let room = Room::new();
    for payload in [0_u32.to_le_bytes().as_slice(), b"", &[2, 0, 0], &[2, 0, 0, 0, 0]] {
        let path = room.path(&format!("{payload:?}"));
        let replica = store_saying(&path, payload);
        let (refused, unverified, unrestored) = refusals(&room, &path);
        assert!(matches!(refused, DiskOpenError::Damaged(_)), "{refused:?}");
        assert!(matches!(unverified, VerifyError::Damaged(_)), "{unverified:?}");
        assert!(matches!(unrestored, RestoreError::Damaged(_)), "{unrestored:?}");
        assert_untouched(&path, replica);
    }
}

/// The file of a process that was killed is repaired as it is opened, unless its format is another.
#[test]
fn another_format_is_left_as_a_kill_left_it() {
    let room = Room::new();
    let path = room.path("a");
    store_saying(&path, &(FORMAT + 1).to_le_bytes());
    let database = redb::Database::open(path.join(STORE_FILE)).expect("opens");
    let killed = fs::read(path.join(STORE_FILE)).expect("reads");
    drop(database);
    assert!(killed != fs::read(path.join(STORE_FILE)).expect("reads"), "an open file looks other than a closed one");
    fs::write(path.join(STORE_FILE), killed).expect("writes");
    let (refused, _, _) = refusals(&room, &path);
    assert!(matches!(refused, DiskOpenError::FormatTooNew { .. }), "{refused:?}");
}
