//! Forged values and deltas of the plain types, as postcard brings them in.
//!
//! What holds of whatever a liar sends, once it has been read? The value can be read, written and serialised; a refusal
//! or a repetition changes nothing; and applying a delta comes to the same as merging what came of it.

use std::fmt::Debug;

use crdt_core::{
    CounterMap, CounterMapDelta, DeltaError, Dot, HybridClock, LwwMap, LwwMapDelta, MvRegister, MvRegisterDelta, OrSet,
    OrSetDelta, ReplicaId, Stamp, TooManyReplicas, VersionVector,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::input::{Input, put_piece};
use crate::network::replica;
use crate::script::WALL_MS;

/// Messages that one input holds at most.
const PIECES_MAX: usize = 12;
/// Replicas that write the seeds.
const WRITERS: u128 = 3;

/// A plain type that keeps versions, as far as it matters here.
trait Plain: Clone + PartialEq + Debug + Default + Serialize + DeserializeOwned {
    type Delta: Clone + PartialEq + Debug + Serialize + DeserializeOwned;

    /// Makes some change, if there is one to make.
    fn write(&mut self, replica: ReplicaId, act: u8) -> Option<Self::Delta>;
    fn apply(&mut self, delta: &Self::Delta) -> Result<bool, DeltaError>;
    fn merge(&mut self, other: &Self) -> Result<(), TooManyReplicas>;
    fn dot(delta: &Self::Delta) -> Dot;
    fn version(&self) -> VersionVector;
    /// Panics if what readers get is at odds with itself.
    fn look(&self);
}

/// A value and what arrives there.
///
/// Script: which type; then pieces, each with a kind (bit 0: a delta, otherwise a whole value) and a length.
///
/// What is read serialises to the same value again. A delta that is refused, or is covered, changes nothing; one that is
/// applied is covered then, and merging the value after it into the one before gives that value. Merging covers both
/// versions, and doing it again changes nothing. In the end a stranger writes, and whoever held the same follows.
///
/// # Panics
/// If one of these does not hold.
pub fn plain_types(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.below(4) {
        0 => play::<OrSet<u8>>(&mut input),
        1 => play::<LwwMap<u8, u8>>(&mut input),
        2 => play::<CounterMap<u8>>(&mut input),
        _ => play::<MvRegister<u8>>(&mut input),
    }
}

fn play<P: Plain>(input: &mut Input<'_>) {
    let mut value = P::default();
    for _ in 0..PIECES_MAX {
        if input.is_empty() {
            break;
        }
        let is_delta = input.u8() & 1 == 1;
        let piece = input.piece();
        if is_delta {
            if let Ok(delta) = postcard::from_bytes::<P::Delta>(piece) {
                assert_eq!(through_bytes(&delta), delta);
                take_in_delta(&mut value, &delta);
            }
        } else if let Ok(other) = postcard::from_bytes::<P>(piece) {
            assert_eq!(through_bytes(&other), other);
            other.look();
            take_in_value(&mut value, &other);
        }
        value.look();
    }
    still_works(value);
}

fn take_in_delta<P: Plain>(value: &mut P, delta: &P::Delta) {
    let before = value.clone();
    let is_known = before.version().covers(P::dot(delta));
    let outcome = value.apply(delta);
    assert_eq!(outcome == Ok(false), is_known, "covered, and only then, it is skipped");
    if outcome != Ok(true) {
        assert_unchanged(value, &before);
        return;
    }
    assert!(value.version().covers(P::dot(delta)));
    let after = through_bytes(value);
    assert_eq!(value.apply(delta), Ok(false), "a delta is applied once");
    assert_unchanged(value, &after);
    let mut merged = before;
    merged.merge(&after).expect("it had room for the delta");
    assert_unchanged(&merged, &after);
}

fn take_in_value<P: Plain>(value: &mut P, other: &P) {
    let before = value.clone();
    if value.merge(other).is_err() {
        assert_unchanged(value, &before);
        return;
    }
    assert!(value.version().covers_all(&before.version()) && value.version().covers_all(&other.version()));
    let after = through_bytes(value);
    value.merge(other).expect("its replicas are known now");
    assert_unchanged(value, &after);
}

/// Serialised too: what is not part of the value must not show there.
fn assert_unchanged<P: Plain>(value: &P, before: &P) {
    assert_eq!(value, before);
    assert_eq!(to_bytes(value), to_bytes(before));
}

fn still_works<P: Plain>(value: P) {
    let mut follower = through_bytes(&value);
    let mut writer = value;
    for act in 0..6 {
        // One at the end of its range may refuse; panics are not fine.
        let Some(delta) = writer.write(replica(99), act) else { continue };
        assert_eq!(follower.apply(&through_bytes(&delta)), Ok(true), "an honest delta to who has its past");
        assert_unchanged(&follower, &writer);
        writer.look();
    }
}

fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("has a length")
}

fn through_bytes<T: Serialize + DeserializeOwned>(value: &T) -> T {
    postcard::from_bytes(&to_bytes(value)).expect("our own bytes")
}

fn stamp() -> Stamp {
    HybridClock::new().stamp(WALL_MS)
}

impl Plain for OrSet<u8> {
    type Delta = OrSetDelta<u8>;

    fn write(&mut self, replica: ReplicaId, act: u8) -> Option<Self::Delta> {
        match act % 6 {
            0 | 1 => self.insert(replica, act / 6 % 3).ok(),
            2 => self.extend(replica, [1, 2, 3]).ok()?,
            3 | 4 => self.remove(replica, &(act / 6 % 3)).ok()?,
            _ => self.clear(replica).ok()?,
        }
    }

    fn apply(&mut self, delta: &Self::Delta) -> Result<bool, DeltaError> {
        OrSet::apply(self, delta)
    }

    fn merge(&mut self, other: &Self) -> Result<(), TooManyReplicas> {
        OrSet::merge(self, other)
    }

    fn dot(delta: &Self::Delta) -> Dot {
        delta.dot()
    }

    fn version(&self) -> VersionVector {
        OrSet::version(self)
    }

    fn look(&self) {
        assert_eq!(self.iter().count(), self.len());
        assert!(self.iter().all(|element| self.contains(element)));
    }
}

impl Plain for LwwMap<u8, u8> {
    type Delta = LwwMapDelta<u8, u8>;

    fn write(&mut self, replica: ReplicaId, act: u8) -> Option<Self::Delta> {
        let key = act / 6 % 3;
        match act % 6 {
            0 | 1 => self.insert(replica, stamp(), key, act).ok(),
            2 => self.extend(replica, stamp(), [(1, act), (2, act)]).ok()?,
            3 | 4 => self.remove(replica, &key).ok()?,
            _ => self.clear(replica).ok()?,
        }
    }

    fn apply(&mut self, delta: &Self::Delta) -> Result<bool, DeltaError> {
        LwwMap::apply(self, delta)
    }

    fn merge(&mut self, other: &Self) -> Result<(), TooManyReplicas> {
        LwwMap::merge(self, other)
    }

    fn dot(delta: &Self::Delta) -> Dot {
        delta.dot()
    }

    fn version(&self) -> VersionVector {
        LwwMap::version(self)
    }

    fn look(&self) {
        assert_eq!(self.iter().count(), self.len());
        for (key, value) in self.iter() {
            let conflicts = self.conflicts(key);
            assert_eq!((self.get(key), conflicts[0].value), (Some(value), value));
            assert_eq!(self.last_write(key), Some((conflicts[0].stamp, conflicts[0].dot.replica)));
            assert_eq!(self.is_conflicted(key), conflicts.len() > 1);
        }
    }
}

impl Plain for CounterMap<u8> {
    type Delta = CounterMapDelta<u8>;

    fn write(&mut self, replica: ReplicaId, act: u8) -> Option<Self::Delta> {
        let key = act / 6 % 3;
        match act % 6 {
            0 | 1 => self.add(replica, key, act.into()).ok(),
            2 => self.extend(replica, [(1, 1), (2, -1)]).ok()?,
            3 | 4 => self.remove(replica, &key).ok()?,
            _ => self.clear(replica).ok()?,
        }
    }

    fn apply(&mut self, delta: &Self::Delta) -> Result<bool, DeltaError> {
        CounterMap::apply(self, delta)
    }

    fn merge(&mut self, other: &Self) -> Result<(), TooManyReplicas> {
        CounterMap::merge(self, other)
    }

    fn dot(delta: &Self::Delta) -> Dot {
        delta.dot()
    }

    fn version(&self) -> VersionVector {
        CounterMap::version(self)
    }

    fn look(&self) {
        assert_eq!(self.iter().count(), self.len());
        assert!(self.iter().all(|(key, sum)| self.get(key) == Some(sum)));
    }
}

impl Plain for MvRegister<u8> {
    type Delta = MvRegisterDelta<u8>;

    fn write(&mut self, replica: ReplicaId, act: u8) -> Option<Self::Delta> {
        if act.is_multiple_of(4) { self.clear(replica).ok()? } else { MvRegister::write(self, replica, act).ok() }
    }

    fn apply(&mut self, delta: &Self::Delta) -> Result<bool, DeltaError> {
        MvRegister::apply(self, delta)
    }

    fn merge(&mut self, other: &Self) -> Result<(), TooManyReplicas> {
        MvRegister::merge(self, other);
        Ok(())
    }

    fn dot(delta: &Self::Delta) -> Dot {
        delta.dot()
    }

    fn version(&self) -> VersionVector {
        MvRegister::version(self).clone()
    }

    fn look(&self) {
        assert!(through_bytes(self).values().eq(self.values()));
    }
}

/// Honest stories of each type: deltas in order, values that diverged, and both by turns.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    [
        seeds_of::<OrSet<u8>>(0),
        seeds_of::<LwwMap<u8, u8>>(1),
        seeds_of::<CounterMap<u8>>(2),
        seeds_of::<MvRegister<u8>>(3),
    ]
    .concat()
}

fn seeds_of<P: Plain>(number: u8) -> Vec<Vec<u8>> {
    let mut replicas: Vec<P> = vec![P::default(); WRITERS as usize];
    let (mut deltas, mut scripts) = (Vec::new(), vec![vec![number]; 3]);
    for act in 0..36 {
        let at = act % replicas.len();
        if act % 5 == 4 {
            let from = replicas[(at + 1) % replicas.len()].clone();
            replicas[at].merge(&from).expect("three replicas");
        }
        deltas.extend(replicas[at].write(replica(1 + at as u128), (7 * act) as u8));
        if act % 8 == 7 {
            scripts[1].push(0);
            put_piece(&mut scripts[1], &to_bytes(&replicas[at]));
            scripts[2].push((act / 8 % 2) as u8);
            put_piece(
                &mut scripts[2],
                &if act / 8 % 2 == 0 { to_bytes(&replicas[at]) } else { to_bytes(&deltas[act / 8]) },
            );
        }
    }
    for delta in deltas.iter().take(PIECES_MAX) {
        scripts[0].push(1);
        put_piece(&mut scripts[0], &to_bytes(delta));
    }
    scripts
}
