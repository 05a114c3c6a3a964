//! W9: a peer that has been away is brought up, after n edits of which a part is new to it.
//!
//! Nine edits in ten insert a new key, one removes the oldest that is there, so removals are among what is missing.
//! Timed are the peer's request, the answer and taking it in; bytes are those of both, for each edit that is new.

use std::collections::HashSet;

use super::{Task, key, stream};
use crate::run::{Run, Runner, Skip, time};
use crate::system::System;
use crate::systems::{CatchUp, automerge, crdt_kit, crdts, dson, limit, loro, ours, yrs};

/// Edits between two looks at the clock.
const CHUNK: usize = 10;

/// Sets a system up; `part` percent of the edits are new to the peer.
pub(super) fn open<const PART: usize>(system: System, task: Task) -> Result<Runner, Skip> {
    match system {
        System::CrdtCore => Err(Skip::new("a plain type keeps no log: deltas since a version are a document's")),
        System::CrdtCoreDocument => cell::<ours::SetDocument>(task, PART),
        System::Crdts => cell::<crdts::Set>(task, PART),
        System::CrdtKit => cell::<crdt_kit::Set>(task, PART),
        System::Dson => cell::<dson::Set>(task, PART),
        System::Automerge => cell::<automerge::Set>(task, PART),
        System::Yrs => cell::<yrs::Set>(task, PART),
        System::Loro => cell::<loro::Set>(task, PART),
        System::Limit => cell::<limit::Log>(task, PART),
        System::LimitSameSeed => cell::<limit::SeededLog>(task, PART),
        System::LimitText => Err(Skip::new("measured where a set is merged or grows")),
    }
}

/// Returns the edit at an index: whether it inserts, and which key.
fn edit(index: usize) -> (bool, String) {
    if index % 10 == 9 { (false, key(index / 10)) } else { (true, key(index - index / 10)) }
}

fn cell<S: CatchUp + 'static>(Task { n, effort }: Task, part: usize) -> Result<Runner, Skip> {
    let missed = n * part / 100;
    let mut server = S::empty(1);
    let mut late = (part == 100).then(|| S::empty(2));
    let write = |index: usize| {
        let (inserts, key) = edit(index);
        if inserts {
            server.insert_only(&key)
        } else {
            server.remove_only(&key)
        }
        if index + 1 == n - missed {
            late = Some(server.copy(2));
        }
    };
    let (_, written) = stream(n, CHUNK, effort.writing(), write);
    if written < n {
        let limit = effort.writing().limit().as_secs();
        return Err(Skip::new(format!("made {written} of {n} edits in {limit} s")));
    }
    let mut late = late.expect("the peer left before the end");
    let expected = model(n);
    Ok(Box::new(move || {
        let mut peer = late.copy(2);
        let (elapsed, (request, answer)) = time(|| {
            let request = peer.request();
            let answer = server.answer(&request);
            peer.take(&answer);
            (request, answer)
        });
        let is_right = peer.contents() == expected;
        let bytes = Some((request.len() + answer.len()) as f64 / missed as f64);
        Ok(Run { elapsed: Some(elapsed), items: missed as u64, bytes, is_right })
    }))
}

/// A plain fold of all edits.
fn model(n: usize) -> HashSet<String> {
    let mut model = HashSet::new();
    for (inserts, key) in (0..n).map(edit) {
        if inserts {
            model.insert(key);
        } else {
            model.remove(&key);
        }
    }
    model
}
