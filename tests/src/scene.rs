//! The smallest concurrent cases: common ground, then edits that have not seen each other.
//!
//! [`Scene::play`] lets the writers' work meet in every way there is (deltas in every order of
//! writers, states merged in every order, deltas merged before delivery, each writer taking in the
//! rest) and insists that the document is the same each time, to the byte.

use crdt_core::{Delta, Document, EditError, Snapshot, Transaction};

use crate::network::replica;
use crate::same::{assert_same, through_bytes};
use crate::script::WALL_MS;

/// One transaction of a scene.
pub type Act = fn(&mut Transaction<'_>) -> Result<(), EditError>;

/// Common ground and concurrent work. Replica 1 lays the ground; the n-th writer is replica n.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// What everybody has seen, one transaction each, by replica 1.
    pub ground: Vec<Act>,
    /// What each writer does without seeing the others, one transaction each, with its wall time.
    pub writers: Vec<Vec<(u64, Act)>>,
}

/// What a writer ends with.
struct Work {
    document: Document,
    deltas: Vec<Delta>,
}

impl Scene {
    /// A scene on common ground.
    #[must_use]
    pub fn on(ground: &[Act]) -> Self {
        Self { ground: ground.to_vec(), writers: Vec::new() }
    }

    /// One more writer, whose wall clock stands still.
    #[must_use]
    pub fn writer(self, acts: &[Act]) -> Self {
        self.writer_at(WALL_MS, acts)
    }

    /// One more writer, whose wall clock stands at `wall_ms`.
    #[must_use]
    pub fn writer_at(mut self, wall_ms: u64, acts: &[Act]) -> Self {
        self.writers.push(acts.iter().map(|act| (wall_ms, *act)).collect());
        self
    }

    /// Plays the scene in every way; returns the one document that all of them give.
    ///
    /// # Panics
    /// If two ways give different documents.
    #[must_use]
    pub fn play(&self) -> Document {
        let (ground, deltas) = self.lay_ground();
        let works: Vec<Work> = (1..).zip(&self.writers).map(|(id, acts)| work(id, &ground, acts)).collect();
        let mut result = observer(&Snapshot::empty());
        for delta in deltas.iter().chain(works.iter().flat_map(|work| &work.deltas)) {
            apply(&mut result, delta);
        }
        for order in orders(works.len()) {
            let works: Vec<&Work> = order.iter().map(|writer| &works[*writer]).collect();
            assert_same(&by_deltas(&ground, &works), &result);
            assert_same(&by_merged_deltas(&deltas, &works), &result);
            assert_same(&by_states(&works), &result);
        }
        for work in works {
            assert_same(&take_in_rest(work, &result.snapshot()), &result);
        }
        result
    }

    fn lay_ground(&self) -> (Snapshot, Vec<Delta>) {
        let mut first = Document::new(replica(1));
        let deltas = self.ground.iter().map(|act| commit(&mut first, WALL_MS, *act)).collect();
        (through_bytes(&first.snapshot()), deltas)
    }
}

fn work(id: u128, ground: &Snapshot, acts: &[(u64, Act)]) -> Work {
    let mut document = Document::from_snapshot(replica(id), ground.clone());
    let deltas = acts.iter().map(|(wall_ms, act)| commit(&mut document, *wall_ms, *act)).collect();
    Work { document, deltas }
}

/// Runs one transaction that must change something; returns its delta.
///
/// # Panics
/// If it is refused or changes nothing.
pub fn commit(document: &mut Document, wall_ms: u64, act: Act) -> Delta {
    let mut transaction = document.transact(wall_ms);
    act(&mut transaction).expect("the act is within all limits");
    transaction.commit().expect("the act changes something").delta
}

/// Applies a delta that must be acceptable.
///
/// # Panics
/// If it is refused.
pub fn apply(document: &mut Document, delta: &Delta) {
    document.apply(delta).expect("the delta is next");
}

/// Opens a state as a replica that never writes.
#[must_use]
pub fn observer(state: &Snapshot) -> Document {
    Document::from_snapshot(replica(99), state.clone())
}

fn by_deltas(ground: &Snapshot, works: &[&Work]) -> Document {
    let mut document = observer(ground);
    for delta in works.iter().flat_map(|work| &work.deltas) {
        apply(&mut document, delta);
    }
    document
}

/// One delta for everything, to a receiver that has nothing and to one that has the first writer's
/// state already.
fn by_merged_deltas(ground: &[Delta], works: &[&Work]) -> Document {
    let mut deltas = ground.iter().chain(works.iter().flat_map(|work| &work.deltas));
    let mut merged = deltas.next().expect("a scene has a delta").clone();
    for delta in deltas {
        merged.coalesce(delta).expect("the deltas are consecutive");
    }
    let mut fresh = observer(&Snapshot::empty());
    apply(&mut fresh, &merged);
    let mut partial = observer(&works[0].document.snapshot());
    apply(&mut partial, &merged);
    assert_same(&partial, &fresh);
    fresh
}

fn by_states(works: &[&Work]) -> Document {
    let mut document = observer(&Snapshot::empty());
    for work in works {
        document.merge(&through_bytes(&work.document.snapshot())).expect("honest states merge");
    }
    document
}

fn take_in_rest(work: Work, rest: &Snapshot) -> Document {
    let mut document = work.document;
    document.merge(rest).expect("honest states merge");
    document
}

/// Every order of the numbers below `count`, which is small.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else {
        return vec![Vec::new()];
    };
    let insert = |order: Vec<usize>| {
        (0..=order.len()).map(move |at| {
            let mut order = order.clone();
            order.insert(at, last);
            order
        })
    };
    orders(last).into_iter().flat_map(insert).collect()
}
