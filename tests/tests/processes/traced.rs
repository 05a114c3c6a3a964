//! Killed at each of the first 300 system calls that touch files, by strace.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crdt_tests::process::Process;

use crate::support::{REPLICA, Scratch, acked, look};

const CALLS: usize = 300;

/// One system call of a run: its name, and the how-manyth of that name it is.
type Call = (String, u32);

/// Lists the first calls of a run in which nothing is killed, and what it says.
fn calls(scratch: &Scratch, folder: &Path) -> Vec<Call> {
    let listing = scratch.join("calls");
    let mut command = strace(&["-o", listing.to_str().expect("a path of ours")]);
    command.arg(REPLICA).arg(folder).args(["--steps", "all"]);
    let said = Process::spawn(command).rest();
    assert_eq!(acked(&said).len(), 8, "{said:?}");
    let (mut counts, mut calls) = (BTreeMap::new(), Vec::new());
    let place = folder.to_str().expect("a path of ours");
    let mut is_at_work = false;
    for line in fs::read_to_string(&listing).expect("strace has written it").lines() {
        let Some((name, _)) = line.split_whitespace().nth(1).and_then(|call| call.split_once('(')) else { continue };
        let count = counts.entry(name.to_owned()).or_insert(0);
        *count += 1;
        // What starts the program is none of ours: it begins with the first call that names the folder.
        is_at_work |= name != "execve" && line.contains(place);
        if is_at_work {
            calls.push((name.to_owned(), *count));
        }
    }
    calls.truncate(CALLS);
    calls
}

/// Kills a run at one call.
fn run_until((name, count): &Call, folder: &Path, prefix: &str) -> Vec<String> {
    let mut command = strace(&["-o", "/dev/null", "-e", &format!("inject={name}:signal=KILL:when={count}")]);
    command.arg(REPLICA).arg(folder).args(["--steps", prefix]);
    Process::spawn(command).rest()
}

fn strace(arguments: &[&str]) -> Command {
    let mut command = Command::new("strace");
    // With strings long enough for a path to be found in them.
    command.args(["-f", "-qq", "-s", "4096", "-e", "trace=%file,%desc"]).args(arguments).stderr(Stdio::null());
    command
}

/// Tells whether strace is here and may trace.
fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let can = traced.is_ok_and(|status| status.success());
    if !can {
        println!("skipped: strace is not here, or may not trace");
    }
    can
}

#[test]
fn a_store_that_is_killed_at_any_call_while_it_is_made_opens_and_has_what_it_acknowledged() {
    if !can_trace() {
        return;
    }
    let scratch = Scratch::new("traced-made");
    let calls = calls(&scratch, &scratch.join("whole"));
    let (mut opened, mut whole) = (0, 0);
    for (number, call) in calls.iter().enumerate() {
        let folder = scratch.join(&number.to_string());
        let said = run_until(call, &folder, "x");
        // Runs differ by some calls, so the last ones may not come.
        whole += usize::from(acked(&said).len() == 8);
        let found = look(&folder);
        let lost = acked(&said).into_iter().find(|element| !found.holds(element));
        assert_eq!(lost, None, "{call:?}");
        opened += usize::from(!said.is_empty());
        fs::remove_dir_all(&folder).expect("it is ours");
    }
    println!("killed at {} calls, {opened} of them after the store was open", calls.len() - whole);
    assert!(whole < 30 && calls.len() >= 250 && opened > 50 && calls.len() - opened > 50);
}

#[test]
fn a_store_that_is_killed_at_any_call_while_it_is_opened_and_written_keeps_its_id_and_all_of_it() {
    if !can_trace() {
        return;
    }
    let scratch = Scratch::new("traced-opened");
    let folder = scratch.join("store");
    let first = look(&folder).replica;
    let calls = calls(&scratch, &folder);
    let mut all: Vec<String> = (0..8).map(|number| format!("all-{number}")).collect();
    for (number, call) in calls.iter().enumerate() {
        let said = run_until(call, &folder, &number.to_string());
        assert!(!said.iter().any(|line| line.starts_with("failed")), "{call:?}: {said:?}");
        all.extend(acked(&said).into_iter().map(str::to_owned));
        let found = look(&folder);
        assert!(!found.is_renewed && found.replica == first, "{call:?}: the store has lost its id");
        let lost = all.iter().find(|element| !found.holds(element));
        assert_eq!(lost, None, "{call:?}");
        // Nothing is there that was never written, and nothing half.
        assert_eq!(found.document.root().counter("n").unwrap_or(0), found.elements().len() as i128, "{call:?}");
    }
    println!("killed at {} calls, {} acknowledged writes", calls.len(), all.len());
    assert!(calls.len() >= 200 && all.len() > 100);
}
