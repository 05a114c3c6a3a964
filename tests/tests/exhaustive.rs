//! Every behaviour of two or three replicas, within bounds: each space is explored completely.
//!
//! Each test prints its figures (`--nocapture`). `CRDT_EXHAUSTIVE=full` allows more faults in each and
//! makes the spaces many times as large: run it with `--release`, one test at a time.

use crdt_core::Value;
use crdt_sync::Config;
use crdt_tests::exhaustive::{Allowance, Scenario, explore};
use crdt_tests::{Edit, Op};

const CONCURRENT: &str = "concurrent writes";
const CUT_LOSS: &str = "link cut with messages on it";
const CRASH_LOSS: &str = "writes lost in a crash";
const SNAPSHOT: &str = "snapshot sent";
const PARTS: &str = "message in parts";
const DUPLICATE_LINK: &str = "duplicate link closed";
const IMPOSTOR: &str = "restarted replica refused";
const BROKEN_LINK: &str = "message lost or repeated";

fn op(name: &'static str, edit: Edit) -> Op {
    Op { map: Vec::new(), name, edit }
}

fn insert() -> Op {
    op("s", Edit::Insert(Value::from("x")))
}

fn remove() -> Op {
    op("s", Edit::RemoveElement(Value::from("x")))
}

fn write(text: &str) -> Op {
    op("r", Edit::Write(Value::from(text)))
}

/// Returns what is allowed: more if the environment asks for it.
fn allow(usual: Allowance, full: Allowance) -> Allowance {
    match std::env::var("CRDT_EXHAUSTIVE") {
        Ok(asked) if asked == "full" => full,
        Ok(asked) => panic!("CRDT_EXHAUSTIVE is {asked:?}; it can be \"full\" or not set"),
        Err(_) => usual,
    }
}

/// Explores all of a scenario. Nothing must be broken, and what it is meant for must have been reached.
fn check(scenario: Scenario, meant_for: &[&str]) {
    let outcome = explore(scenario);
    println!("{outcome}");
    for reached in meant_for {
        assert!(outcome.reached.contains(reached), "{} was never reached: {reached}", outcome.name);
    }
}

#[test]
fn two_replicas_agree_through_a_cut_and_a_crash() {
    let usual = Allowance { dials: 3, cuts: 1, crashes: 1, ..Allowance::default() };
    let scenario = Scenario {
        name: "two replicas, three writes, a cut and a crash",
        writes: vec![vec![insert(), remove()], vec![insert()]],
        dials: vec![(0, 1)],
        config: Config::default(),
        allowance: allow(usual, Allowance { dials: 4, cuts: 2, ..usual }),
    };
    check(scenario, &[CONCURRENT, CUT_LOSS, CRASH_LOSS, DUPLICATE_LINK, IMPOSTOR]);
}

#[test]
fn the_ends_of_a_line_agree_through_a_cut_anywhere() {
    let usual = Allowance { dials: 2, cuts: 1, ..Allowance::default() };
    let scenario = Scenario {
        name: "three replicas in a line, two writes, a cut",
        writes: vec![vec![insert()], vec![], vec![insert()]],
        dials: vec![(0, 1), (2, 1)],
        config: Config::default(),
        allowance: allow(usual, Allowance { crashes: 1, ..usual }),
    };
    check(scenario, &[CONCURRENT, CUT_LOSS]);
}

#[test]
fn replicas_without_logs_agree_by_snapshots() {
    let usual = Allowance { dials: 2, cuts: 1, ..Allowance::default() };
    let mut config = Config::default();
    config.log_bytes_max = 0;
    let scenario = Scenario {
        name: "two replicas without logs, three writes, a cut",
        writes: vec![vec![op("n", Edit::Add(5)), op("n", Edit::Reset)], vec![op("n", Edit::Add(7))]],
        dials: vec![(0, 1)],
        config,
        allowance: allow(usual, Allowance { dials: 3, crashes: 1, ..usual }),
    };
    check(scenario, &[CONCURRENT, CUT_LOSS, SNAPSHOT]);
}

#[test]
fn the_ends_of_a_line_without_logs_agree_by_snapshots() {
    let usual = Allowance { dials: 1, ..Allowance::default() };
    let mut config = Config::default();
    // Room for one delta: some are sent as such, the others as a state.
    config.log_bytes_max = 48;
    let scenario = Scenario {
        name: "three replicas in a line with short logs, three writes",
        writes: vec![vec![insert(), remove()], vec![], vec![insert()]],
        dials: vec![(0, 1), (2, 1)],
        config,
        allowance: allow(usual, Allowance { dials: 2, cuts: 1, ..usual }),
    };
    check(scenario, &[CONCURRENT, SNAPSHOT]);
}

#[test]
fn replicas_that_dial_each_other_keep_one_link() {
    let usual = Allowance { dials: 2, cuts: 1, ..Allowance::default() };
    let scenario = Scenario {
        name: "two replicas that both dial, a write, a cut",
        writes: vec![vec![write("one")], vec![]],
        dials: vec![(0, 1), (1, 0)],
        config: Config::default(),
        allowance: allow(usual, Allowance { crashes: 1, ..usual }),
    };
    check(scenario, &[CUT_LOSS, DUPLICATE_LINK]);
}

#[test]
fn messages_in_parts_arrive_whole_or_not_at_all() {
    let usual = Allowance { dials: 2, cuts: 1, crashes: 1, ..Allowance::default() };
    let mut config = Config::default();
    // The least there is. The value takes three parts.
    config.chunk_bytes_max = 1_024;
    let scenario = Scenario {
        name: "two replicas, two writes in parts, a cut and a crash",
        writes: vec![vec![write(&"one ".repeat(600))], vec![write(&"two ".repeat(600))]],
        dials: vec![(0, 1)],
        config,
        allowance: allow(usual, Allowance { dials: 3, cuts: 2, ..usual }),
    };
    check(scenario, &[CONCURRENT, CUT_LOSS, PARTS]);
}

#[test]
fn replicas_agree_with_one_frame_in_flight_at_a_time() {
    let usual = Allowance { dials: 2, cuts: 1, ticks: 1, ..Allowance::default() };
    let mut config = Config::default();
    config.in_flight_bytes_max = 1;
    let scenario = Scenario {
        name: "two replicas, credit for one frame, three writes, a cut and a timer",
        writes: vec![vec![insert(), remove()], vec![insert()]],
        dials: vec![(0, 1)],
        config,
        allowance: allow(usual, Allowance { ticks: 3, ..usual }),
    };
    check(scenario, &[CONCURRENT, CUT_LOSS]);
}

#[test]
fn three_linked_replicas_agree_on_what_one_writes() {
    let usual = Allowance { dials: 1, ..Allowance::default() };
    let mut config = Config::default();
    // What comes twice must give back its credit too.
    config.in_flight_bytes_max = 1;
    let scenario = Scenario {
        name: "three replicas that are all linked, credit for one frame, a write",
        writes: vec![vec![insert()], vec![], vec![]],
        dials: vec![(0, 1), (1, 2), (2, 0)],
        config,
        allowance: allow(usual, Allowance { dials: 2, cuts: 1, ..usual }),
    };
    check(scenario, &[]);
}

/// No transport may do this, and the protocol need not work around it: links may end, with any
/// blame. But what replicas hold must stay sound, and new links must repair it.
#[test]
fn links_that_lose_and_repeat_messages_spoil_nothing() {
    let usual = Allowance { dials: 2, cuts: 1, losses: 1, repeats: 1, ..Allowance::default() };
    let scenario = Scenario {
        name: "two replicas, three writes, a cut, a message lost and one repeated",
        writes: vec![vec![insert(), remove()], vec![insert()]],
        dials: vec![(0, 1)],
        config: Config::default(),
        allowance: allow(usual, Allowance { crashes: 1, ..usual }),
    };
    check(scenario, &[CONCURRENT, CUT_LOSS, BROKEN_LINK]);
}
