//! W1: two replicas of an add-wins set of n elements each, half of them in common, meet by their states.
//!
//! The one that merges has grown by its own writes, anew for each run, and lies in memory as those left it. A copy
//! would not do: cloning an ordered tree lays it out in key order, which no replica finds itself in that has been
//! written to.

use std::collections::HashSet;

use super::{Task, keys};
use crate::run::{Run, Runner, Skip, time};
use crate::system::System;
use crate::systems::{StateMerge, automerge, crdt_kit, crdts, dson, limit, loro, ours, yrs};

/// Small sets are merged several times in one run, so that the clock's own cost does not count.
const ELEMENTS_MIN: usize = 20_000;

/// Sets a system up.
pub(super) fn open(system: System, task: Task) -> Result<Runner, Skip> {
    match system {
        System::CrdtCore => cell::<ours::Set>(task.n),
        System::CrdtCoreDocument => cell::<ours::SetDocument>(task.n),
        System::Crdts => cell::<crdts::Set>(task.n),
        System::CrdtKit => cell::<crdt_kit::Set>(task.n),
        System::Dson => cell::<dson::Set>(task.n),
        System::Automerge => cell::<automerge::Set>(task.n),
        System::Yrs => cell::<yrs::Set>(task.n),
        System::Loro => cell::<loro::Set>(task.n),
        System::Limit => cell::<limit::Set>(task.n),
        System::LimitSameSeed => cell::<limit::SeededSet>(task.n),
        System::LimitText => cell::<limit::TextSet>(task.n),
    }
}

fn cell<S: StateMerge + 'static>(n: usize) -> Result<Runner, Skip> {
    let (common, own) = (keys(0..n / 2), keys(n / 2..n));
    let mut right = grown::<S>(&[&common]).copy(2);
    right.insert_all(&keys(n..n + n / 2));
    let expected: HashSet<String> = keys(0..n + n / 2).into_iter().collect();
    Ok(Box::new(move || {
        let pair = |_| {
            let mut target = grown::<S>(&[&common, &own]);
            let state = right.state(&mut target);
            (target, state)
        };
        let mut pairs: Vec<(S, S::State)> = (0..(ELEMENTS_MIN / n).max(1)).map(pair).collect();
        let (elapsed, ()) = time(|| pairs.iter_mut().for_each(|(target, state)| target.merge(state)));
        let items = (n * pairs.len()) as u64;
        let is_right = pairs.iter_mut().all(|(target, _)| target.contents() == expected);
        Ok(Run { elapsed: Some(elapsed), items, bytes: None, is_right })
    }))
}

/// Makes a replica by the writes of one writer, which are the same writes each time.
fn grown<S: StateMerge>(parts: &[&[String]]) -> S {
    let mut set = S::empty(1);
    parts.iter().for_each(|keys| set.insert_all(keys));
    set
}
