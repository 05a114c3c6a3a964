//! Rows and a witness that say impossible numbers under checksums that fit: a typed error, and never a panic.

use crdt_core::Head;
use crdt_core::codec::{Encode, Reader};
use redb::{ReadableDatabase, TableDefinition};
use xxhash_rust::xxh3::xxh3_64;

use super::row::{NUMBER_MAX, TOTALS_KEY};
use super::table::{DOCUMENTS, META, Tag, seal, unseal};
use super::*;

/// What each number is replaced by.
const EXTREMES: [u64; 6] = [0, u32::MAX as u64, u32::MAX as u64 + 1, NUMBER_MAX, NUMBER_MAX + 1, u64::MAX];

type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Something that is asked of a store.
type Call<'c> = &'c dyn Fn(&mut DiskStore) -> Result<(), StoreError>;

fn edit(document: &mut Document, text: &str) -> Arc<Delta> {
    let mut edit = document.transact(1);
    edit.register("r").set(text).expect("short");
    Arc::new(edit.commit().expect("a change was made").delta)
}

/// A store whose document has a snapshot, a layer, a tail and a head.
struct Whole {
    bytes: Vec<u8>,
    document: Document,
}

impl Whole {
    fn new(room: &Room) -> Self {
        let mut store = open(&room.path("whole"));
        let mut document = Document::new(store.replica());
        let _ = edit(&mut document, "in the snapshot");
        store.replace("d", document.snapshot()).expect("is staged");
        store.sync().expect("the disk takes it");
        for text in ["in a layer ".repeat(1_000), "in the tail".to_owned()] {
            let _ = store.append("d", &edit(&mut document, &text)).expect("continues");
            store.sync().expect("the disk takes it");
        }
        store.note_head("d", &document.head()).expect("is staged");
        store.sync().expect("the disk takes it");
        drop(store);
        Self { bytes: fs::read(room.path("whole").join(STORE_FILE)).expect("reads"), document }
    }

    /// Writes the store with one number of a row replaced, sealed as it should be.
    fn write_with(&self, path: &Path, row: (Rows, Tag, &[u8]), at: usize, number: u64) {
        fs::write(path, &self.bytes).expect("writes");
        let database = redb::Database::open(path).expect("opens");
        let payload = payload(&database, row);
        let (mut numbers, rest) = numbers(row.1, &payload);
        numbers[at] = number;
        let mut changed = Vec::new();
        numbers.iter().for_each(|number| changed.put_varint(*number));
        changed.put_bytes(rest);
        let write = database.begin_write().expect("begins");
        let value = seal(row.1, row.2, &changed);
        write.open_table(row.0).expect("opens").insert(row.2, value.as_slice()).expect("inserts");
        write.commit().expect("commits");
    }

    /// Counts the numbers of a row.
    fn count(&self, path: &Path, row: (Rows, Tag, &[u8])) -> usize {
        fs::write(path, &self.bytes).expect("writes");
        numbers(row.1, &payload(&redb::Database::open(path).expect("opens"), row)).0.len()
    }
}

fn payload(database: &redb::Database, (table, tag, key): (Rows, Tag, &[u8])) -> Vec<u8> {
    let read = database.begin_read().expect("begins");
    let table = read.open_table(table).expect("opens");
    let value = table.get(key).expect("reads").expect("is there");
    unseal(tag, key, value.value()).expect("is whole").to_vec()
}

/// Takes a row apart: the varints that it begins with, and the rest.
fn numbers(tag: Tag, payload: &[u8]) -> (Vec<u64>, &[u8]) {
    let mut reader = Reader::new(payload);
    let mut next = || reader.varint("a number").expect("is there");
    let mut numbers: Vec<u64> = Vec::new();
    if matches!(tag, Tag::Document) {
        numbers.extend((0..5).map(|_| next()));
        let layers = 2 * numbers[4];
        numbers.extend((0..layers).map(|_| next()));
    }
    numbers.extend((0..3).map(|_| next()));
    (numbers, reader.rest())
}

/// Does everything with a store that reads the row, each on an opening of its own, and lists what is said of it.
fn errors(path: &Path, whole: &Whole, scratch: &Path) -> Vec<String> {
    let mut document = Document::from_snapshot(ReplicaId::from_u128(9), whole.document.snapshot());
    let delta = edit(&mut document, "more");
    let calls: [Call<'_>; 5] = [
        &|store| store.load("d").map(drop),
        &|store| store.heads().map(drop),
        &|store| store.append("d", &delta).map(drop),
        &|store| store.replace("d", document.snapshot()),
        &|store| store.note_head("d", &Head { digest: crdt_core::Digest(1), ..whole.document.head() }),
    ];
    let mut found = Vec::new();
    for call in calls {
        fs::copy(path, scratch).expect("copies");
        let backend = FileBackend::new(files::private().open(scratch).expect("opens")).expect("a file");
        match DiskStore::open_on(backend, DiskOptions::default()) {
            Ok(mut store) => {
                let said = call(&mut store).and_then(|()| store.sync());
                found.extend(said.err().map(|error| error.to_string()));
                found.extend(store.check().err().map(|error| error.to_string()));
            }
            Err(error) => found.push(error.to_string()),
        }
    }
    found
}

/// Opens a store in a folder of its own, and one that was made of it; lists what is said of either.
fn opening_errors(room: &Room, path: &Path) -> Vec<String> {
    let [alone, restored] = ["alone", "restored"].map(|name| room.path(name));
    fs::create_dir(&alone).expect("a new folder");
    fs::copy(path, alone.join(STORE_FILE)).expect("copies");
    let mut found = Vec::new();
    found.extend(DiskStore::verify(&alone).err().map(|error| error.to_string()));
    found.extend(DiskStore::open_at(&alone, &DiskOptions::default(), MACHINE).err().map(|error| error.to_string()));
    found.extend(DiskStore::restore(path, &restored).err().map(|error| error.to_string()));
    if restored.join(STORE_FILE).exists() {
        found.extend(DiskStore::open_at(&restored, &DiskOptions::default(), MACHINE).err().map(|e| e.to_string()));
    }
    [alone, restored].iter().for_each(|folder| fs::remove_dir_all(folder).expect("removes"));
    found
}

/// Sums of them were made without a look at how large they are: restoring and opening panicked.
#[test]
fn a_number_that_cannot_be_is_damage_wherever_it_stands_in_a_row() {
    let room = Room::new();
    let whole = Whole::new(&room);
    let path = room.path("changed");
    let mut refused = 0;
    for row in [(META, Tag::Meta, TOTALS_KEY), (DOCUMENTS, Tag::Document, b"d".as_slice())] {
        for at in 0..whole.count(&path, row) {
            for number in EXTREMES {
                let place = format!("{number} as number {at} of {:?}", row.1);
                whole.write_with(&path, row, at, number);
                let found = [errors(&path, &whole, &room.path("scratch")), opening_errors(&room, &path)].concat();
                for error in &found {
                    assert!(!error.contains("a check of the database failed"), "{place}: {error}");
                }
                assert!(number <= NUMBER_MAX || !found.is_empty(), "{place} is believed");
                refused += usize::from(!found.is_empty());
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn a_witness_that_has_no_turn_left_is_not_believed() {
    let room = Room::new();
    let path = room.path("a");
    let replica = open(&path).replica();
    let witness = path.join(WITNESS_FILE);
    let mut bytes = fs::read(&witness).expect("reads");
    for slot in [0, 4096] {
        bytes[slot + 8..slot + 16].fill(0xff);
        let sum = xxh3_64(&bytes[slot..slot + 72]);
        bytes[slot + 72..slot + 80].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(&witness, bytes).expect("writes");
    assert_renewed(&open(&path), replica, Renewal::NoWitness);
}
