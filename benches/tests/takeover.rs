//! The program `takeover`, in short: it ends well, so every document was right, and tells every figure.

use std::process::Command;

use serde_json::Value;

/// Six times, and three comparisons.
const ROWS: usize = 9;

#[test]
fn a_short_run_checks_its_results_and_tells_every_figure() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("figures");
    let mut command = Command::new(env!("CARGO_BIN_EXE_takeover"));
    let output = command.arg("--quick").arg("--json").arg(&json).output().expect("starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let figures = std::fs::read_to_string(&json).expect("was written");
    let figures: Vec<Value> = figures.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
    assert_eq!(figures.len(), ROWS);
    for figure in &figures {
        let [min, median, max] = ["min", "median", "max"].map(|what| figure[what].as_f64().expect("a number"));
        assert!(0.0 < min && min <= median && median <= max, "{figure}");
        assert!(told.contains(figure["case"].as_str().expect("a name")), "{figure}");
    }
    let bytes = |case: &str, what: &str| {
        let figure = figures.iter().find(|figure| figure["case"] == case).expect("is measured");
        figure[what].as_u64().expect("a number")
    };
    let (received, carried) = (bytes("replicas", "bytes received"), bytes("bare, buffers as ours", "bytes"));
    assert!(received.abs_diff(carried) * 100 < carried, "both carry the same: {received}, {carried}");
}

#[test]
fn nothing_to_measure_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_takeover")).args(["--entries", "0"]).output().expect("starts");
    assert_eq!(output.status.code(), Some(1));
}
