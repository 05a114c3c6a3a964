//! Counts the instructions of the hot paths and writes them down as the baseline that `benches/instructions.rs` is
//! held against.
//!
//! `cargo run -p crdt-benches --bin instructions-baseline`; needs valgrind, and gungraun-runner in the path. Whoever
//! runs it looks at the diff of `benches/instructions.json`, and says in the commit why paths have become longer.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    // A path beyond its limit makes it fail, which is why one writes the limits anew: what counts is the output.
    let run = Command::new(env!("CARGO"))
        .args(["bench", "--locked", "-p", "crdt-benches", "--bench", "instructions", "--", "--output-format=json"])
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let mut counts = BTreeMap::new();
    for line in std::str::from_utf8(&run.stdout)?.lines() {
        let benchmark: Value = serde_json::from_str(line)?;
        let name = benchmark["function_name"].as_str().ok_or("a benchmark without a name")?;
        counts.insert(name.to_owned(), instructions(&benchmark).ok_or("a benchmark without a count")?);
    }
    if counts.is_empty() {
        return Err(format!("nothing was counted: {}", run.status).into());
    }
    let baseline = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    fs::write(&baseline, format!("{}\n", serde_json::to_string_pretty(&counts)?))?;
    println!("{} counts are in {}", counts.len(), baseline.display());
    Ok(())
}

/// Returns the total of the event "instructions read" of this run.
fn instructions(benchmark: &Value) -> Option<u64> {
    benchmark["profiles"][0]["data"]["total"]["metrics"]["Ir"]["values"]["new"].as_u64()
}
