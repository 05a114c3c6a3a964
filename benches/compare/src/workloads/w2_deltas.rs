//! W2: a replica of n elements takes in deltas of one entry each, one by one, from bytes.
//!
//! Inserts of new keys and removals of old ones take turns, so the set keeps its size.

use std::collections::HashSet;

use super::{Task, key, keys, stream};
use crate::run::{Run, Runner, Skip};
use crate::system::System;
use crate::systems::{Deltas, automerge, crdt_kit, crdts, dson, limit, loro, ours, yrs};

/// How many deltas arrive.
const DELTAS: usize = 10_000;
/// Deltas between two looks at the clock.
const CHUNK: usize = 10;

/// Sets a system up.
pub(super) fn open(system: System, task: Task) -> Result<Runner, Skip> {
    match system {
        System::CrdtCore => cell::<ours::Set>(task),
        System::CrdtCoreDocument => cell::<ours::SetDocument>(task),
        System::Crdts => cell::<crdts::Set>(task),
        System::CrdtKit => cell::<crdt_kit::Set>(task),
        System::Dson => cell::<dson::Set>(task),
        System::Automerge => cell::<automerge::Set>(task),
        System::Yrs => cell::<yrs::Set>(task),
        System::Loro => cell::<loro::Set>(task),
        System::Limit => cell::<limit::Set>(task),
        System::LimitSameSeed => cell::<limit::SeededSet>(task),
        System::LimitText => cell::<limit::TextSet>(task),
    }
}

/// Inserts at even turns, removes at odd ones: the oldest key that is there.
fn turn(index: usize, n: usize) -> (bool, String) {
    if index.is_multiple_of(2) { (true, key(n + index / 2)) } else { (false, key(index / 2)) }
}

fn cell<S: Deltas + 'static>(Task { n, effort }: Task) -> Result<Runner, Skip> {
    let mut base = S::empty(1);
    base.insert_all(&keys(0..n));
    let mut writer = base.copy(2);
    let mut deltas = Vec::with_capacity(DELTAS);
    let write = |index: usize| {
        let (inserts, key) = turn(index, n);
        deltas.push(if inserts { writer.insert(&key) } else { writer.remove(&key) });
    };
    let cut = effort.writing();
    let (_, written) = stream(DELTAS, CHUNK, cut, write);
    if written < CHUNK {
        return Err(Skip::new("the writer made hardly any delta in the time that it had"));
    }
    Ok(Box::new(move || {
        let mut target = base.copy(3);
        let (elapsed, applied) = stream(deltas.len(), CHUNK, effort.applying(), |index| target.apply(&deltas[index]));
        let is_right = target.contents() == model(n, applied);
        Ok(Run { elapsed: Some(elapsed), items: applied as u64, bytes: None, is_right })
    }))
}

/// A plain fold of the same edits.
fn model(n: usize, applied: usize) -> HashSet<String> {
    let mut model: HashSet<String> = keys(0..n).into_iter().collect();
    for index in 0..applied {
        let (inserts, key) = turn(index, n);
        if inserts {
            model.insert(key);
        } else {
            model.remove(&key);
        }
    }
    model
}
