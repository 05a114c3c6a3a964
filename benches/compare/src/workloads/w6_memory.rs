//! W6: what a set of n elements takes in memory.
//!
//! Counted is what it holds once it is built, as the system's allocator rounds it; not what building took for a
//! while, and not the log of a document, which a replica cuts off once its peers have it.

use super::{Task, keys};
use crate::memory;
use crate::run::{Run, Runner, Skip};
use crate::system::System;
use crate::systems::{SetReplica, automerge, crdt_kit, crdts, dson, limit, loro, ours, yrs};

/// Sets a system up.
pub(super) fn open(system: System, task: Task) -> Result<Runner, Skip> {
    Ok(match system {
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
    })
}

fn cell<S: SetReplica + 'static>(n: usize) -> Runner {
    Box::new(move || {
        let keys = keys(0..n);
        let (bytes, mut set) = memory::held_by(|| {
            let mut set = S::empty(1);
            set.insert_all(&keys);
            set
        });
        let is_right = set.contents() == keys.into_iter().collect();
        Ok(Run { elapsed: None, items: n as u64, bytes: Some(bytes as f64 / n as f64), is_right })
    })
}
