//! Generated stories: who writes what, and which deltas and snapshots travel when.
//!
//! How do conflicts become frequent? Everything is drawn from tiny pools: two names, three levels
//! of maps, a handful of values, a few wall times that tie, jump and run far ahead. Every step
//! makes sense in every state (numbers are taken modulo what there is), so a failing story can be
//! shrunk by leaving steps out. Some stories are about one counter alone: its worst cases need the
//! same increments to be seen, missed and reset several times over.
//!
//! Source of the last idea: Groce et al., "Swarm testing" (2012).

use crdt_core::{Kind, Value};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::op::{Edit, Name, Op};

/// Where generated wall clocks stand, in milliseconds since the epoch.
pub const WALL_MS: u64 = 1_700_000_000_000;

/// A story over a few replicas.
#[derive(Clone, Debug)]
pub struct Script {
    /// How many replicas take part.
    pub replicas: usize,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One thing that happens. Replicas and positions are taken modulo how many there are.
#[derive(Clone, Debug)]
pub enum Step {
    /// A transaction at wall time `wall_ms`.
    Write {
        /// Who writes.
        replica: usize,
        /// What its clock says.
        wall_ms: u64,
        /// The edits of the transaction.
        ops: Vec<Op>,
    },
    /// A transaction that is dropped before it is committed.
    Rollback {
        /// Who changes its mind.
        replica: usize,
        /// The edits that must leave no trace.
        ops: Vec<Op>,
    },
    /// The next deltas that `to` lacks, in the order of the log of `from`, one by one.
    Deliver {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
        /// How many at most.
        count: usize,
    },
    /// Consecutive deltas merged into one, possibly begun before what `to` lacks.
    Coalesced {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
        /// How many deltas that `to` has already are merged in.
        back: usize,
        /// How many deltas are merged at most.
        count: usize,
    },
    /// A delta that `to` has already.
    Duplicate {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
        /// Which position of the log, modulo its length.
        at: usize,
    },
    /// A whole state.
    Merge {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
    },
    /// The replica is saved to bytes and opened again, with an empty log.
    Restart {
        /// Who restarts.
        replica: usize,
    },
}

/// Stories over three or four replicas of at most `steps_max` steps.
pub fn script(steps_max: usize) -> impl Strategy<Value = Script> {
    let any = vec(step(vec(op(), 1..=3).boxed()), 1..=steps_max);
    let one_counter = vec(step(vec(counter_op(), 1..=2).boxed()), 1..=steps_max);
    (3..=4_usize, prop_oneof![3 => any, 1 => one_counter]).prop_map(|(replicas, steps)| Script { replicas, steps })
}

fn step(writes: BoxedStrategy<Vec<Op>>) -> impl Strategy<Value = Step> {
    let rolled_back = writes.clone();
    let one = 0..4_usize;
    let two = || (0..4_usize, 0..4_usize);
    prop_oneof![
        8 => (one.clone(), wall_ms(), writes)
            .prop_map(|(replica, wall_ms, ops)| Step::Write { replica, wall_ms, ops }),
        4 => (two(), 1..4_usize).prop_map(|((from, to), count)| Step::Deliver { from, to, count }),
        3 => (two(), 0..3_usize, 1..6_usize)
            .prop_map(|((from, to), back, count)| Step::Coalesced { from, to, back, count }),
        2 => two().prop_map(|(from, to)| Step::Merge { from, to }),
        1 => (two(), 0..8_usize).prop_map(|((from, to), at)| Step::Duplicate { from, to, at }),
        1 => (one.clone(), rolled_back).prop_map(|(replica, ops)| Step::Rollback { replica, ops }),
        1 => one.prop_map(|replica| Step::Restart { replica }),
    ]
}

/// Clocks tie often, differ a little, run a minute ahead or stand at the beginning of time.
fn wall_ms() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => WALL_MS..WALL_MS + 3,
        1 => Just(WALL_MS + 59_999),
        1 => Just(WALL_MS + 3_600_000),
        1 => Just(0),
        1 => Just(u64::MAX),
    ]
}

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![3 => Just("a"), 1 => Just("b")]
}

fn op() -> impl Strategy<Value = Op> {
    let map = prop_oneof![
        3 => Just(vec![]),
        3 => Just(vec!["a"]),
        1 => Just(vec!["b"]),
        2 => Just(vec!["a", "a"]),
    ];
    (map, name(), edit()).prop_map(|(map, name, edit)| Op { map, name, edit })
}

/// Edits of one counter, and of the map that holds it.
fn counter_op() -> impl Strategy<Value = Op> {
    let op = |map: &[Name], edit| Just(Op { map: map.to_vec(), name: "a", edit });
    prop_oneof![
        6 => (1..100_i64).prop_map(|by| Op { map: vec!["a"], name: "a", edit: Edit::Add(by) }),
        2 => op(&["a"], Edit::Reset),
        1 => op(&["a"], Edit::Remove(Kind::Counter)),
        1 => op(&[], Edit::Remove(Kind::Map)),
        1 => op(&["a"], Edit::ClearMap),
        1 => op(&["a"], Edit::CreateMap),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let kind = prop_oneof![
        3 => Just(Kind::Map),
        1 => Just(Kind::Set),
        1 => Just(Kind::Register),
        2 => Just(Kind::Counter),
    ];
    prop_oneof![
        6 => value().prop_map(Edit::Write),
        1 => Just(Edit::ClearRegister),
        6 => increment().prop_map(Edit::Add),
        2 => Just(Edit::Reset),
        6 => value().prop_map(Edit::Insert),
        3 => value().prop_map(Edit::RemoveElement),
        1 => Just(Edit::ClearSet),
        1 => Just(Edit::CreateSet),
        1 => Just(Edit::CreateMap),
        4 => kind.prop_map(Edit::Remove),
        1 => Just(Edit::ClearMap),
    ]
}

/// Mostly small; now and then so large that a running total leaves its range.
fn increment() -> impl Strategy<Value = i64> {
    prop_oneof![
        12 => -3..100_i64,
        1 => Just(i64::MAX),
        1 => Just(i64::MIN),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (0..3_i64).prop_map(Value::from),
        2 => Just(Value::from("x")),
        1 => Just(Value::Null),
        1 => Just(Value::from(true)),
        1 => prop_oneof![Just(f64::NAN), Just(-0.0), Just(1.0)].prop_map(Value::from),
        1 => Just(Value::from(&[0_u8, 255][..])),
    ]
}
