//! Runs `--quick` through every workload, and checks that every system was compared with the model.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Rows of each workload.
const SYSTEMS: usize = 11;

/// Systems that are known to give another result.
const WRONG: [(&str, &str); 2] = [
    // What it says a version lacks leaves out removals of what the version has.
    ("W9-1", "dson"),
    ("W9-10", "dson"),
];

/// A file of trade rows, made up.
fn trade_file(folder: &Path) -> PathBuf {
    let mut rows = String::from("invoice,stock_code,quantity,description\n");
    for row in 0..500 {
        rows.push_str(&format!("{},{},{},\"a, b\"\n", row / 20, row % 50, row % 7 - 1));
    }
    let path = folder.join("trade.csv");
    std::fs::write(&path, rows).expect("the folder is writable");
    path
}

#[test]
fn every_system_of_every_workload_is_compared_with_the_model() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (json, data) = (folder.join("quick.json"), trade_file(&folder));
    let mut compare = Command::new(env!("CARGO_BIN_EXE_compare"));
    let status = compare.arg("--quick").arg("--json").arg(&json).arg("--data").arg(&data).status().unwrap();
    assert!(status.success());
    let lines = std::fs::read_to_string(&json).unwrap();
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let workloads: Vec<&str> = rows.iter().step_by(SYSTEMS).map(|row| row["workload"].as_str().unwrap()).collect();
    let groups = ["W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "W9"];
    for group in groups {
        assert!(workloads.iter().any(|workload| workload.starts_with(group)), "{group} is missing");
    }
    assert_eq!(rows.len(), SYSTEMS * workloads.len(), "each workload has a row for each system");
    for row in &rows {
        let (workload, system) = (row["workload"].as_str().unwrap(), row["system"].as_str().unwrap());
        let is_known = WRONG.contains(&(workload, system));
        match (&row["correct"], &row["skipped"]) {
            (Value::Bool(true), Value::Null) => {
                let measures = row["ns_per_item"].is_number() || row["bytes"].is_number();
                assert!(measures && !is_known, "{row}");
            }
            (Value::Bool(false), Value::Null) => assert!(is_known && row["ns_per_item"].is_null(), "{row}"),
            (Value::Null, Value::String(reason)) => assert!(!reason.is_empty(), "{row}"),
            _ => panic!("neither compared nor skipped: {row}"),
        }
    }
}
