//! The types under test: how a random number becomes a write, and the value as the naive model
//! derives it from all events.

use std::collections::BTreeSet;

use crdt_core::{
    DeltaError, GCounter, GCounterDelta, LwwRegister, LwwRegisterDelta, MvRegister, MvRegisterDelta, OrSet, OrSetDelta,
    PnCounter, PnCounterDelta, ReplicaId, Stamp,
};
use serde::Serialize;

use crate::world::{Event, Subject};

impl Subject for GCounter {
    type Delta = GCounterDelta;
    type Action = u64;
    type View = u128;

    fn action(seed: u32) -> u64 {
        if seed.is_multiple_of(8) { u64::MAX - 9 } else { u64::from(seed % 5) + 1 }
    }

    fn write(&mut self, replica: ReplicaId, by: u64) -> Option<GCounterDelta> {
        self.increment(replica, by).ok()
    }

    fn apply(&mut self, delta: &GCounterDelta) -> Result<bool, DeltaError> {
        Ok(GCounter::apply(self, delta))
    }

    fn merge(&mut self, other: &Self) {
        GCounter::merge(self, other);
    }

    fn view(&self) -> u128 {
        self.value()
    }

    fn model(seen: &[&Event<Self>]) -> u128 {
        seen.iter().map(|event| u128::from(event.action)).sum()
    }
}

impl Subject for PnCounter {
    type Delta = PnCounterDelta;
    type Action = (bool, u64);
    type View = i128;

    fn action(seed: u32) -> (bool, u64) {
        (seed.is_multiple_of(2), GCounter::action(seed / 2))
    }

    fn write(&mut self, replica: ReplicaId, (up, by): (bool, u64)) -> Option<PnCounterDelta> {
        if up { self.increment(replica, by).ok() } else { self.decrement(replica, by).ok() }
    }

    fn apply(&mut self, delta: &PnCounterDelta) -> Result<bool, DeltaError> {
        Ok(PnCounter::apply(self, delta))
    }

    fn merge(&mut self, other: &Self) {
        PnCounter::merge(self, other);
    }

    fn view(&self) -> i128 {
        self.value()
    }

    fn model(seen: &[&Event<Self>]) -> i128 {
        let signed = |(up, by): (bool, u64)| if up { i128::from(by) } else { -i128::from(by) };
        seen.iter().map(|event| signed(event.action)).sum()
    }
}

impl Subject for LwwRegister<u8> {
    type Delta = LwwRegisterDelta<u8>;
    /// Wall clock and value.
    type Action = (u64, u8);
    type View = Option<u8>;

    fn action(seed: u32) -> (u64, u8) {
        (u64::from(seed % 6), (seed >> 8) as u8)
    }

    fn write(&mut self, replica: ReplicaId, (clock, value): (u64, u8)) -> Option<LwwRegisterDelta<u8>> {
        LwwRegister::write(self, replica, Stamp::from_u64(clock), value).ok()
    }

    fn apply(&mut self, delta: &LwwRegisterDelta<u8>) -> Result<bool, DeltaError> {
        Ok(LwwRegister::apply(self, delta))
    }

    fn merge(&mut self, other: &Self) {
        LwwRegister::merge(self, other);
    }

    fn view(&self) -> Option<u8> {
        self.get().copied()
    }

    fn model(seen: &[&Event<Self>]) -> Option<u8> {
        // A write's rank: its clock, but above all that its author had seen.
        let mut ranked: Vec<(u64, ReplicaId, &Event<Self>)> = Vec::new();
        for event in seen {
            let past = ranked.iter().filter(|(_, _, other)| event.saw(other)).map(|(clock, ..)| clock + 1).max();
            ranked.push((event.action.0.max(past.unwrap_or(0)), event.replica, *event));
        }
        let last = ranked.into_iter().max_by_key(|(clock, replica, _)| (*clock, *replica));
        last.map(|(.., event)| event.action.1)
    }
}

impl Subject for MvRegister<u8> {
    type Delta = MvRegisterDelta<u8>;
    /// A value to write, or nothing to clear.
    type Action = Option<u8>;
    type View = Vec<u8>;

    fn action(seed: u32) -> Option<u8> {
        (!seed.is_multiple_of(4)).then_some((seed >> 8) as u8)
    }

    fn write(&mut self, replica: ReplicaId, value: Option<u8>) -> Option<MvRegisterDelta<u8>> {
        match value {
            Some(value) => MvRegister::write(self, replica, value).ok(),
            None => self.clear(replica).ok().flatten(),
        }
    }

    fn apply(&mut self, delta: &MvRegisterDelta<u8>) -> Result<bool, DeltaError> {
        MvRegister::apply(self, delta)
    }

    fn merge(&mut self, other: &Self) {
        MvRegister::merge(self, other);
    }

    fn view(&self) -> Vec<u8> {
        let mut values: Vec<u8> = self.values().copied().collect();
        values.sort_unstable();
        values
    }

    fn model(seen: &[&Event<Self>]) -> Vec<u8> {
        let stands = |event: &&&Event<Self>| !seen.iter().any(|other| other.saw(event));
        let mut values: Vec<u8> = seen.iter().filter(stands).filter_map(|event| event.action).collect();
        values.sort_unstable();
        values
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum SetAction {
    Insert(u16),
    Remove(u16),
    /// From, count.
    Extend(u16, u16),
    Clear,
}

impl SetAction {
    fn of(seed: u32, count_max: u16) -> Self {
        let (element, count) = ((seed >> 4) as u16 % (2 * count_max), 1 + (seed >> 8) as u16 % count_max);
        match seed % 16 {
            0..=5 => Self::Insert(element),
            6..=11 => Self::Remove(element),
            12..=14 => Self::Extend(element, count),
            _ => Self::Clear,
        }
    }

    fn write(self, set: &mut OrSet<u16>, replica: ReplicaId) -> Option<OrSetDelta<u16>> {
        match self {
            Self::Insert(element) => set.insert(replica, element).ok(),
            Self::Remove(element) => set.remove(replica, &element).ok().flatten(),
            Self::Extend(from, count) => set.extend(replica, from..from + count).ok().flatten(),
            Self::Clear => set.clear(replica).ok().flatten(),
        }
    }

    fn added(self) -> std::ops::Range<u16> {
        match self {
            Self::Insert(element) => element..element + 1,
            Self::Extend(from, count) => from..from + count,
            _ => 0..0,
        }
    }

    fn removes(self, element: u16) -> bool {
        match self {
            Self::Remove(removed) => removed == element,
            Self::Clear => true,
            _ => false,
        }
    }
}

fn model_of_set<S: Subject<Action = SetAction>>(seen: &[&Event<S>]) -> BTreeSet<u16> {
    let mut elements = BTreeSet::new();
    for add in seen {
        let stays = |element: &u16| !seen.iter().any(|other| other.action.removes(*element) && other.saw(add));
        elements.extend(add.action.added().filter(stays));
    }
    elements
}

impl Subject for OrSet<u16> {
    type Delta = OrSetDelta<u16>;
    type Action = SetAction;
    type View = BTreeSet<u16>;

    fn action(seed: u32) -> SetAction {
        SetAction::of(seed, 4)
    }

    fn write(&mut self, replica: ReplicaId, action: SetAction) -> Option<OrSetDelta<u16>> {
        action.write(self, replica)
    }

    fn apply(&mut self, delta: &OrSetDelta<u16>) -> Result<bool, DeltaError> {
        OrSet::apply(self, delta)
    }

    fn merge(&mut self, other: &Self) {
        OrSet::merge(self, other).expect("three replicas");
    }

    fn view(&self) -> BTreeSet<u16> {
        self.iter().copied().collect()
    }

    fn model(seen: &[&Event<Self>]) -> BTreeSet<u16> {
        model_of_set(seen)
    }
}

/// The same set with bigger actions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, serde::Deserialize)]
pub(crate) struct Large(OrSet<u16>);

impl Subject for Large {
    type Delta = OrSetDelta<u16>;
    type Action = SetAction;
    type View = BTreeSet<u16>;

    fn action(seed: u32) -> SetAction {
        SetAction::of(seed, 300)
    }

    fn write(&mut self, replica: ReplicaId, action: SetAction) -> Option<OrSetDelta<u16>> {
        action.write(&mut self.0, replica)
    }

    fn apply(&mut self, delta: &OrSetDelta<u16>) -> Result<bool, DeltaError> {
        self.0.apply(delta)
    }

    fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0).expect("three replicas");
    }

    fn view(&self) -> BTreeSet<u16> {
        self.0.iter().copied().collect()
    }

    fn model(seen: &[&Event<Self>]) -> BTreeSet<u16> {
        model_of_set(seen)
    }
}
