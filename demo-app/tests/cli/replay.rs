//! `cart replay`: every replica against sums that were kept apart from the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::run::{Run, cart, folder};
use crate::sales::{HEADER, sales};

const ROWS: usize = 2_000;

/// Replays and checks everything that does not depend on the arguments.
fn replayed(arguments: &str, file: &Path, export: &Path) -> Value {
    let arguments = format!("replay --json {arguments} --export");
    let report = cart(&arguments, &[export, file]).ended(0).json();
    let expected = sales(ROWS);
    assert_eq!(report["rows"], ROWS);
    assert_eq!(report["carts"], expected.carts.len());
    assert_eq!(report["items"], expected.items());
    assert_eq!(report["converged"], true);
    assert_eq!(report["mismatches"], 0);
    assert_eq!(fs::read_to_string(export).expect("the export"), expected.export());
    report
}

#[test]
fn every_topology_with_absences_ends_with_the_sums_of_the_file() {
    let folder = folder("topologies");
    let (file, export) = (folder.join("sales.csv"), folder.join("carts.jsonl"));
    fs::write(&file, sales(ROWS).text).expect("the folder can be written");
    let mut digests = BTreeSet::new();
    for topology in ["mesh", "star", "ring", "line"] {
        let arguments = format!("--topology {topology} --peers 4 --offline-every 150");
        let report = replayed(&arguments, &file, &export);
        digests.insert(report["digest"].to_string());
        assert_eq!((&report["topology"], &report["peers"]), (&topology.into(), &4.into()));
        for figure in ["seconds", "rows_per_second", "bytes_sent", "deltas_sent"] {
            assert!(report[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure} in {report}");
        }
        assert!(report["deltas_duplicate"].is_u64());
    }
    // The seed fixes ids and writers; the way that the writes took leaves no trace.
    assert_eq!(digests.len(), 1, "{digests:?}");
}

#[test]
fn a_compressed_file_gives_the_same_as_a_plain_one() {
    let folder = folder("compressed");
    let (plain, packed) = (folder.join("sales.csv"), folder.join("sales.csv.zst"));
    let text = sales(ROWS).text;
    fs::write(&plain, &text).expect("the folder can be written");
    fs::write(&packed, zstd::encode_all(text.as_bytes(), 3).expect("compression in memory")).expect("as above");
    let export = folder.join("carts.jsonl");
    let digest = |file: &Path| replayed("--peers 2 --seed 5", file, &export)["digest"].clone();
    let plain = digest(&plain);
    assert_eq!(plain.as_str().map(str::len), Some(32));
    assert_eq!(plain, digest(&packed));
}

#[test]
fn words_instead_of_json_say_the_same() {
    let file = folder("words").join("sales.csv");
    fs::write(&file, sales(50).text).expect("the folder can be written");
    let run = cart("replay", &[&file]).ended(0);
    assert!(run.stdout.contains("all 3 replicas hold exactly what the file says"), "{run:#?}");
    assert!(!run.stdout.contains('\x1b'), "no colours in a pipe");
    assert_eq!(run.stderr, "", "no progress bar in a pipe");
}

/// Replays a file that must be refused.
fn refused(name: &str, text: &str) -> Run {
    let folder = folder(name);
    let (file, export) = (folder.join("sales.csv"), folder.join("carts.jsonl"));
    fs::write(&file, text).expect("the folder can be written");
    let run = cart("replay --json --export", &[&export, &file]).ended(1);
    assert_eq!(run.stdout, "");
    assert!(!export.exists(), "no export of half a file");
    run
}

#[test]
fn a_broken_row_is_refused_with_its_line() {
    // A quoted line break above, so rows and lines differ.
    let mut text = HEADER.to_owned() + "1,A,1,t,1,9,UK,\"two\nlines\"\n";
    for _ in 0..600 {
        text += "1,A,1,t,1,9,UK,x\n";
    }
    let good_lines = text.lines().count();
    let stderr = refused("quantity", &format!("{text}1,A,three,t,1,9,UK,x\n")).stderr;
    assert!(stderr.contains(&format!("line {} ", good_lines + 1)), "{stderr}");
    assert!(stderr.contains("the quantity \"three\" is not a whole number"), "{stderr}");
    let stderr = refused("fields", &format!("{text}\n1,A,3\n")).stderr;
    assert!(stderr.contains(&format!("line {} ", good_lines + 2)), "{stderr}");
    assert!(stderr.contains("3 fields where the header has 8"), "{stderr}");
}

#[test]
fn a_sum_beyond_sixty_four_bits_on_one_replica_is_refused_with_its_line() {
    let row = format!("1,A,{},t,1,9,UK,x\n", i64::MAX);
    // Three rows on two replicas: two of them meet.
    let stderr = refused("overflow", &format!("{HEADER}{row}{row}{row}")).stderr;
    assert!(stderr.contains("line 3") || stderr.contains("line 4"), "{stderr}");
    assert!(stderr.contains("did not take the row in"), "{stderr}");
}

#[test]
fn a_header_without_quantities_and_a_damaged_compression_are_refused() {
    let stderr = refused("header-bad", "invoice,stock_code,customer_id\n1,A,9\n").stderr;
    assert!(stderr.contains("line 1: there is no column \"quantity\""), "{stderr}");
    let folder = folder("damaged");
    let file = folder.join("sales.csv.zst");
    let packed = zstd::encode_all(sales(ROWS).text.as_bytes(), 3).expect("compression in memory");
    fs::write(&file, &packed[..packed.len() / 2]).expect("the folder can be written");
    let run = cart("replay", &[&file]).ended(1);
    assert!(run.stderr.contains("the file cannot be read further"), "{run:#?}");
}

#[test]
fn a_file_with_a_header_only_is_refused() {
    let stderr = refused("header", HEADER).stderr;
    assert!(stderr.contains("the file has a header and no rows"), "{stderr}");
}
