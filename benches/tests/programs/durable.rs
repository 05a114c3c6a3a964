//! The program `durable`.

use std::process::Command;

use super::figures;

const PROGRAM: &str = env!("CARGO_BIN_EXE_durable");

/// What each measure has rows of, in full and in short.
const ROWS: [(&str, usize); 4] = [("writers", 12), ("opening", 8), ("bytes", 9), ("memory", 10)];

#[test]
fn a_short_run_tells_every_figure_and_leaves_no_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let stores = folder.path().join("stores");
    let figures = figures(PROGRAM, &["--dir", stores.to_str().expect("is text")]);
    for (measure, rows) in ROWS {
        let count = figures.iter().filter(|figure| figure["measure"] == measure).count();
        let is_measured = measure != "memory" || cfg!(target_os = "linux");
        assert_eq!(count, if is_measured { rows } else { 0 }, "{measure}");
    }
    assert_eq!(std::fs::read_dir(&stores).expect("is left").count(), 0, "the stores are removed");
}

#[test]
fn a_wrong_argument_is_refused() {
    let output = Command::new(PROGRAM).arg("--only").arg("nothing").output().expect("starts");
    assert_eq!(output.status.code(), Some(2));
}
