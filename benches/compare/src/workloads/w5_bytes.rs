//! W5: a set of n elements as bytes, and one entry more as bytes.
//!
//! Encoding a delta is measured with the write that makes it, as most libraries do both at once; taking one in is W2.

use std::collections::HashSet;

use super::{Task, key, keys, stream};
use crate::run::{Run, Runner, Skip, time};
use crate::system::System;
use crate::systems::{Deltas, FullState, SetReplica, automerge, crdt_kit, crdts, dson, limit, loro, ours, yrs};

/// One-entry deltas written in one run.
const DELTAS: usize = 1_000;
/// How many of them a reader takes in, to check them.
const CHECKED: usize = 20;
/// Deltas between two looks at the clock.
const CHUNK: usize = 10;

/// What the parts need.
trait Both: Deltas + FullState + 'static {}
impl<S: Deltas + FullState + 'static> Both for S {}

/// One of the parts, for any system.
trait Part {
    fn cell<S: Both>(task: Task) -> Result<Runner, Skip>;
}

fn open<P: Part>(system: System, task: Task) -> Result<Runner, Skip> {
    match system {
        System::CrdtCore => P::cell::<ours::Set>(task),
        System::CrdtCoreDocument => P::cell::<ours::SetDocument>(task),
        System::Crdts => P::cell::<crdts::Set>(task),
        System::CrdtKit => P::cell::<crdt_kit::Set>(task),
        System::Dson => P::cell::<dson::Set>(task),
        System::Automerge => P::cell::<automerge::Set>(task),
        System::Yrs => P::cell::<yrs::Set>(task),
        System::Loro => P::cell::<loro::Set>(task),
        System::Limit => P::cell::<limit::Set>(task),
        System::LimitSameSeed => P::cell::<limit::SeededSet>(task),
        System::LimitText => P::cell::<limit::TextSet>(task),
    }
}

/// Sets a system up to encode its state.
pub(super) fn open_encode(system: System, task: Task) -> Result<Runner, Skip> {
    open::<Encode>(system, task)
}

/// Sets a system up to decode its state.
pub(super) fn open_decode(system: System, task: Task) -> Result<Runner, Skip> {
    open::<Decode>(system, task)
}

/// Sets a system up to write single entries.
pub(super) fn open_delta(system: System, task: Task) -> Result<Runner, Skip> {
    open::<Single>(system, task)
}

/// Sets a system up to write many single entries and send them at once.
pub(super) fn open_batch(system: System, task: Task) -> Result<Runner, Skip> {
    open::<Batch>(system, task)
}

fn set<S: SetReplica>(n: usize) -> S {
    let mut set = S::empty(1);
    set.insert_all(&keys(0..n));
    set
}

fn model(n: usize) -> HashSet<String> {
    keys(0..n).into_iter().collect()
}

struct Encode;

impl Part for Encode {
    fn cell<S: Both>(task: Task) -> Result<Runner, Skip> {
        let n = task.n;
        let (mut set, expected) = (set::<S>(n), model(n));
        Ok(Box::new(move || {
            let (elapsed, bytes) = time(|| set.encode());
            let is_right = S::decode(&bytes).contents() == expected;
            let bytes = Some(bytes.len() as f64 / n as f64);
            Ok(Run { elapsed: Some(elapsed), items: n as u64, bytes, is_right })
        }))
    }
}

struct Decode;

impl Part for Decode {
    fn cell<S: Both>(task: Task) -> Result<Runner, Skip> {
        let n = task.n;
        let (bytes, expected) = (set::<S>(n).encode(), model(n));
        let wanted = key(n / 2);
        Ok(Box::new(move || {
            // Who decodes only when asked is asked for one key.
            let (elapsed, (mut decoded, found)) = time(|| {
                let mut decoded = S::decode(&bytes);
                let found = decoded.contains(&wanted);
                (decoded, found)
            });
            let is_right = found && decoded.contents() == expected;
            let bytes = Some(bytes.len() as f64 / n as f64);
            Ok(Run { elapsed: Some(elapsed), items: n as u64, bytes, is_right })
        }))
    }
}

struct Single;

impl Part for Single {
    fn cell<S: Both>(Task { n, effort }: Task) -> Result<Runner, Skip> {
        let mut base = set::<S>(n);
        Ok(Box::new(move || {
            let (mut writer, mut reader) = (base.copy(2), base.copy(3));
            let new = keys(n..n + DELTAS);
            let mut deltas = Vec::with_capacity(DELTAS);
            let (elapsed, written) =
                stream(DELTAS, CHUNK, effort.applying(), |index| deltas.push(writer.insert(&new[index])));
            // Applying is W2's business: a part is enough to check them.
            let applied = written.min(CHECKED);
            deltas[..applied].iter().for_each(|delta| reader.apply(delta));
            let is_right = writer.contents() == model(n + written) && reader.contents() == model(n + applied);
            let bytes = deltas.iter().map(Vec::len).sum::<usize>() as f64 / written as f64;
            Ok(Run { elapsed: Some(elapsed), items: written as u64, bytes: Some(bytes), is_right })
        }))
    }
}

struct Batch;

impl Part for Batch {
    fn cell<S: Both>(task: Task) -> Result<Runner, Skip> {
        let n = task.n;
        let mut base = set::<S>(n);
        Ok(Box::new(move || {
            let mut writer = base.copy(2);
            let new = keys(n..n + DELTAS);
            let (elapsed, bytes) = time(|| writer.batch(&new));
            let is_right = writer.contents() == model(n + DELTAS);
            let bytes = Some(bytes.len() as f64 / DELTAS as f64);
            Ok(Run { elapsed: Some(elapsed), items: DELTAS as u64, bytes, is_right })
        }))
    }
}
