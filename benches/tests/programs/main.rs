//! The programs, in short: each ends well, so every result was right, and tells every figure.

mod durable;
mod snapshots;
mod takeover;

use std::process::Command;

use serde_json::Value;

/// Runs a program in short with some arguments more, and returns the figures that it tells.
fn figures(program: &str, arguments: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("figures");
    let mut command = Command::new(program);
    let output = command.arg("--quick").arg("--json").arg(&json).args(arguments).output().expect("starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let figures = std::fs::read_to_string(&json).expect("was written");
    let figures: Vec<Value> = figures.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
    for figure in &figures {
        let [min, median, max] = ["min", "median", "max"].map(|what| figure[what].as_f64().expect("a number"));
        assert!(0.0 < min && min <= median && median <= max, "{figure}");
        assert!(told.contains(figure["case"].as_str().expect("a name")), "{figure}");
    }
    figures
}
