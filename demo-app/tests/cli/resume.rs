//! `cart replay --data`: killed in the middle and run again, no row is lost and none is made twice.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::live::Live;
use crate::run::{cart, command, folder};
use crate::sales::sales;

const ROWS: usize = 900;

/// Writes the file of sales, and returns it with a folder for the replicas.
fn prepared(test: &str) -> (PathBuf, PathBuf) {
    let folder = folder(test);
    let file = folder.join("sales.csv");
    fs::write(&file, sales(ROWS).text).expect("the folder can be written");
    (file, folder.join("shops"))
}

/// Kills a replay once it has said of so many rows that they are made, that is: durable.
fn killed_after(rows: usize, arguments: &str, file: &Path, data: &Path) {
    let mut replay = command(arguments, &[data, file]);
    let live = Live::stderr_of(replay.env("CART_LOG", "demo_app=trace"));
    for _ in 0..rows {
        live.line_with("row made");
    }
    live.kill();
}

/// Replays to the end and checks every replica against sums that were kept apart from the program.
fn finished(arguments: &str, file: &Path, data: &Path) -> Value {
    let export = data.with_extension("jsonl");
    let report = cart(&format!("replay --json --export {} {arguments}", export.display()), &[data, file]);
    let report = report.ended(0).json();
    assert_eq!((&report["rows"], &report["mismatches"]), (&ROWS.into(), &0.into()), "{report}");
    assert_eq!(fs::read_to_string(export).expect("the export"), sales(ROWS).export());
    report
}

fn found(report: &Value) -> usize {
    usize::try_from(report["rows_found"].as_u64().expect("a number of rows")).expect("a small number")
}

#[test]
fn a_replay_that_is_killed_again_and_again_goes_on_and_ends_right() {
    let (file, data) = prepared("killed");
    let options = "--peers 3 --offline-every 100 --data";
    let mut made = 0;
    for rows in [1, 150, 200] {
        killed_after(rows, &format!("replay {options}"), &file, &data);
        made += rows;
    }
    let report = finished(options, &file, &data);
    // Rows may have been made of which the last line was not read; those that were read are all there.
    assert!((made..ROWS).contains(&found(&report)), "{report}");
    let again = finished(options, &file, &data);
    assert_eq!((found(&again), &again["digest"], &again["deltas_sent"]), (ROWS, &report["digest"], &0.into()));
}

#[test]
fn a_replica_that_was_copied_away_and_back_neither_loses_nor_repeats_rows() {
    let (file, data) = prepared("set-back");
    killed_after(60, "replay --peers 2 --data", &file, &data);
    // The first store is put back to an earlier state after others have heard more of it.
    let (shop, kept) = (data.join("replica-0"), data.with_extension("kept"));
    crate::run::copy(&shop, &kept);
    killed_after(200, "replay --peers 2 --data", &file, &data);
    fs::remove_dir_all(&shop).expect("the folder can be written");
    crate::run::copy(&kept, &shop);
    let export = data.with_extension("jsonl");
    let run = cart(&format!("replay --json --peers 2 --export {} --data", export.display()), &[&data, &file]).ended(0);
    assert!(run.stderr.contains("replica 0: this replica goes on as "), "{run:#?}");
    assert_eq!(run.json()["mismatches"], 0);
    assert_eq!(fs::read_to_string(export).expect("the export"), sales(ROWS).export());
}

#[test]
fn another_replay_is_refused_where_one_has_begun() {
    let (file, data) = prepared("claimed");
    killed_after(5, "replay --peers 2 --seed 7 --data", &file, &data);
    let other = file.with_file_name("other.csv");
    fs::write(&other, sales(ROWS + 1).text).expect("the folder can be written");
    for (arguments, file) in
        [("--peers 3 --seed 7", &file), ("--peers 2 --seed 8", &file), ("--peers 2 --seed 7", &other)]
    {
        let run = cart(&format!("replay {arguments} --data"), &[&data, file]);
        let run = run.refused("holds the replay of a file of ");
        assert!(run.stderr.contains("with --seed 7 --peers 2, not of a file of "), "{run:#?}");
    }
    finished("--peers 2 --seed 7 --data", &file, &data);
    let taken = file.with_file_name("taken");
    crate::run::cart_in(&taken, "add apple").ended(0);
    cart("replay --peers 2 --data", &[&taken, &file]).refused("taken is not empty and holds no replay");
}
