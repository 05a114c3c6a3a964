//! One cart in a folder: every command, what it prints, and what it refuses.

use std::path::PathBuf;

use serde_json::json;

use crate::run::{cart, cart_in, folder};

/// A folder with two apples and a pear in it.
fn begun(test: &str) -> PathBuf {
    let data = folder(test).join("data");
    cart_in(&data, "add apple 2").ended(0);
    cart_in(&data, "add pear").ended(0);
    data
}

#[test]
fn what_is_added_is_there_in_the_next_process() {
    let data = folder("added").join("new").join("data");
    let run = cart_in(&data, "add apple 2").ended(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("apple: 2\n", ""));
    assert_eq!(
        cart_in(&data, "--json add apple").ended(0).json(),
        json!({"cart": "cart", "item": "apple", "quantity": 3})
    );
    let shown = cart_in(&data, "show --json").ended(0).json();
    assert_eq!(shown, json!({"cart": "cart", "name": null, "conflicts": [], "items": {"apple": 3}}));
}

#[test]
fn a_cart_is_shown_as_a_table() {
    let data = begun("table");
    let empty = cart_in(&data, "--cart other show").ended(0);
    assert!(empty.stdout.contains("the cart is empty"), "{empty:#?}");
    cart_in(&data, "name Alice").ended(0);
    let run = cart_in(&data, "show").ended(0);
    for shown in ["cart, of Alice", "item", "apple", "2", "pear"] {
        assert!(run.stdout.contains(shown), "{shown:?} is missing in {run:#?}");
    }
    assert_eq!(run.stderr, "");
    assert!(!run.stdout.contains('\x1b'), "no colours in a pipe");
}

#[test]
fn no_more_is_taken_than_there_is() {
    let data = begun("taken");
    let refused = cart_in(&data, "take apple 3").refused("there are only 2 of \"apple\" in the cart");
    assert!(refused.stderr.contains("nothing was taken"));
    cart_in(&data, "take plum").refused("there are only 0 of \"plum\"");
    assert_eq!(cart_in(&data, "take apple 2").ended(0).stdout, "apple: 0\n");
    let items = &cart_in(&data, "show --json").ended(0).json()["items"];
    assert_eq!(items, &json!({"apple": 0, "pear": 1}));
}

#[test]
fn what_is_removed_is_gone_and_only_what_is_there_can_be() {
    let data = begun("removed");
    let removed = cart_in(&data, "remove apple --json").ended(0).json();
    assert_eq!(removed, json!({"cart": "cart", "item": "apple", "removed": 2}));
    cart_in(&data, "remove apple").refused("there is no \"apple\" in the cart");
    assert!(cart_in(&data, "remove pear").ended(0).stdout.contains("all 1 of it"));
    assert_eq!(cart_in(&data, "show --json").ended(0).json()["items"], json!({}));
}

#[test]
fn a_name_is_written_and_replaces_the_one_before() {
    let data = folder("named").join("data");
    assert_eq!(cart_in(&data, "name Alice").ended(0).stdout, "the name is Alice\n");
    let named = cart_in(&data, "--json name Bob").ended(0).json();
    assert_eq!(named, json!({"cart": "cart", "name": "Bob", "conflicts": [], "settled": []}));
}

#[test]
fn carts_of_other_names_are_other_carts() {
    let data = begun("names");
    cart_in(&data, "--cart party add apple 40").ended(0);
    assert_eq!(cart_in(&data, "show --json").ended(0).json()["items"]["apple"], 2);
    let party = cart_in(&data, "show --json --cart party").ended(0).json();
    assert_eq!((&party["cart"], &party["items"]), (&json!("party"), &json!({"apple": 40})));
    let long = "x".repeat(2_000);
    cart_in(&data, &format!("--cart {long} add apple")).refused("there can be no cart of that name");
}

#[test]
fn what_cannot_be_stored_is_refused_and_changes_nothing() {
    let data = begun("limits");
    cart_in(&data, &format!("add {}", "x".repeat(1_025))).refused("the key has 1025 bytes");
    cart_in(&data, &format!("add apple {}", i64::MAX)).refused("would leave the range of i64");
    assert_eq!(cart_in(&data, "show --json").ended(0).json()["items"], json!({"apple": 2, "pear": 1}));
}

#[test]
fn a_folder_without_carts_is_named_and_not_made() {
    let data = folder("missing").join("none");
    let backup = folder("missing-backup").join("file");
    let backup = format!("backup {}", backup.display());
    for arguments in ["show", "take apple", "remove apple", "log", "inspect", "verify", "moved", &backup] {
        cart_in(&data, arguments).refused("none holds no carts");
    }
    assert!(!data.exists());
}

#[test]
fn wrong_arguments_end_with_2_and_say_what_to_do() {
    for (arguments, advice) in [
        ("--data d add apple 0", "give a whole number from 1 to"),
        ("--data d add apple -1", "give a whole number from 1 to"),
        ("--data d take apple 1.5", "give a whole number from 1 to"),
        ("--data d take apple 9223372036854775808", "give a whole number from 1 to 9223372036854775807"),
        ("--data d add", "<SKU>"),
        ("add apple", "give --data DIR"),
        ("sync ws://127.0.0.1:1", "give --data DIR"),
        ("--data d", "say what to do with the carts"),
        ("--cart c", "say what to do with the carts"),
        ("--data d demo", "leave --data out"),
        ("--cart c --data d verify", "the command is about all carts"),
        ("--cart c --data d moved", "the command is about all carts"),
        ("moved", "give --data DIR"),
        ("--cart c replay x.csv", "the command is about all carts"),
        ("--data d serve", "--listen"),
        ("--data d sync", "<URL>"),
        ("--data d sync ws://a --deadline 0", "give a number of seconds above 0"),
        ("--topology ring demo", "give it after demo"),
    ] {
        let run = cart(arguments, &[]).ended(2);
        assert!(run.stderr.contains(advice), "{arguments}: {advice:?} is missing in\n{}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    let blank = cart("--data d add", &["".as_ref()]).ended(2);
    assert!(blank.stderr.contains("not blank"), "{blank:#?}");
}

#[test]
fn help_shows_how_carts_are_kept_in_folders() {
    let help = cart("--help", &[]).ended(0).stdout;
    for shown in
        ["add ", "take ", "serve ", "sync ", "restore ", "moved ", "--data", "--cart", "cart --data phone sync ws://"]
    {
        assert!(help.contains(shown), "{shown:?} is missing in\n{help}");
    }
    let help = cart("add --help", &[]).ended(0).stdout;
    for shown in ["<SKU>", "[QTY]", "--data", "--cart", "--json"] {
        assert!(help.contains(shown), "{shown:?} is missing in\n{help}");
    }
}
