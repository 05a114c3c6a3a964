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

#[test]
fn tiny() {
    let scenario = Scenario {
        name: "two replicas, two writes",
        writes: vec![vec![insert()], vec![insert()]],
        dials: vec![(0, 1)],
        config: Config::default(),
        allowance: Allowance { dials: 1, ..Allowance::default() },
    };
    println!("{}", explore(scenario));
}

#[test]
fn cut() {
    let scenario = Scenario {
        name: "two replicas, three writes, cut",
        writes: vec![vec![insert(), remove()], vec![insert()]],
        dials: vec![(0, 1)],
        config: Config::default(),
        allowance: Allowance { dials: 2, cuts: 1, ..Allowance::default() },
    };
    println!("{}", explore(scenario));
}
#[test]
fn cut_crash() {
    let scenario = Scenario {
        name: "two replicas, three writes, cut, crash",
        writes: vec![vec![insert(), remove()], vec![insert()]],
        dials: vec![(0, 1)],
        config: Config::default(),
        allowance: Allowance { dials: 3, cuts: 1, crashes: 1, ..Allowance::default() },
    };
    println!("{}", explore(scenario));
}
