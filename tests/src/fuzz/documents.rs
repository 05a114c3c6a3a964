//! Forged deltas and snapshots against one document.
//!
//! What can be asked of a document that takes in the work of a liar? Not that its content makes
//! sense, but that everything the library promises of any content still holds: one encoding, a
//! digest that is that of the content, nothing changed by a refusal or by a repetition, and that it
//! can be read, saved, opened, written and followed by an honest replica.

use std::num::NonZeroU64;

use crdt_core::codec::Encode;
use crdt_core::{Delta, Document, Snapshot};

use super::history::{ACTS, history};
use super::input::{Input, put_piece};
use super::seal::{SEALED, rechain};
use crate::network::replica;
use crate::same::{assert_same, assert_unchanged, through_bytes};
use crate::scene::observer;
use crate::script::WALL_MS;
use crate::{View, forge};

/// Messages that one input holds at most.
const PIECES_MAX: usize = 8;

/// Reads who receives: in which state of the honest history, and under which id.
fn receiver(input: &mut Input<'_>) -> Document {
    let state = history().state(input.u8());
    let id = [99, 1, 2][input.below(3)];
    Document::from_snapshot(replica(id), state.clone())
}

/// Deltas to a receiver in some state of an honest history.
///
/// Script: the number of the state; whose it is, a stranger's or one of the writers'; then deltas, each
/// with flags (bit 0: its chain hashes are made those of the receiver) and a length.
///
/// A delta that is decoded encodes to the same bytes. One that is refused changes nothing. One that is
/// applied is covered then, and spends no dot of the receiver's; applying it again changes nothing; a store, which
/// follows by [`Snapshot::apply`], gets to the same state, and so does who merges the new state into the old one;
/// the digest is that of the content. What two of them coalesce into has one encoding as well, and leads to the same
/// state from before both and from between them. The document works on.
///
/// # Panics
/// If one of these does not hold.
pub fn delta_apply(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut document = receiver(&mut input);
    let mut last: Option<(Snapshot, Delta)> = None;
    for _ in 0..PIECES_MAX {
        if input.is_empty() {
            break;
        }
        let flags = input.u8();
        let mut piece = input.piece().to_vec();
        if flags & SEALED != 0 {
            rechain(&mut piece, &document.frontier());
        }
        let Ok(delta) = Delta::decode(&piece) else { continue };
        assert_eq!(delta.to_bytes(), piece, "one content has one encoding");
        let before = document.snapshot();
        if take_in_delta(&mut document, &delta) {
            if let Some((first_before, first)) = &last {
                coalesces(first, &delta, &[first_before, &before], &document);
            }
            last = Some((before, delta));
        }
    }
    still_works(&document);
}

/// Tells whether it was applied and brought something.
fn take_in_delta(document: &mut Document, delta: &Delta) -> bool {
    let before = document.snapshot();
    let known = delta.is_covered_by(&before.version());
    match document.apply(delta) {
        Err(_) => {
            assert_unchanged(document, &before);
            return false;
        }
        Ok(changes) if known => {
            assert!(changes.is_empty(), "a delta that is known reports nothing");
            assert_unchanged(document, &before);
            return false;
        }
        Ok(_) => {}
    }
    assert!(delta.is_covered_by(&document.version()));
    assert_own(document, &before);
    let after = through_bytes(&document.snapshot());
    assert!(document.apply(delta).expect("it is covered now").is_empty(), "a delta is applied once");
    assert_unchanged(document, &after);
    let mut stored = before.clone();
    stored.apply(delta).expect("what the document takes, its store takes");
    assert!(stored == after, "a store follows its document");
    let mut merged = observer(&before);
    merged.merge(&after).expect("a state continues its own past");
    assert_same(&merged, document);
    true
}

/// Two deltas that were applied one after the other, as one: to who has neither and to who has the first.
fn coalesces(first: &Delta, second: &Delta, receivers: &[&Snapshot], after: &Document) {
    let mut both = first.clone();
    if both.coalesce(second).is_err() {
        return;
    }
    let both = Delta::decode(&both.to_bytes()).expect("our own bytes");
    for receiver in receivers {
        let mut receiver = observer(receiver);
        receiver.apply(&both).expect("its parts have been applied here");
        assert_same(&receiver, after);
    }
}

/// Snapshots to a receiver in some state of an honest history.
///
/// Script: the number of the state; whose it is, a stranger's or one of the writers'; then snapshots, each
/// with flags (bit 0: its digest is made right) and a length.
///
/// A snapshot that is decoded encodes to the same bytes, and opens as a document that works. One that is
/// refused changes nothing. One that is merged is of no other history than the document's, is covered then,
/// and spends no dot of the receiver's; merging it again changes nothing, and the digest is that of the
/// content. The document works on.
///
/// # Panics
/// If one of these does not hold.
pub fn snapshot_merge(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut document = receiver(&mut input);
    for _ in 0..PIECES_MAX {
        if input.is_empty() {
            break;
        }
        let flags = input.u8();
        let mut piece = input.piece().to_vec();
        if flags & SEALED != 0 {
            forge::reseal(&mut piece);
        }
        let Ok(snapshot) = Snapshot::decode(&piece) else { continue };
        assert_eq!(snapshot.encode(), piece, "one content has one encoding");
        still_works(&observer(&snapshot));
        take_in_snapshot(&mut document, &snapshot);
    }
    still_works(&document);
}

fn take_in_snapshot(document: &mut Document, snapshot: &Snapshot) {
    let before = document.snapshot();
    if document.merge(snapshot).is_err() {
        assert_unchanged(document, &before);
        return;
    }
    assert_eq!(before.frontier().conflict_with(&snapshot.frontier()), None, "two histories were merged");
    assert!(document.version().covers_all(&snapshot.version()));
    assert!(document.version().covers_all(&before.version()));
    assert_own(document, &before);
    let after = through_bytes(&document.snapshot());
    assert!(document.merge(snapshot).expect("it is covered now").is_empty(), "merging is idempotent");
    assert_unchanged(document, &after);
}

/// Nobody else spends the dots of a document's own replica.
fn assert_own(document: &Document, before: &Snapshot) {
    let own = document.replica();
    assert_eq!(document.version().counter(own), before.version().counter(own));
}

/// Reads, saves, opens and writes a document, and lets an honest replica follow.
///
/// # Panics
/// If any of it fails.
pub(super) fn still_works(document: &Document) {
    let _ = View::of(document.root());
    let _ = document.root().to_json();
    let saved = through_bytes(&document.snapshot());
    for id in [1, 99] {
        let mut writer = Document::from_snapshot(replica(id), saved.clone());
        let mut follower = Document::from_snapshot(replica(50), saved.clone());
        let mut transaction = writer.transact(WALL_MS);
        for act in ACTS.iter().take(13) {
            // Refusals (a counter at the end of its range, no stamp left) are fine; panics are not.
            let _ = act(&mut transaction);
        }
        let Some(committed) = transaction.commit() else { continue };
        let delta = Delta::decode(&committed.delta.to_bytes()).expect("our own bytes");
        follower.apply(&delta).expect("an honest delta to who has its past");
        assert_same(&follower, &writer);
        let _ = through_bytes(&writer.snapshot());
    }
}

/// Each honest delta to who lacks it, some runs of them, and some coalesced.
pub(super) fn delta_seeds() -> Vec<Vec<u8>> {
    let history = history();
    let mut seeds = Vec::new();
    let mut seed = |state: usize, deltas: &[Delta]| {
        let mut script = vec![state as u8, (state % 3) as u8];
        for delta in deltas {
            script.push(SEALED);
            put_piece(&mut script, &delta.to_bytes());
        }
        seeds.push(script);
    };
    let last = history.deltas.len();
    let single = |at: usize| Delta::clone(&history.deltas[at]);
    for at in (0..last).step_by(2) {
        seed(at, &[single(at)]);
    }
    for start in (0..last - 4).step_by(9) {
        let run: Vec<Delta> = (start..start + 4).map(single).collect();
        seed(start, &run);
        seed(start, &history.coalesced(start, start + 4));
        // To who has the first half of it already.
        seed(start + 2, &history.coalesced(start, start + 4));
    }
    seed(0, &history.coalesced(0, last));
    for at in [0, last / 2] {
        seed(at, &[salted(&history.states[at])]);
    }
    seeds.push(unordered());
    seeds
}

/// What a replica writes first after it has started on some state.
fn salted(state: &Snapshot) -> Delta {
    let mut document = Document::from_snapshot(replica(2), state.clone());
    let mut transaction = document.transact(WALL_MS).salted(NonZeroU64::MAX);
    transaction.counter("c").add(1).expect("within all limits");
    transaction.commit().expect("it counts").delta
}

/// A delta of replica 3 that resets a counter for replica 2 and then for 1: well-formed but for the order.
fn unordered() -> Vec<u8> {
    let mut delta = vec![1];
    delta.put_u64(0);
    delta.put_varint(3);
    (1..=3).for_each(|id| delta.put_replica(replica(id)));
    // By the third of these, after nothing: no presence, one key, the counter "c", no writes, two resets.
    delta.extend_from_slice(&[2, 0, 0, 1, 4, 1, b'c', 0, 2, 1, 1, 0, 0, 1, 0]);
    let mut script = vec![2, 0, SEALED];
    put_piece(&mut script, &delta);
    script
}

/// Some honest states to an empty receiver and to one that has gone half the way.
pub(super) fn snapshot_seeds() -> Vec<Vec<u8>> {
    let states = &history().states;
    let mut seeds = Vec::new();
    for (at, state) in states.iter().enumerate().step_by(3) {
        let mut script = vec![if at % 2 == 0 { 0 } else { (states.len() / 2) as u8 }, (at % 3) as u8, SEALED];
        put_piece(&mut script, &state.encode());
        seeds.push(script);
    }
    // Another history: the same counters, and one bit of the first chain hash flipped.
    let here = states.len() / 2;
    let mut other = states[here].encode();
    other[1 + 1 + 16 + 1] ^= 1;
    let mut script = vec![here as u8, 0, SEALED];
    put_piece(&mut script, &other);
    seeds.push(script);
    let mut all = vec![0, 0];
    for state in states.iter().step_by(states.len() / 4) {
        all.push(SEALED);
        put_piece(&mut all, &state.encode());
    }
    seeds.push(all);
    seeds
}
