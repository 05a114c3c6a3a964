//! W3: a counter of a thousand replicas: merged as a whole, and counted on by all of them, delta by delta.

use super::{Effort, Task, stream};
use crate::run::{Run, Runner, Skip, time};
use crate::system::System;
use crate::systems::{CounterReplica, automerge, crdt_kit, crdts, limit, loro, ours, yrs};

/// Who counts.
pub(super) const REPLICAS: usize = 1_000;
/// How many deltas arrive.
const DELTAS: usize = 1_000_000;
/// Deltas between two looks at the clock.
const CHUNK: usize = 100;
/// How often the small states are merged in one run.
const COPIES: usize = 50;

fn without_counter() -> Skip {
    Skip::new("it has no counter, and no map in which concurrent totals would not stand side by side")
}

/// Sets a system up to merge states.
pub(super) fn open_merge(system: System, _: Task) -> Result<Runner, Skip> {
    match system {
        System::CrdtCore => Ok(merge::<ours::Counter>()),
        System::CrdtCoreDocument => Ok(merge::<ours::CounterDocument>()),
        System::Crdts => Ok(merge::<crdts::Counter>()),
        System::CrdtKit => Ok(merge::<crdt_kit::Counter>()),
        System::Dson => Err(without_counter()),
        System::Automerge => Ok(merge::<automerge::Counter>()),
        System::Yrs => Ok(merge::<yrs::Counter>()),
        System::Loro => Ok(merge::<loro::Counter>()),
        System::Limit => Ok(merge::<limit::CounterOf<limit::Random>>()),
        System::LimitSameSeed => Ok(merge::<limit::CounterOf<limit::Same>>()),
        System::LimitText => Err(Skip::new("measured where a set is merged or grows")),
    }
}

/// Sets a system up to take in deltas.
pub(super) fn open_deltas(system: System, task: Task) -> Result<Runner, Skip> {
    match system {
        System::CrdtCore => deltas::<ours::Counter>(task.effort),
        System::CrdtCoreDocument => deltas::<ours::CounterDocument>(task.effort),
        System::Crdts => deltas::<crdts::Counter>(task.effort),
        System::CrdtKit => deltas::<crdt_kit::Counter>(task.effort),
        System::Dson => Err(without_counter()),
        System::Automerge => deltas::<automerge::Counter>(task.effort),
        System::Yrs => deltas::<yrs::Counter>(task.effort),
        System::Loro => deltas::<loro::Counter>(task.effort),
        System::Limit => deltas::<limit::CounterOf<limit::Random>>(task.effort),
        System::LimitSameSeed => deltas::<limit::CounterOf<limit::Same>>(task.effort),
        System::LimitText => Err(Skip::new("measured where a set is merged or grows")),
    }
}

/// What the counter is changed by at a turn: up two times, then down.
fn step(turn: usize) -> i64 {
    if turn % 3 == 2 { -1 } else { 1 }
}

fn merge<C: CounterReplica + 'static>() -> Runner {
    let mut writers: Vec<C> = (1..=REPLICAS as u64).map(C::empty).collect();
    let (mut left, mut right) = (C::empty(0), C::empty(0));
    let mut expected = 0;
    // Both know one step of everybody; then each hears of a further one of every second.
    for turn in 0..2 {
        for (index, writer) in writers.iter_mut().enumerate() {
            let by = step(index + turn);
            let delta = writer.add(by);
            expected += i128::from(by);
            if turn == 0 || index.is_multiple_of(2) {
                left.apply(&delta);
            }
            if turn == 0 || !index.is_multiple_of(2) {
                right.apply(&delta);
            }
        }
    }
    Box::new(move || {
        let pair = |_| {
            let mut target = left.copy();
            let state = right.state(&mut target);
            (target, state)
        };
        let mut pairs: Vec<(C, C::State)> = (0..COPIES).map(pair).collect();
        let (elapsed, ()) = time(|| pairs.iter_mut().for_each(|(target, state)| target.merge(state)));
        let is_right = pairs.iter_mut().all(|(target, _)| target.value() == expected);
        Ok(Run { elapsed: Some(elapsed), items: (REPLICAS * COPIES) as u64, bytes: None, is_right })
    })
}

fn deltas<C: CounterReplica + 'static>(effort: Effort) -> Result<Runner, Skip> {
    let mut writers: Vec<C> = (1..=REPLICAS as u64).map(C::empty).collect();
    // One buffer for all: a million small ones would say more of the allocator than of the counter.
    let (mut bytes, mut ends) = (Vec::new(), vec![0]);
    let write = |turn: usize| {
        bytes.extend_from_slice(&writers[turn % REPLICAS].add(step(turn)));
        ends.push(bytes.len());
    };
    let (_, written) = stream(DELTAS, CHUNK, effort.writing(), write);
    if written < CHUNK {
        return Err(Skip::new("the writers made hardly any delta in the time that they had"));
    }
    drop(writers);
    Ok(Box::new(move || {
        let mut target = C::empty(0);
        let apply = |turn: usize| target.apply(&bytes[ends[turn]..ends[turn + 1]]);
        let (elapsed, applied) = stream(written, CHUNK, effort.applying(), apply);
        let expected: i128 = (0..applied).map(|turn| i128::from(step(turn))).sum();
        Ok(Run { elapsed: Some(elapsed), items: applied as u64, bytes: None, is_right: target.value() == expected })
    }))
}
