//! W4: a map of n numbers meets a copy in which all of them were overwritten.
//!
//! As in W1, the one that merges has grown by its own writes.

use super::{Task, keys};
use crate::run::{Run, Runner, Skip, time};
use crate::system::System;
use crate::systems::{MapReplica, automerge, crdt_kit, crdts, dson, limit, loro, ours, yrs};

/// Small maps are merged several times in one run, so that the clock's own cost does not count.
const ENTRIES_MIN: usize = 20_000;

/// Sets a system up.
pub(super) fn open(system: System, task: Task) -> Result<Runner, Skip> {
    match system {
        System::CrdtCore => Ok(cell::<ours::Numbers>(task.n)),
        System::CrdtCoreDocument => Ok(cell::<ours::MapDocument>(task.n)),
        System::Crdts => Ok(cell::<crdts::Numbers>(task.n)),
        System::CrdtKit => Ok(cell::<crdt_kit::Numbers>(task.n)),
        System::Dson => Ok(cell::<dson::Numbers>(task.n)),
        System::Automerge => Ok(cell::<automerge::Numbers>(task.n)),
        System::Yrs => Ok(cell::<yrs::Numbers>(task.n)),
        System::Loro => Ok(cell::<loro::Numbers>(task.n)),
        System::Limit => Ok(cell::<limit::NumbersOf<limit::Random>>(task.n)),
        System::LimitSameSeed => Ok(cell::<limit::NumbersOf<limit::Same>>(task.n)),
        System::LimitText => Err(Skip::new("measured where a set is merged or grows")),
    }
}

fn cell<M: MapReplica + 'static>(n: usize) -> Runner {
    let keys = keys(0..n);
    let grown = |keys: &[String]| {
        let mut map = M::empty(1);
        map.put_all(keys, 1);
        map
    };
    let mut right = grown(&keys).copy(2);
    right.put_all(&keys, 2);
    let expected = keys.iter().map(|key| (key.clone(), 2)).collect();
    Box::new(move || {
        let pair = |_| {
            let mut target = grown(&keys);
            let state = right.state(&mut target);
            (target, state)
        };
        let mut pairs: Vec<(M, M::State)> = (0..(ENTRIES_MIN / n).max(1)).map(pair).collect();
        let (elapsed, ()) = time(|| pairs.iter_mut().for_each(|(target, state)| target.merge(state)));
        let is_right = pairs.iter_mut().all(|(target, _)| target.contents() == expected);
        Ok(Run { elapsed: Some(elapsed), items: (n * pairs.len()) as u64, bytes: None, is_right })
    })
}
