//! Beneath the carts, and a folder as a whole: log, inspect, verify, backup, restore, copies, carts set aside.

use std::fs;

use serde_json::{Value, json};

use crate::run::{cart_in, copy, folder};

#[test]
fn the_log_tells_who_did_what() {
    let data = folder("log").join("data");
    for arguments in ["add apple 2", "name Alice", "take apple", "remove apple"] {
        cart_in(&data, arguments).ended(0);
    }
    let replica = cart_in(&data, "inspect --json").ended(0).json()["replica"].clone();
    let log = cart_in(&data, "log --json").ended(0).json();
    assert_eq!((&log["cart"], &log["in_snapshot"]), (&json!("cart"), &json!(0)));
    let deltas = log["deltas"].as_array().expect("a list");
    let touched: Vec<&Value> = deltas.iter().map(|delta| &delta["touched"]).collect();
    assert_eq!(touched, [&json!(["items/apple"]), &json!(["name"]), &json!(["items/apple"]), &json!(["items/apple"])]);
    for (place, delta) in deltas.iter().enumerate() {
        assert_eq!(delta["dots"], json!([{"replica": replica, "from": place + 1, "to": place + 1}]));
        assert_eq!(delta["transactions"], 1);
        assert!(delta["bytes"].as_u64().is_some_and(|bytes| bytes > 20), "{delta}");
    }
    let words = cart_in(&data, "log").ended(0).stdout;
    let short = &replica.as_str().expect("an id")[..8];
    for shown in ["cart: 4 deltas", short, "items/apple", "name"] {
        assert!(words.contains(shown), "{shown:?} is missing in\n{words}");
    }
    assert_eq!(cart_in(&data, "--cart other log --json").ended(0).json()["deltas"], json!([]));
}

#[test]
fn an_inspection_tells_who_the_replica_is_and_what_it_holds() {
    let data = folder("inspect").join("data");
    cart_in(&data, "add apple 2").ended(0);
    cart_in(&data, "--cart party add apple").ended(0);
    cart_in(&data, "--cart party add plum").ended(0);
    let found = cart_in(&data, "inspect --json").ended(0).json();
    let replica = found["replica"].as_str().expect("an id");
    assert_eq!((&found["former"], &found["renewed"]), (&json!([]), &json!(null)));
    let documents = found["documents"].as_array().expect("a list");
    assert_eq!(documents.len(), 2);
    assert_eq!((&documents[0]["cart"], &documents[0]["version"]), (&json!("cart"), &json!({replica: 1})));
    assert_eq!((&documents[1]["cart"], &documents[1]["version"]), (&json!("party"), &json!({replica: 2})));
    assert_eq!(documents[1]["deltas"], 2);
    assert_ne!(documents[0]["digest"], documents[1]["digest"]);
    let length = fs::metadata(data.join("store.redb")).expect("the store").len();
    assert_eq!(found["file_bytes"], length);
    let words = cart_in(&data, "inspect").ended(0).stdout;
    for shown in [&format!("replica {replica}"), "2 documents", "party", &format!("{}:2", &replica[..8])] {
        assert!(words.contains(shown), "{shown:?} is missing in\n{words}");
    }
}

#[test]
fn a_whole_folder_verifies_and_a_damaged_one_does_not() {
    let data = folder("verify").join("data");
    cart_in(&data, "add apple 2").ended(0);
    let checked = cart_in(&data, "verify --json").ended(0).json();
    assert_eq!((&checked["documents"], &checked["deltas"]), (&json!(1), &json!(1)));
    assert!(cart_in(&data, "verify").ended(0).stdout.contains("all is whole: 1 documents, 1 deltas"));

    // One bit of the item's name, wherever it stands: pages that are no longer in use may hold it too.
    let store = data.join("store.redb");
    let mut bytes = fs::read(&store).expect("the store");
    let places = bytes.windows(5).enumerate().filter(|(_, bytes)| *bytes == b"apple").map(|(at, _)| at);
    let places: Vec<usize> = places.collect();
    assert!(!places.is_empty(), "names are stored as they are");
    places.into_iter().for_each(|at| bytes[at] ^= 1);
    fs::write(&store, bytes).expect("the store can be written");
    let refused = cart_in(&data, "verify").refused("data cannot be used");
    assert!(refused.stderr.contains("damaged"), "{refused:#?}");
    cart_in(&data, "show").refused("damaged");
}

#[test]
fn a_backup_becomes_another_replica_with_the_same_carts() {
    let folder = folder("backup");
    let (data, file, restored) = (folder.join("data"), folder.join("file"), folder.join("restored"));
    cart_in(&data, "add apple 2").ended(0);
    let written = cart_in(&data, &format!("backup {} --json", file.display())).ended(0).json();
    assert_eq!(written["bytes"], fs::metadata(&file).expect("the backup").len());
    cart_in(&data, &format!("backup {}", file.display())).refused("the file exists already");
    cart_in(&data, "add apple 5").ended(0);

    let restore = format!("restore {}", file.display());
    assert_eq!(cart_in(&restored, &format!("{restore} --json")).ended(0).json()["documents"], 1);
    cart_in(&restored, &restore).refused("holds carts already");
    cart_in(&folder.join("other"), &format!("restore {}", folder.join("none").display()))
        .refused("none cannot be used");

    // The new identity is told on standard error, once.
    let shown = cart_in(&restored, "show --json").ended(0);
    assert_eq!(shown.json()["items"], json!({"apple": 2}));
    assert_eq!(shown.stderr.lines().count(), 1, "{shown:#?}");
    assert!(shown.stderr.contains("this replica goes on as "), "{shown:#?}");
    assert!(shown.stderr.contains("the store comes from a backup"), "{shown:#?}");
    assert_eq!(cart_in(&restored, "show").ended(0).stderr, "");
    let (one, other) = (cart_in(&data, "inspect --json").json(), cart_in(&restored, "inspect --json").json());
    assert_ne!(one["replica"], other["replica"]);
    assert_eq!(other["former"], json!([one["replica"]]));
}

#[test]
fn a_copied_folder_is_told_from_the_one_it_was_copied_from() {
    let folder = folder("copied");
    let (data, copied) = (folder.join("data"), folder.join("copied"));
    cart_in(&data, "add apple 2").ended(0);
    copy(&data, &copied);
    let noticed = cart_in(&copied, "inspect --json").ended(0);
    assert_eq!(noticed.stderr.lines().count(), 1, "{noticed:#?}");
    let (found, original) = (noticed.json(), cart_in(&data, "inspect --json").ended(0));
    assert!(found["renewed"].is_string(), "{found}");
    assert_eq!(found["former"], json!([original.json()["replica"]]));
    assert_eq!((original.stderr.as_str(), &original.json()["former"]), ("", &json!([])));
}

#[test]
fn a_cart_that_is_set_aside_goes_on_under_the_new_name() {
    let data = folder("aside").join("data");
    cart_in(&data, "set-aside before").refused("holds no carts");
    cart_in(&data, "add apple 2").ended(0);
    cart_in(&data, "--cart other add plum").ended(0);
    cart_in(&data, "set-aside other").refused("there is a document of that name already");
    let former = cart_in(&data, "inspect --json").ended(0).json()["replica"].clone();
    let moved = cart_in(&data, "set-aside before --json").ended(0).json();
    assert_eq!(moved, json!({"cart": "cart", "aside": "before", "items": {"apple": 2}}));
    assert_eq!(cart_in(&data, "show --json").ended(0).json()["items"], json!({}));
    assert_eq!(cart_in(&data, "--cart before show --json").ended(0).json()["items"], json!({"apple": 2}));
    let found = cart_in(&data, "inspect --json").ended(0).json();
    assert_eq!(found["former"], json!([former]), "others may have its transactions in the cart");

    cart_in(&data, "add pear").ended(0);
    let said = cart_in(&data, "set-aside once-more").ended(0).stdout;
    assert!(said.contains("what was in cart is in once-more now"), "{said}");
    cart_in(&data, "verify").ended(0);
}
