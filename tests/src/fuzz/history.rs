//! A small honest history that inputs build upon: three writers, partly concurrent, every kind of edit.

use std::sync::{Arc, OnceLock};

use crdt_core::{Delta, Document, Kind, Snapshot, Value};

use crate::network::{coalesce_all, replica};
use crate::scene::{Act, observer};
use crate::script::WALL_MS;

/// Something of every kind, at several depths, with removals, resets and a value of some length.
pub(crate) const ACTS: [Act; 16] = [
    |t| t.register("r").set("text"),
    |t| t.counter("c").add(100),
    |t| t.set("s").insert(1),
    |t| t.set("s").insert(f64::NAN),
    |t| t.map("m").create(),
    |t| t.map("m").map("n").register("r").set(vec![7_u8; 40]),
    |t| t.map("m").counter("c").add(-5),
    |t| t.set("s").remove(1).map(drop),
    |t| t.counter("c").reset(),
    |t| t.map("m").set("s").create(),
    |t| t.root().remove(Kind::Map, "m").map(drop),
    |t| t.set("s").insert(Value::Null),
    |t| t.map("m").set("s").insert(true),
    |t| t.register("r").clear(),
    |t| t.register("long").set("long ".repeat(200)),
    |t| t.root().clear(),
];

/// Deltas in causal order, and the state of who has applied all before each.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) deltas: Vec<Arc<Delta>>,
    /// One more than deltas: the last is the state after all.
    pub(crate) states: Vec<Snapshot>,
}

impl History {
    /// Returns a state, whatever the number.
    pub(crate) fn state(&self, number: u8) -> &Snapshot {
        &self.states[usize::from(number) % self.states.len()]
    }

    /// Returns the deltas from one to another merged as far as they go.
    pub(crate) fn coalesced(&self, from: usize, until: usize) -> Vec<Delta> {
        coalesce_all(self.deltas[from..until].iter())
    }
}

/// Returns the history, made once.
pub(crate) fn history() -> &'static History {
    static HISTORY: OnceLock<History> = OnceLock::new();
    HISTORY.get_or_init(make)
}

fn make() -> History {
    let mut writers = [1, 2, 3].map(|number| Document::new(replica(number)));
    let mut deltas = Vec::new();
    for (round, act) in ACTS.iter().enumerate() {
        for writer in &mut writers {
            let mut transaction = writer.transact(WALL_MS + round as u64);
            act(&mut transaction).expect("within all limits");
            deltas.extend(transaction.commit().map(|committed| Arc::new(committed.delta)));
        }
        // Each catches up with its neighbour now and then, so that some edits have seen others.
        let (to, from) = (round % 3, (round + 1) % 3);
        let news = writers[from].snapshot();
        let _ = writers[to].merge(&news).expect("honest states merge");
    }
    let mut states = vec![Snapshot::empty()];
    for delta in &deltas {
        let mut document = observer(&states[states.len() - 1]);
        let _ = document.apply(delta).expect("in causal order");
        states.push(document.snapshot());
    }
    History { deltas, states }
}
