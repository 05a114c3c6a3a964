//! Arguments: help that a person can use, and complaints that say what to do.

use std::path::Path;

use crate::run::{cart, folder};

#[test]
fn help_lists_the_commands_and_shows_examples() {
    for arguments in ["--help", "help"] {
        let help = cart(arguments, &[]).ended(0).stdout;
        for shown in ["demo ", "replay ", "Examples:", "--topology", "Exit code"] {
            assert!(help.contains(shown), "{shown:?} is missing in\n{help}");
        }
    }
    let help = cart("replay --help", &[]).ended(0).stdout;
    for shown in ["<FILE>", "--peers", "--topology", "--offline-every", "--seed", "--json", "--export"] {
        assert!(help.contains(shown), "{shown:?} is missing in\n{help}");
    }
}

#[test]
fn wrong_arguments_end_with_2_and_say_what_to_do() {
    for (arguments, advice) in [
        ("demo --peers 1", "from 2 to 26"),
        ("--peers 27", "from 2 to 26"),
        ("replay x.csv --peers 1", "from 2 to 64"),
        ("replay x.csv --peers many", "from 2 to 64"),
        ("demo --topology ring --peers 2", "a ring needs at least 3 replicas, not 2; give --peers 3"),
        ("replay x.csv --topology ring --peers 2", "give --peers 3 or more, or another --topology"),
        ("replay x.csv --topology tree", "possible values: mesh, star, ring, line"),
        ("replay x.csv --offline-every 0", "give a whole number of rows, at least 1"),
        ("replay", "<FILE>"),
        ("replay x.csv --seed x", "--seed"),
        ("sell", "--help"),
    ] {
        let run = cart(arguments, &[]).ended(2);
        assert!(run.stderr.contains(advice), "{arguments}: {advice:?} is missing in\n{}", run.stderr);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn a_missing_file_a_folder_and_an_export_to_nowhere_are_named() {
    let folder = folder("files");
    let run = cart("replay", &[&folder.join("none.csv")]).ended(1);
    assert!(run.stderr.contains("none.csv cannot be opened"), "{run:#?}");
    let run = cart("replay", &[&folder]).ended(1);
    assert!(run.stderr.contains("files cannot be opened"), "{run:#?}");
    let file = folder.join("sales.csv");
    std::fs::write(&file, crate::sales::HEADER).expect("the folder can be written");
    let run = cart("replay --export /no/such/folder/carts.jsonl", &[Path::new(&file)]).ended(1);
    assert!(run.stderr.contains("/no/such/folder/carts.jsonl cannot be written"), "{run:#?}");
}
