//! A store that was opened twice: one of the two lives takes another id for what it did, and nothing
//! that either has done is lost.
//!
//! The judge is a world in which the second life had that id from the fork on. Both worlds play the same
//! edits; after each exchange documents must show the same, whoever merged with whom first.

use std::collections::{BTreeMap, BTreeSet};

use crdt_core::{Document, Kind, ReissueError, ReplicaId, Snapshot, Value};
use crdt_tests::law::from_env;
use crdt_tests::{Choices, Edit, Name, Op, View, WALL_MS};

const TWICE: ReplicaId = ReplicaId::from_u128(1);
const OTHER: ReplicaId = ReplicaId::from_u128(2);
const HEIR: ReplicaId = ReplicaId::from_u128(3);

/// What people see: no dots, no stamps, the winner of a register first.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    registers: BTreeMap<String, Vec<Value>>,
    counters: BTreeMap<String, i128>,
    sets: BTreeMap<String, BTreeSet<Value>>,
    maps: BTreeMap<String, Shown>,
}

impl From<View> for Shown {
    fn from(view: View) -> Self {
        let values = |written: Vec<crdt_tests::Written>| written.into_iter().map(|written| written.value).collect();
        Self {
            registers: view.registers.into_iter().map(|(name, written)| (name, values(written))).collect(),
            counters: view.counters,
            sets: view.sets,
            maps: view.maps.into_iter().map(|(name, map)| (name, Self::from(map))).collect(),
        }
    }
}

fn shown(document: &Document) -> Shown {
    View::of(document.root()).into()
}

fn draw(choices: &mut Choices) -> Op {
    let maps: [&[Name]; 4] = [&[], &["a"], &["a"], &["b"]];
    let value = |choices: &mut Choices| Value::from(choices.below(3) as i64);
    let edit = match choices.below(20) {
        0..3 => Edit::Write(value(choices)),
        3 => Edit::ClearRegister,
        4..10 => Edit::Add(1 + choices.below(100) as i64),
        10..12 => Edit::Reset,
        12..15 => Edit::Insert(value(choices)),
        15 => Edit::RemoveElement(value(choices)),
        16 => Edit::ClearMap,
        17 => Edit::CreateMap,
        _ => Edit::Remove([Kind::Map, Kind::Set, Kind::Register, Kind::Counter][choices.below(4)]),
    };
    Op { map: maps[choices.below(4)].to_vec(), name: ["a", "b"][choices.below(2)], edit }
}

/// Time goes on by a second a write, so stamps never decide differently in the two worlds.
struct Clock(u64);

impl Clock {
    fn write(&mut self, documents: &mut [&mut Document], op: &Op) {
        self.0 += 1_000;
        for document in documents {
            let mut transaction = document.transact(WALL_MS + self.0);
            op.play(&mut transaction.root()).expect("within all limits");
            drop(transaction.commit());
        }
    }
}

/// The two lives, the second as it was and as it should have been, and somebody else.
struct Lives {
    at_fork: Snapshot,
    first: Document,
    second: Document,
    ideal: Document,
    other: Document,
    clock: Clock,
}

impl Lives {
    /// One history, then two.
    fn lead(choices: &mut Choices) -> Self {
        let mut clock = Clock(0);
        let mut both = Document::new(TWICE);
        let mut other = Document::new(OTHER);
        for _ in 0..choices.below(8) {
            clock.write(&mut [&mut both], &draw(choices));
            if choices.below(3) == 0 {
                clock.write(&mut [&mut other], &draw(choices));
                other.merge(&both.snapshot()).expect("honest");
                both.merge(&other.snapshot()).expect("honest");
            }
        }
        let at_fork = both.snapshot();
        other.merge(&at_fork).expect("honest");
        let open = |replica| Document::from_snapshot(replica, at_fork.clone());
        let (first, second, ideal) = (open(TWICE), open(TWICE), open(HEIR));
        let mut lives = Self { at_fork, first, second, ideal, other, clock };
        for _ in 0..1 + choices.below(10) {
            let op = draw(choices);
            match choices.below(6) {
                0..2 => lives.clock.write(&mut [&mut lives.first], &op),
                2 => {
                    // Somebody else writes, knowing of neither branch, and both lives hear of it.
                    lives.clock.write(&mut [&mut lives.other], &op);
                    for life in [&mut lives.first, &mut lives.second, &mut lives.ideal] {
                        life.merge(&lives.other.snapshot()).expect("honest");
                    }
                }
                _ => lives.clock.write(&mut [&mut lives.second, &mut lives.ideal], &op),
            }
        }
        lives
    }
}

#[test]
fn a_branch_under_another_id_is_what_it_would_have_been_under_that_id_from_the_fork_on() {
    let cases = from_env("CRDT_LAW_CASES").unwrap_or(20_000);
    let mut renamed_counts = 0;
    for seed in 0..cases {
        let mut choices = Choices::new(seed);
        let Lives { at_fork, mut first, second, mut ideal, mut other, mut clock } = Lives::lead(&mut choices);
        let reissued = match second.snapshot().reissued(TWICE, &at_fork, HEIR) {
            Ok(reissued) => reissued,
            Err(error) => {
                assert_eq!(
                    (error, second.version().counter(TWICE)),
                    (ReissueError::NoBranch { replica: TWICE }, at_fork.version().counter(TWICE))
                );
                continue;
            }
        };
        renamed_counts += 1;
        assert_eq!(Snapshot::decode(&reissued.encode()).expect("canonical, with the right digest"), reissued);
        assert_eq!(reissued.version().counter(TWICE), at_fork.version().counter(TWICE));

        let mut second = Document::from_snapshot(HEIR, reissued);
        assert_eq!(shown(&second), shown(&ideal), "seed {seed}");

        // They meet, and write on, each in both worlds.
        let mut first_ideal = Document::from_snapshot(TWICE, first.snapshot());
        let mut other_ideal = Document::from_snapshot(OTHER, other.snapshot());
        for _ in 0..6 {
            let (a, b) = (choices.below(3), choices.below(3));
            if a != b {
                exchange(&mut [&mut first, &mut second, &mut other], a, b);
                exchange(&mut [&mut first_ideal, &mut ideal, &mut other_ideal], a, b);
            }
            let op = draw(&mut choices);
            match choices.below(3) {
                0 => clock.write(&mut [&mut first, &mut first_ideal], &op),
                1 => clock.write(&mut [&mut second, &mut ideal], &op),
                _ => clock.write(&mut [&mut other, &mut other_ideal], &op),
            }
            assert_eq!(shown(&second), shown(&ideal), "seed {seed}");
            assert_eq!(shown(&first), shown(&first_ideal), "seed {seed}");
            assert_eq!(shown(&other), shown(&other_ideal), "seed {seed}");
        }
        for (a, b) in [(0, 1), (1, 2), (0, 2), (0, 1)] {
            exchange(&mut [&mut first, &mut second, &mut other], a, b);
        }
        assert!(first == second && second == other, "seed {seed}");
    }
    assert!(renamed_counts > cases / 2);
}

/// What a document is as one of its own: the same to the eye, to its writers a stranger.
#[test]
fn a_detached_document_shows_the_same_and_has_no_writer_in_common() {
    let cases = from_env("CRDT_LAW_CASES").unwrap_or(20_000) / 10;
    for seed in 0..cases {
        let mut choices = Choices::new(seed);
        let Lives { first, second, mut other, mut clock, .. } = Lives::lead(&mut choices);
        let here = first.snapshot();
        let detached = here.detached();
        assert_eq!(Snapshot::decode(&detached.encode()).expect("canonical, with the right digest"), detached);
        assert_eq!(Shown::from(View::of(detached.root())), shown(&first), "seed {seed}");
        let counters = |snapshot: &Snapshot| snapshot.version().iter().map(|(_, counter)| counter).collect::<Vec<_>>();
        let sorted = |mut counters: Vec<u64>| {
            counters.sort_unstable();
            counters
        };
        assert_eq!(sorted(counters(&detached)), sorted(counters(&here)));
        for (replica, _) in here.version().iter() {
            assert_eq!(detached.version().counter(replica), 0, "seed {seed}");
        }

        // Equal ones have become equal; any others do not meet, even with one version.
        let again = Document::from_snapshot(HEIR, Snapshot::decode(&here.encode()).expect("canonical"));
        assert_eq!(again.snapshot().detached(), detached);
        if second.frontier() != first.frontier() {
            let there = second.snapshot().detached();
            assert!(there.version().iter().all(|(replica, _)| detached.version().counter(replica) == 0));
        }

        // It can be written to, and merged with what it was made of.
        let mut document = Document::from_snapshot(HEIR, detached);
        let merged = document.merge(&here).map(|_| shown(&document));
        let sum = |shown: &Shown| shown.counters.values().sum::<i128>();
        assert_eq!(sum(&merged.expect("strangers")), 2 * sum(&shown(&first)), "seed {seed}");
        clock.write(&mut [&mut document], &draw(&mut choices));
        other.merge(&document.snapshot()).expect("honest");
        document.merge(&other.snapshot()).expect("honest");
        assert!(document == other, "seed {seed}");
    }
}

fn exchange(documents: &mut [&mut Document; 3], a: usize, b: usize) {
    let (from_a, from_b) = (documents[a].snapshot(), documents[b].snapshot());
    documents[a].merge(&from_b).expect("the histories are told apart by now");
    documents[b].merge(&from_a).expect("the histories are told apart by now");
}

#[test]
fn what_cannot_be_renamed_is_refused() {
    let mut document = Document::new(TWICE);
    let empty = document.snapshot();
    assert_eq!(empty.reissued(TWICE, &empty, HEIR), Err(ReissueError::NoBranch { replica: TWICE }));
    let mut clock = Clock(0);
    clock.write(&mut [&mut document], &Op { map: vec![], name: "a", edit: Edit::Add(1) });
    let one = document.snapshot();
    assert_eq!(empty.reissued(TWICE, &one, HEIR), Err(ReissueError::NotBefore));
    assert_eq!(one.reissued(TWICE, &empty, TWICE), Err(ReissueError::HeirInUse { heir: TWICE }));
    assert!(one.reissued(TWICE, &empty, HEIR).is_ok());
}
