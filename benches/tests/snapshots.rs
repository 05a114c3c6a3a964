//! The program `snapshots`, in short: it ends well, so snapshots stood still, and tells every figure.

use std::process::Command;

use serde_json::Value;

/// What is measured of a document and of plain sets.
const ROWS: usize = 7;

#[test]
fn a_short_run_checks_its_results_and_tells_every_figure() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("figures");
    let mut command = Command::new(env!("CARGO_BIN_EXE_snapshots"));
    let output = command.arg("--quick").arg("--json").arg(&json).output().expect("starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let figures = std::fs::read_to_string(&json).expect("was written");
    let figures: Vec<Value> = figures.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
    assert_eq!(figures.len(), ROWS);
    for figure in figures {
        let [min, median, max] = ["min", "median", "max"].map(|what| figure[what].as_f64().expect("a number"));
        assert!(0.0 < min && min <= median && median <= max, "{figure}");
        assert!(told.contains(figure["case"].as_str().expect("a name")), "{figure}");
    }
}
