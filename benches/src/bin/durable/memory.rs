//! Memory with many documents of which few are in use, each case in a process of its own.
//!
//! A process tells what the system says of it: what it holds now (`VmRSS`) and the most it ever held (`VmHWM`). So the
//! rows differ in nothing but how many documents they keep, and none inherits the free memory of another.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crdt_benches::report::{Report, Row};
use crdt_benches::{Failed, ensure, runtime};
use crdt_net::{Options, Replica};
use serde_json::{Value, json};

use crate::opening::{fill, name, read};
use crate::plan::Plan;

/// The parts, and what they are called in the table.
const PARTS: [(&str, &str); 5] = [
    ("empty", "no documents"),
    ("known", "all known, none in memory"),
    ("used", "some in use"),
    ("swept", "all read in turn, some may stay"),
    ("whole", "all in memory"),
];

/// Plays one part of a measurement in this process, and prints what it found.
pub(crate) fn play(part: &str, folder: &Path, plan: &Plan) -> Result<(), Failed> {
    runtime()?.block_on(async {
        let mut options = Options::at(folder);
        match part {
            "used" | "swept" => options.sync.resident_documents_max = plan.in_use,
            "whole" => options.sync.resident_documents_max = plan.documents,
            _ => {}
        }
        let replica = Replica::open(options).await?;
        let documents = replica.status().await?.documents;
        let mut entries = 0;
        match part {
            "killed" => {
                for number in 0..documents {
                    touch(&replica, number).await?;
                }
                // Without a close, as a kill would leave it.
                std::process::exit(0);
            }
            "used" => {
                for _ in 0..10 {
                    for number in 0..plan.in_use {
                        touch(&replica, number).await?;
                    }
                }
                entries = read(&replica, 0..plan.in_use).await?.0;
            }
            "swept" | "whole" => entries = read(&replica, 0..documents).await?.0,
            _ => {}
        }
        let resident = replica.status().await?.resident_documents;
        let [rss, hwm] = [memory_kb("VmRSS:")?, memory_kb("VmHWM:")?];
        println!(
            "{}",
            json!({"documents": documents, "resident": resident, "entries": entries, "rss": rss, "hwm": hwm})
        );
        replica.close().await;
        Ok(())
    })
}

async fn touch(replica: &Replica, number: usize) -> Result<(), Failed> {
    let document = replica.document(&name(number)).await?;
    Ok(document.transact(|edit| edit.counter("touched").add(1)).await?)
}

/// Reads one line of what Linux says of this process.
fn memory_kb(what: &str) -> Result<u64, Failed> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).ok_or("the system does not tell")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// Starts a process that plays a part, and returns what it printed.
pub(crate) fn start(part: &str, folder: &Path, plan: &Plan) -> Result<String, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    if plan.is_quick {
        command.arg("--quick");
    }
    let output = command.arg("--child").arg(part).arg(folder).stderr(Stdio::inherit()).output()?;
    ensure(output.status.success(), || format!("the process of part {part} failed"))?;
    Ok(String::from_utf8(output.stdout)?)
}

/// Measures each part in turn.
pub(crate) fn measure(folder: &Path, plan: &Plan, report: &mut Report) -> Result<(), Failed> {
    if !cfg!(target_os = "linux") {
        println!("Memory is measured on Linux only.\n");
        return Ok(());
    }
    let full = folder.join("full");
    runtime()?.block_on(fill(&full, plan.documents, plan.document_entries, plan.document_entries))?;
    let mut found: [[Vec<f64>; 2]; PARTS.len()] = Default::default();
    for round in 0..plan.rounds {
        for ((part, _), values) in PARTS.iter().zip(&mut found) {
            let empty = folder.join(format!("empty {round}"));
            let told = start(part, if *part == "empty" { &empty } else { &full }, plan)?;
            let told: Value = serde_json::from_str(&told)?;
            check(part, plan, &told)?;
            for (values, what) in values.iter_mut().zip(["rss", "hwm"]) {
                values.push(told[what].as_f64().ok_or("no figure of memory")? / 1024.0);
            }
        }
    }
    let mut rows = Vec::new();
    for ((_, case), [rss, hwm]) in PARTS.iter().zip(found) {
        rows.push(Row::new(format!("{case}: now"), "MiB", rss));
        rows.push(Row::new(format!("{case}: at most"), "MiB", hwm));
    }
    let title = format!(
        "Memory of a process with {} documents of {} entries, {} of them in use",
        plan.documents, plan.document_entries, plan.in_use
    );
    report.add("memory", &title, &rows);
    Ok(())
}

/// Checks that a process had as many documents in memory as it should have, and all that is in them.
fn check(part: &str, plan: &Plan, told: &Value) -> Result<(), Failed> {
    let (documents, resident, entries) = match part {
        "empty" => (0, 0, 0),
        "known" => (plan.documents, 0, 0),
        "used" => (plan.documents, plan.in_use, plan.in_use),
        "swept" => (plan.documents, plan.in_use, plan.documents),
        _ => (plan.documents, plan.documents, plan.documents),
    };
    let expected = [documents, resident, entries * plan.document_entries];
    let found = ["documents", "resident", "entries"].map(|what| told[what].as_u64());
    ensure(found == expected.map(|number| Some(number as u64)), || {
        format!("{part}: {expected:?} documents, in memory and entries were expected, not {found:?}")
    })
}
