//! A folder that was carried elsewhere, put back, or written by another version: which identity it goes on under.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::run::{cart_in, copy, folder};

fn replica(data: &Path) -> Value {
    let found = cart_in(data, "inspect --json").ended(0);
    assert_eq!(found.stderr, "", "the identity is told already");
    found.json()["replica"].clone()
}

/// Carries a folder as `mv` does from one file system to another.
fn carry(from: &Path, to: &Path) {
    copy(from, to);
    fs::remove_dir_all(from).expect("the folder can be written");
}

#[test]
fn a_folder_that_was_carried_elsewhere_keeps_its_identity_if_that_is_said_first() {
    let folder = folder("carried");
    let [first, second, third] = ["first", "second", "third"].map(|name| folder.join(name));
    cart_in(&first, "add apple 2").ended(0);
    let id = replica(&first);
    carry(&first, &second);
    let moved = cart_in(&second, "moved --json").ended(0);
    assert_eq!(moved.stderr, "");
    let although = "the store is another file than it was";
    assert_eq!(moved.json(), json!({"identity": "vouched", "replica": id, "although": although}));
    assert_eq!(replica(&second), id);

    carry(&second, &third);
    let moved = cart_in(&third, "moved").ended(0).stdout;
    let id = id.as_str().expect("an id");
    assert_eq!(moved, format!("this replica stays {id}: you vouch for it, although {although}\n"));
    assert_eq!(cart_in(&third, "show --json").ended(0).json()["items"], json!({"apple": 2}));
}

#[test]
fn a_folder_that_was_carried_elsewhere_and_only_read_is_told_what_would_have_kept_its_identity() {
    let folder = folder("carried-unsaid");
    let (first, second) = (folder.join("first"), folder.join("second"));
    cart_in(&first, "add apple 2").ended(0);
    let id = replica(&first);
    carry(&first, &second);
    let shown = cart_in(&second, "show").ended(0);
    assert_eq!(shown.stderr.lines().count(), 1, "{shown:#?}");
    assert!(shown.stderr.contains("`cart --data DIR moved` as the first command keeps the identity"), "{shown:#?}");
    let renewed = replica(&second);
    assert_ne!(renewed, id);
    let moved = cart_in(&second, "moved --json").ended(0).json();
    assert_eq!(moved, json!({"identity": "proven", "replica": renewed}), "too late");
}

#[test]
fn a_plain_restart_needs_no_word() {
    let data = folder("unmoved").join("data");
    cart_in(&data, "add apple 2").ended(0);
    let id = replica(&data);
    assert_eq!(cart_in(&data, "moved --json").ended(0).json(), json!({"identity": "proven", "replica": id}));
    let said = cart_in(&data, "moved").ended(0).stdout;
    let proven = format!(
        "this replica is {}; the identity is proven, there was nothing to vouch for\n",
        id.as_str().expect("an id")
    );
    assert_eq!(said, proven);
    assert_eq!(replica(&data), id);
}

#[test]
fn a_folder_that_was_renamed_needs_no_word() {
    let folder = folder("renamed");
    let (phone, tablet) = (folder.join("phone"), folder.join("tablet"));
    cart_in(&phone, "add apple 2").ended(0);
    let id = replica(&phone);
    fs::rename(&phone, &tablet).expect("the folder can be written");
    let said = cart_in(&tablet, "moved").ended(0).stdout;
    assert!(said.contains("the identity is proven, there was nothing to vouch for"), "{said}");
    assert_eq!(cart_in(&tablet, "moved --json").ended(0).json(), json!({"identity": "proven", "replica": id}));
    assert_eq!(replica(&tablet), id);
}

#[test]
fn a_store_beside_the_witness_of_another_takes_another_identity_whatever_is_said() {
    let folder = folder("strange-witness");
    let (phone, tablet) = (folder.join("phone"), folder.join("tablet"));
    cart_in(&phone, "add apple 2").ended(0);
    let id = replica(&phone);
    cart_in(&tablet, "add pear 1").ended(0);
    fs::rename(phone.join("store.redb"), tablet.join("store.redb")).expect("the folder can be written");
    let moved = cart_in(&tablet, "moved --json").ended(1).json();
    assert_eq!((&moved["because"], &moved["former"]), (&json!("the store is none that its witness knows"), &id));
    assert_eq!(cart_in(&tablet, "show --json").ended(0).json()["items"], json!({"apple": 2}));
}

#[test]
fn an_earlier_copy_takes_another_identity_whatever_is_said() {
    let folder = folder("set-back-and-moved");
    let (data, copied) = (folder.join("data"), folder.join("copied"));
    cart_in(&data, "add apple 2").ended(0);
    let id = replica(&data);
    copy(&data, &copied);
    let put_back = || {
        cart_in(&data, "add apple 3").ended(0);
        fs::remove_file(data.join("store.redb")).expect("the folder can be written");
        fs::copy(copied.join("store.redb"), data.join("store.redb")).expect("the file can be copied");
    };
    put_back();
    let moved = cart_in(&data, "moved --json").ended(1).json();
    assert_eq!((&moved["identity"], &moved["former"]), (&json!("renewed"), &id));
    assert_eq!(moved["because"], "the store is none that its witness knows");
    assert_eq!(moved["replica"], replica(&data));
    assert_ne!(moved["replica"], id);
    assert_eq!(cart_in(&data, "show --json").ended(0).json()["items"], json!({"apple": 2}));

    put_back();
    let said = cart_in(&data, "moved").ended(1).stdout;
    let id = id.as_str().expect("an id");
    assert!(
        said.contains(&format!("the identity {id} cannot be kept, because the store is none that its witness knows")),
        "{said}"
    );
    assert!(said.contains("this replica goes on as "), "{said}");
}

#[test]
fn a_backup_takes_another_identity_whatever_is_said() {
    let folder = folder("backup-and-moved");
    let (data, file, restored) = (folder.join("data"), folder.join("file"), folder.join("restored"));
    cart_in(&data, "add apple 2").ended(0);
    cart_in(&data, &format!("backup {}", file.display())).ended(0);
    cart_in(&restored, &format!("restore {}", file.display())).ended(0);
    let moved = cart_in(&restored, "moved --json").ended(1).json();
    assert_eq!((&moved["because"], &moved["former"]), (&json!("the store comes from a backup"), &replica(&data)));
    let shown = cart_in(&restored, "show").ended(0);
    assert_eq!(shown.stderr, "", "{shown:#?}");
}

/// Writes the number of a format into a store, as docs/storage.md has it.
fn set_format(data: &Path, format: u32) {
    let database = redb::Database::open(data.join("store.redb")).expect("the store");
    let write = database.begin_write().expect("nobody else has it");
    let meta = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
    let payload = format.to_le_bytes();
    let checksum = xxh3_64_with_seed(&payload, xxh3_64(b"\x01format")).to_le_bytes();
    let value = [checksum.as_slice(), &payload].concat();
    write.open_table(meta).expect("it is there").insert(b"format".as_slice(), &*value).expect("the disk takes it");
    write.commit().expect("the disk takes it");
}

#[test]
fn a_folder_of_another_version_is_refused_by_every_command_and_left_as_it_is() {
    let folder = folder("formats");
    let (data, file) = (folder.join("data"), folder.join("file"));
    cart_in(&data, "add apple 2").ended(0);
    let id = replica(&data);
    let ours = fs::read(data.join("store.redb")).expect("the store");
    let backup = format!("backup {}", file.display());
    for (format, advice) in [(1, "open it with the version that wrote it"), (u32::MAX, "update it")] {
        set_format(&data, format);
        let files = || ["store.redb", "witness"].map(|file| fs::read(data.join(file)).expect("the folder can be read"));
        let before = files();
        for arguments in ["show", "add apple", "inspect", "log", "moved", "serve --listen 127.0.0.1:0", &backup] {
            let refused =
                cart_in(&data, arguments).refused(&format!("data cannot be used: the store has format {format}"));
            assert!(refused.stderr.contains(advice), "{arguments}: {refused:#?}");
        }
        cart_in(&data, "verify").refused(&format!("the store has format {format}"));
        let restore = format!("restore {}", data.join("store.redb").display());
        cart_in(&folder.join("other"), &restore).refused(&format!("the backup has format {format}"));
        assert!(files() == before && !file.exists(), "format {format}");
    }
    fs::write(data.join("store.redb"), ours).expect("the store can be written");
    assert_eq!(replica(&data), id);
}
