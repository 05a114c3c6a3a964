//! The program `durable`, in short: it ends well, so every result was right, and tells every figure.

use std::process::Command;

use serde_json::Value;

/// What each measure has rows of, in full and in short.
const ROWS: [(&str, usize); 4] = [("writers", 12), ("opening", 8), ("bytes", 9), ("memory", 10)];

#[test]
fn a_short_run_checks_its_results_and_tells_every_figure() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("figures");
    let stores = folder.path().join("stores");
    let mut command = Command::new(env!("CARGO_BIN_EXE_durable"));
    let output = command.arg("--quick").arg("--json").arg(&json).arg("--dir").arg(&stores).output().expect("starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let figures = std::fs::read_to_string(&json).expect("was written");
    let figures: Vec<Value> = figures.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
    for (measure, rows) in ROWS {
        let of_measure: Vec<_> = figures.iter().filter(|figure| figure["measure"] == measure).collect();
        let is_measured = measure != "memory" || cfg!(target_os = "linux");
        assert_eq!(of_measure.len(), if is_measured { rows } else { 0 }, "{measure}");
        for figure in of_measure {
            let [min, median, max] = ["min", "median", "max"].map(|what| figure[what].as_f64().expect("a number"));
            assert!(0.0 < min && min <= median && median <= max, "{figure}");
            assert!(told.contains(figure["case"].as_str().expect("a name")), "{figure}");
        }
    }
    assert_eq!(std::fs::read_dir(&stores).expect("is left").count(), 0, "the stores are removed");
}

#[test]
fn a_wrong_argument_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_durable")).arg("--only").arg("nothing").output().expect("starts");
    assert_eq!(output.status.code(), Some(2));
}
