//! Every behaviour of two or three replicas, within bounds.

use crdt_core::Value;
use crdt_sync::Config;
use crdt_tests::exhaustive::{Allowance, Scenario, explore};
use crdt_tests::{Edit, Op};

fn op(name: &'static str, edit: Edit) -> Op {
    Op { map: Vec::new(), name, edit }
}

fn insert() -> Op {
    op("s", Edit::Insert(Value::from("x")))
}

fn remove() -> Op {
    op("s", Edit::RemoveElement(Value::from("x")))
}

fn run(name: &'static str, writes: Vec<Vec<Op>>, dials: Vec<(usize, usize)>, config: Config, allowance: Allowance) {
    println!("{}", explore(Scenario { name, writes, dials, config, allowance }));
}

#[test]
fn cut() {
    run("2 cut", vec![vec![insert(), remove()], vec![insert()]], vec![(0, 1)], Config::default(),
        Allowance { dials: 2, cuts: 1, ..Allowance::default() });
}
#[test]
fn line() {
    run("line", vec![vec![insert()], vec![], vec![insert()]], vec![(0, 1), (2, 1)], Config::default(),
        Allowance { dials: 1, cuts: 0, ..Allowance::default() });
}
#[test]
fn line_cut() {
    run("line cut", vec![vec![insert()], vec![], vec![insert()]], vec![(0, 1), (2, 1)], Config::default(),
        Allowance { dials: 2, cuts: 1, ..Allowance::default() });
}
#[test]
fn snapshots() {
    let mut config = Config::default();
    config.log_bytes_max = 0;
    run("snapshots", vec![vec![insert(), remove()], vec![insert()]], vec![(0, 1)], config,
        Allowance { dials: 2, cuts: 1, ..Allowance::default() });
}
#[test]
fn both() {
    run("both dial", vec![vec![insert()], vec![insert()]], vec![(0, 1), (1, 0)], Config::default(),
        Allowance { dials: 1, cuts: 0, ..Allowance::default() });
}
#[test]
fn both_cut() {
    run("both dial, cut", vec![vec![insert()], vec![]], vec![(0, 1), (1, 0)], Config::default(),
        Allowance { dials: 2, cuts: 1, ..Allowance::default() });
}
#[test]
fn broken() {
    run("broken links", vec![vec![insert()], vec![insert()]], vec![(0, 1)], Config::default(),
        Allowance { dials: 2, losses: 1, repeats: 1, ..Allowance::default() });
}
#[test]
fn credit() {
    let mut config = Config::default();
    config.in_flight_bytes_max = 1;
    run("credit", vec![vec![insert(), remove()], vec![insert()]], vec![(0, 1)], config,
        Allowance { dials: 2, cuts: 1, ticks: 1, ..Allowance::default() });
}
#[test]
fn triangle() {
    run("triangle", vec![vec![insert()], vec![], vec![]], vec![(0, 1), (1, 2), (2, 0)], Config::default(),
        Allowance { dials: 1, ..Allowance::default() });
}
#[test]
fn parts() {
    let mut config = Config::default();
    config.chunk_bytes_max = 1024;
    let write = op("r", Edit::Write(Value::from("v".repeat(1500).as_str())));
    run("parts", vec![vec![write.clone()], vec![write]], vec![(0, 1)], config,
        Allowance { dials: 2, cuts: 1, ..Allowance::default() });
}
#[test]
fn crash() {
    run("2 crash", vec![vec![insert()], vec![insert()]], vec![(0, 1)], Config::default(),
        Allowance { dials: 3, cuts: 1, crashes: 1, ..Allowance::default() });
}
#[test]
fn cut_crash() {
    run("2 crash, cut", vec![vec![insert(), remove()], vec![insert()]], vec![(0, 1)], Config::default(),
        Allowance { dials: 3, cuts: 1, crashes: 1, ..Allowance::default() });
}
