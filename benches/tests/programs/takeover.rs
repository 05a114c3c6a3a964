//! The program `takeover`.

use std::process::Command;

use super::figures;

const PROGRAM: &str = env!("CARGO_BIN_EXE_takeover");

/// Six times, and three comparisons.
const ROWS: usize = 9;

#[test]
fn a_short_run_tells_every_figure_of_the_same_bytes() {
    let figures = figures(PROGRAM, &[]);
    assert_eq!(figures.len(), ROWS);
    let bytes = |case: &str, what: &str| {
        let figure = figures.iter().find(|figure| figure["case"] == case).expect("is measured");
        figure[what].as_u64().expect("a number")
    };
    let (received, carried) = (bytes("replicas", "bytes received"), bytes("bare, buffers as ours", "bytes"));
    assert!(received.abs_diff(carried) * 100 < carried, "both carry the same: {received}, {carried}");
}

#[test]
fn nothing_to_measure_is_refused() {
    let output = Command::new(PROGRAM).args(["--entries", "0"]).output().expect("starts");
    assert_eq!(output.status.code(), Some(1));
}
