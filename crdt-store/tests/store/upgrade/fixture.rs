//! A store that an earlier build of the present format wrote: packed in the repository, unpacked for a test.
//!
//! `tests/fixtures/format-N` holds the two files of the folder, compressed, and `expected.json`, which says in words
//! what is in them. They are never written over: with `UPDATE_GOLDENFILES=1` they are made for a format that has none.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use crdt_core::{EntryRef, MapRef};
use crdt_store::{Continuity, DiskOptions, DiskStore, Store};
use redb::{Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::{Map, Value as Json, json};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::story;
use crate::folded;

/// The files of a folder, as they are named there.
const FILES: [&str; 2] = ["store.redb", "witness"];

/// The rows of a database: the table, then the key, and the value with its checksum.
pub(crate) type Rows = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

/// What is committed.
#[derive(Debug)]
pub(crate) struct Fixture {
    files: [Vec<u8>; 2],
    /// What `expected.json` says.
    pub(crate) expected: Json,
    /// What this build makes of the same story.
    pub(crate) rows_of_this_build: Rows,
}

/// Returns the fixture of the format that this build writes. It is made first, if there is none and it may be.
pub(crate) fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let room = tempfile::tempdir().expect("a temporary folder");
        let lived = room.path().join("lived");
        story::live(&lived);
        let rows_of_this_build = rows(&lived.join("store.redb"));
        let format = format_of(&rows_of_this_build);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/format-{format}"));
        if !folder.exists() {
            let may_be_made = std::env::var("UPDATE_GOLDENFILES").is_ok_and(|value| value == "1");
            assert!(may_be_made, "format {format} has no fixture; see \"Changing the format\" in docs/storage.md");
            pack(&lived, &folder);
        }
        let packed = FILES.map(|file| fs::read(folder.join(format!("{file}.zst"))).expect("the fixture is whole"));
        let expected = fs::read(folder.join("expected.json")).expect("the fixture is whole");
        Fixture {
            files: packed.map(|packed| zstd::decode_all(&*packed).expect("the fixture is whole")),
            expected: serde_json::from_slice(&expected).expect("the fixture is whole"),
            rows_of_this_build,
        }
    })
}

fn pack(lived: &Path, folder: &Path) {
    fs::create_dir_all(folder).expect("a new folder");
    for file in FILES {
        let bytes = fs::read(lived.join(file)).expect("reads");
        let packed = zstd::encode_all(&*bytes, 19).expect("compression in memory");
        fs::write(folder.join(format!("{file}.zst")), packed).expect("writes");
    }
    let expected = describe(lived);
    fs::write(folder.join("expected.json"), format!("{expected:#}\n")).expect("writes");
}

impl Fixture {
    /// Unpacks it as a folder that came from elsewhere: the witness names another file, and mostly another machine.
    pub(crate) fn carried_to(&self, folder: &Path) {
        fs::create_dir(folder).expect("a new folder");
        FILES.iter().zip(&self.files).for_each(|(file, bytes)| fs::write(folder.join(file), bytes).expect("writes"));
    }

    /// Unpacks it as if it had been written where it is now, which is what an upgrade of the program finds. The witness
    /// is told where that is; its seals and commits stay those of the fixture, and must fit the store.
    pub(crate) fn written_in(&self, folder: &Path) {
        /// Where a slot names inode, creation and machine; the checksum of all before follows.
        const PLACE: std::ops::Range<usize> = 48..72;
        // A store made here has a witness that knows the place. What is written over its file leaves it the same file.
        drop(DiskStore::open(folder, DiskOptions::default()).expect("opens"));
        let here = fs::read(folder.join("witness")).expect("reads")[PLACE].to_vec();
        let [store, mut witness] = self.files.clone();
        for slot in [0, 4096] {
            let slot = &mut witness[slot..slot + PLACE.end + 8];
            if slot.starts_with(b"crdtwit1") {
                slot[PLACE].copy_from_slice(&here);
                let checksum = xxh3_64(&slot[..PLACE.end]).to_le_bytes();
                slot[PLACE.end..].copy_from_slice(&checksum);
            }
        }
        fs::write(folder.join("store.redb"), store).expect("writes");
        fs::write(folder.join("witness"), witness).expect("writes");
    }

    /// Returns the rows of the store.
    pub(crate) fn rows(&self) -> Rows {
        let room = tempfile::tempdir().expect("a temporary folder");
        let file = room.path().join("store.redb");
        fs::write(&file, &self.files[0]).expect("writes");
        rows(&file)
    }
}

/// Reads all rows of a database, which must be open nowhere.
fn rows(file: &Path) -> Rows {
    let database = redb::Database::open(file).expect("opens");
    let transaction = database.begin_read().expect("begins");
    let mut rows = Rows::new();
    add_table::<&[u8]>(&transaction, "meta", &mut rows);
    add_table::<&[u8]>(&transaction, "documents", &mut rows);
    add_table::<&[u8; 8]>(&transaction, "versions", &mut rows);
    add_table::<&[u8; 20]>(&transaction, "chunks", &mut rows);
    add_table::<&[u8; 16]>(&transaction, "deltas", &mut rows);
    add_table::<&[u8; 16]>(&transaction, "layers", &mut rows);
    assert_eq!(transaction.list_tables().expect("lists").count(), 6, "no other table");
    rows
}

fn add_table<K: Key + 'static>(transaction: &ReadTransaction, name: &'static str, rows: &mut Rows) {
    let table = transaction.open_table(TableDefinition::<K, &[u8]>::new(name)).expect("is there");
    for entry in table.iter().expect("reads") {
        let (key, value) = entry.expect("reads");
        rows.insert((name, K::as_bytes(&key.value()).as_ref().to_vec()), value.value().to_vec());
    }
}

fn format_of(rows: &Rows) -> u32 {
    let row = &rows[&("meta", b"format".to_vec())];
    u32::from_le_bytes(row[8..].try_into().expect("four bytes"))
}

/// Opens a store that was carried to where it is.
pub(crate) fn open_vouched(folder: &Path) -> DiskStore {
    let mut options = DiskOptions::default();
    options.continuity = Continuity::Vouched;
    DiskStore::open(folder, options).expect("opens")
}

/// Says what a store holds, so that nothing in it can change unseen: who writes to it, and of each document the
/// version, the content with all conflicts, and the length and hash of all bytes into which this build encodes it.
pub(crate) fn describe(folder: &Path) -> Json {
    let room = tempfile::tempdir().expect("a temporary folder");
    let copy = room.path().join("copy");
    fs::create_dir(&copy).expect("a new folder");
    for file in FILES {
        fs::copy(folder.join(file), copy.join(file)).expect("copies");
    }
    let rows = rows(&copy.join("store.redb"));
    let store = open_vouched(&copy);
    let mut counts = BTreeMap::new();
    rows.keys().for_each(|(table, _)| *counts.entry(*table).or_insert(0_u64) += 1);
    let documents: Map<String, Json> = store
        .heads()
        .expect("reads")
        .into_iter()
        .map(|(name, head)| (name.to_string(), describe_document(&store, &name, head.is_some())))
        .collect();
    let settled = store.settled().expect("reads");
    let settled: Vec<Json> = settled.iter().map(|(name, replica)| json!([&**name, replica])).collect();
    json!({
        "format": format_of(&rows),
        "replica": store.replica(),
        "former": store.former(),
        "disputed": store.disputed(),
        "settled": settled,
        "rows": counts,
        "documents": documents,
    })
}

fn describe_document(store: &DiskStore, name: &str, has_head: bool) -> Json {
    let stored = store.load(name).expect("reads").expect("is there");
    let snapshot = hash(&stored.snapshot.encode());
    let deltas: Vec<Json> = stored.deltas.iter().map(|delta| hash(&delta.to_bytes())).collect();
    let whole = folded(stored);
    let version: BTreeMap<String, u64> =
        whole.version().iter().map(|(replica, counter)| (replica.to_string(), counter)).collect();
    let mut conflicts = Map::new();
    list_conflicts(whole.root(), "", &mut conflicts);
    json!({
        "version": version,
        "digest": whole.digest().to_string(),
        "head_is_noted": has_head,
        "snapshot": snapshot,
        "deltas": deltas,
        "whole": hash(&whole.encode()),
        "content": shortened(whole.root().to_json()),
        "conflicts": conflicts,
    })
}

fn hash(bytes: &[u8]) -> Json {
    json!({"bytes": bytes.len(), "xxh3": format!("{:032x}", xxh3_128(bytes))})
}

/// Lists all values of the registers that have several, with their stamps and dots, the winner first.
fn list_conflicts(map: MapRef<'_>, path: &str, out: &mut Map<String, Json>) {
    for (key, entry) in map.entries() {
        let path = format!("{path}/{}", key.name);
        match entry {
            EntryRef::Map(inner) => list_conflicts(inner, &path, out),
            EntryRef::Register(register) if register.is_conflicted() => {
                let conflicts = register.conflicts();
                let conflicts: Vec<Json> =
                    conflicts.iter().map(|each| json!([each.value, each.stamp, each.dot])).collect();
                out.insert(path, conflicts.into());
            }
            _ => {}
        }
    }
}

/// Cuts long text, whose bytes the hashes tell.
fn shortened(json: Json) -> Json {
    match json {
        Json::Object(map) => map.into_iter().map(|(name, value)| (name, shortened(value))).collect(),
        Json::String(text) if text.len() > 1000 => format!("{}… ({} bytes)", &text[..32], text.len()).into(),
        other => other,
    }
}
