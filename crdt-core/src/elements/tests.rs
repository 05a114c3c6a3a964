use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::context::{Context, ReplicaIndex};
use crate::id::ReplicaId;

/// A set as it is, with its context, and as it should be. All know the same replicas under the same numbers.
#[derive(Clone)]
struct Set {
    context: Context,
    elements: Elements<u32>,
    model: Model,
}

/// What is in a set, and what it has seen of each replica.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    elements: BTreeMap<u32, BTreeSet<LocalDot>>,
    seen: [u64; REPLICAS],
}

const REPLICAS: usize = 3;

fn dot(replica: usize, counter: u64) -> LocalDot {
    LocalDot::new(ReplicaIndex::new(replica), counter)
}

impl Set {
    /// Returns a set in which each of these elements has these dots, and which has seen so much of each replica.
    fn of(elements: Vec<(u32, Vec<LocalDot>)>, seen: [u64; REPLICAS]) -> Self {
        let mut builder = Elements::builder(elements.len());
        let mut model = Model { seen, ..Model::default() };
        for (element, dots) in elements {
            builder.push(element, dots.iter().copied().collect());
            model.elements.insert(element, dots.into_iter().collect());
        }
        let mut context = Context::default();
        for (at, counter) in seen.into_iter().enumerate() {
            let index = context.intern(ReplicaId::from_u128(at as u128)).unwrap();
            context.raise(index, counter);
        }
        Self { context, elements: Elements::built(builder), model }
    }

    /// Returns a set without elements of replicas that have not written.
    fn new() -> Self {
        Self::of(Vec::new(), [0; REPLICAS])
    }

    /// Returns a set in which each of these elements has been inserted concurrently by the first two replicas.
    fn concurrent(elements: Range<u32>) -> Self {
        Self::of(elements.map(|element| (element, vec![dot(0, 1), dot(1, 1)])).collect(), [1, 1, 0])
    }

    fn listed(&self) -> Vec<(u32, Vec<LocalDot>)> {
        let listed = self.elements.iter().map(|(element, dots)| (*element, dots.to_vec()));
        listed.collect()
    }

    /// Puts an element as one replica, which supersedes what is there or, if it is a concurrent insert, does not.
    fn insert(&mut self, replica: usize, element: u32, supersedes: bool) {
        self.model.seen[replica] += 1;
        let fresh = dot(replica, self.model.seen[replica]);
        self.context.raise(fresh.replica(), fresh.counter());
        let dots = self.model.elements.entry(element).or_default();
        if supersedes {
            let before = self.elements.insert(element, fresh);
            assert_eq!(before.unwrap_or_default().to_vec(), dots.iter().copied().collect::<Vec<_>>());
            dots.clear();
        } else {
            let add = |before: &[LocalDot]| before.iter().copied().chain([fresh]).collect();
            self.elements.update(&element, add, |_, _| {});
        }
        dots.insert(fresh);
    }

    fn remove(&mut self, element: u32) {
        let removed = self.elements.remove(&element).map(|(_, dots)| dots.iter().copied().collect());
        assert_eq!(removed, self.model.elements.remove(&element));
    }

    /// Takes out the least dot of an element.
    fn shed(&mut self, element: u32) {
        self.elements.update(&element, |dots| dots.iter().skip(1).copied().collect(), |_, _| {});
        if let Some(dots) = self.model.elements.get_mut(&element) {
            dots.pop_first();
        }
        self.model.elements.retain(|_, dots| !dots.is_empty());
    }

    /// Merges, and checks that what is told about the changes is what has changed.
    fn merge(&mut self, other: &Self) {
        let before = self.model.clone();
        self.model.merge(&other.model);
        let sides = Sides::new(&mut self.context, &other.context).unwrap();
        let mut told = before.elements.clone();
        self.elements.merge(&other.elements, &sides, |element, before, after| {
            let had = told.insert(*element, after.iter().copied().collect()).unwrap_or_default();
            assert!(before != after && before.iter().eq(&had), "{element}: {before:?}, {after:?}");
        });
        sides.adopt(&mut self.context);
        told.retain(|_, dots| !dots.is_empty());
        assert_eq!(told, self.model.elements);
    }

    /// Checks everything that can be read, and that nothing is kept beside but the dots of elements with several.
    fn check(&self) {
        let read = self.elements.iter().map(|(element, dots)| (*element, dots.iter().copied().collect()));
        assert_eq!(read.collect::<BTreeMap<u32, BTreeSet<_>>>(), self.model.elements);
        assert_eq!(self.elements.keys().count(), self.elements.len());
        for (element, dots) in &self.model.elements {
            assert!(self.elements.get(element).unwrap().iter().eq(dots), "ascending");
        }
        let several = self.model.elements.values().filter(|dots| dots.len() > 1);
        assert_eq!(self.elements.several.0.len(), several.count());
    }
}

impl Model {
    fn merge(&mut self, other: &Self) {
        let covers = |seen: &[u64; REPLICAS], dot: &LocalDot| dot.counter() <= seen[dot.replica().position()];
        let none = BTreeSet::new();
        let keys: BTreeSet<u32> = self.elements.keys().chain(other.elements.keys()).copied().collect();
        let merged = keys.into_iter().map(|key| {
            let mine = self.elements.get(&key).unwrap_or(&none);
            let theirs = other.elements.get(&key).unwrap_or(&none);
            let kept = mine.iter().filter(|dot| theirs.contains(dot) || !covers(&other.seen, dot));
            let new = theirs.iter().filter(|dot| !covers(&self.seen, dot));
            (key, kept.chain(new).copied().collect::<BTreeSet<_>>())
        });
        self.elements = merged.filter(|(_, dots)| !dots.is_empty()).collect();
        self.seen = std::array::from_fn(|at| self.seen[at].max(other.seen[at]));
    }
}

#[test]
fn an_entry_of_short_text_takes_four_words() {
    assert_eq!(size_of::<(crate::Text, Held)>(), 32);
}

#[test]
fn whatever_dots_the_two_sides_have_they_merge_by_the_rule() {
    // All that there can be of two dots of each of two replicas, and all that may have been seen.
    let dots = [dot(0, 1), dot(0, 2), dot(1, 1), dot(1, 2)];
    let cases = (0..16).flat_map(|chosen| (0..9).map(move |seen| (chosen, [seen / 3, seen % 3, 0])));
    let side = |(chosen, seen): (usize, [u64; REPLICAS])| {
        let has: Vec<LocalDot> = (0..4).filter(|at| chosen >> at & 1 == 1).map(|at| dots[at]).collect();
        let is_covered = has.iter().all(|dot| dot.counter() <= seen[dot.replica().position()]);
        is_covered.then(|| Set::of(if has.is_empty() { vec![] } else { vec![(7, has)] }, seen))
    };
    let sides: Vec<Set> = cases.filter_map(side).collect();
    assert_eq!(sides.len(), 49);
    for (mine, theirs) in sides.iter().flat_map(|mine| sides.iter().map(move |theirs| (mine, theirs))) {
        // Merged in place, and while a clone shares it.
        for mut merged in [Set::of(mine.listed(), mine.model.seen), mine.clone()] {
            merged.merge(theirs);
            merged.check();
        }
        mine.check();
    }
}

#[test]
fn several_dots_are_given_back_when_one_is_left() {
    let mut set = Set::new();
    for element in 0..500 {
        (0..REPLICAS).for_each(|replica| set.insert(replica, element, false));
    }
    set.check();
    assert_eq!(set.elements.several.0.len(), 500);
    for element in 0..500 {
        match element % 3 {
            0 => set.remove(element),
            1 => set.insert(0, element, true),
            _ => (1..REPLICAS).for_each(|_| set.shed(element)),
        }
    }
    set.check();
    assert!(set.elements.several.0.is_empty());
}

#[test]
fn an_insert_that_has_seen_all_leaves_nothing_beside_on_the_other_side() {
    let mut mine = Set::new();
    (0..500).for_each(|element| mine.insert(0, element, false));
    (0..500).for_each(|element| mine.insert(1, element, false));
    let mut theirs = mine.clone();
    (0..500).for_each(|element| theirs.insert(2, element, true));
    mine.merge(&theirs);
    mine.check();
    assert!(mine.elements.several.0.is_empty());
}

#[test]
fn a_change_among_several_dots_reaches_a_clone_by_merge() {
    // The entry holds the same before and after: what two share must not be taken for unchanged.
    let set = Set::concurrent(0..500);
    let mut theirs = set.clone();
    theirs.insert(2, 7, false);
    let (mut shared, mut unshared) = (set.clone(), Set::concurrent(0..500));
    for mine in [&mut shared, &mut unshared] {
        mine.merge(&theirs);
        mine.check();
        assert_eq!(mine.elements.get(&7).unwrap().len(), 3);
    }
    // And on from one that has learnt of it while it shared all with another.
    let mut third = set.clone();
    third.merge(&shared);
    third.check();
    assert_eq!(third.model, theirs.model);
    set.check();
}

#[derive(Clone, Debug)]
enum Op {
    Insert { supersedes: bool },
    Shed,
    Remove,
}

#[derive(Clone, Debug)]
enum Step {
    Edit(usize, Op, Range<u32>),
    Merge(usize, usize),
    /// The first merges the second, which becomes a clone of it.
    Equal(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let op = prop_oneof![
        3 => any::<bool>().prop_map(|supersedes| Op::Insert { supersedes }),
        1 => Just(Op::Shed),
        1 => Just(Op::Remove),
    ];
    let count = prop_oneof![1..4_u32, 1..200_u32];
    let (replica, elements) = (0..REPLICAS, (0..300_u32, count).prop_map(|(from, count)| from..from + count));
    prop_oneof![
        3 => (replica.clone(), op, elements).prop_map(|(replica, op, elements)| Step::Edit(replica, op, elements)),
        2 => (replica.clone(), replica.clone()).prop_map(|(mine, theirs)| Step::Merge(mine, theirs)),
        1 => (replica.clone(), replica).prop_map(|(mine, theirs)| Step::Equal(mine, theirs)),
    ]
}

proptest! {
    #[test]
    fn sets_agree_with_their_models_however_many_dots_an_element_has(steps in prop::collection::vec(step(), 1..30)) {
        let mut sets: [Set; REPLICAS] = std::array::from_fn(|_| Set::new());
        for step in steps {
            match step {
                Step::Edit(replica, op, elements) => elements.for_each(|element| match op {
                    Op::Insert { supersedes } => sets[replica].insert(replica, element, supersedes),
                    Op::Shed => sets[replica].shed(element),
                    Op::Remove => sets[replica].remove(element),
                }),
                Step::Merge(mine, theirs) => {
                    let theirs = sets[theirs].clone();
                    sets[mine].merge(&theirs);
                }
                Step::Equal(mine, theirs) => {
                    let other = sets[theirs].clone();
                    sets[mine].merge(&other);
                    sets[theirs] = sets[mine].clone();
                }
            }
            sets.iter().for_each(Set::check);
        }
    }
}
