//! Bytes from anybody: a decoder takes or refuses them, and does nothing else.
//!
//! For every mutant: no panic, no hang; what is refused has allocated at most twice its bytes, what is accepted at most
//! twice its bytes besides the decoded message (the tables of a snapshot may lie in memory a second time, while they
//! are put together), which is no larger than a stated multiple; what is accepted encodes to the same bytes again, and
//! can be applied or merged without panic and leaves a document that can still be read, saved, opened and written to.
//! Checksums are no shelter: each mutant is tried as it is and with its checksum made right.
//!
//! `CRDT_HOSTILE_CASES` sets the number of random mutants over all targets (default 1,000,000),
//! `CRDT_LAW_SEED` the seed; a failure prints it with the bytes. A new kind of message is one more
//! [`Target`]. Allocation is counted by the allocator of this test binary alone.

use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crdt_core::codec::Encode;
use crdt_core::limits::{NESTING_MAX, REPLICAS_MAX};
use crdt_core::{Delta, Document, EditError, Kind, MapMut, Snapshot, Transaction, Value};
use crdt_tests::scene::{Act, commit, observer};
use crdt_tests::{Choices, View, WALL_MS, coalesce_all, forge, law, mutate, replica};

/// Random mutants over all targets unless `CRDT_HOSTILE_CASES` says otherwise.
const CASES: usize = 1_000_000;
/// What decoding may allocate at any moment, per byte of input: all there is if the input is
/// refused, and what comes on top of the decoded message if it is accepted.
const GROWTH_MAX: u64 = 2;
/// What a decoded delta holds per byte. A set element of two bytes is a value and its changes; a set that is created, in
/// six, is a key, its changes and a mark.
const DELTA_HELD_MAX: u64 = 66;
/// What a decoded snapshot holds per byte. A nested map of four bytes is a table of one entry.
const SNAPSHOT_HELD_MAX: u64 = 64;
/// What a decoded message holds per byte where long values make up the bytes.
const PAYLOAD_HELD_MAX: u64 = 2;
/// How many replicas the messages have that are about many.
const CROWD: u128 = 1_000;
/// Every how-manieth accepted mutant is also put to use, which takes far longer than decoding.
const USED_EVERY: usize = 2;

/// A message, and the state that its receiver is in.
struct Sample {
    bytes: Vec<u8>,
    receiver: Snapshot,
}

/// One kind of message under attack.
struct Target<T> {
    name: &'static str,
    samples: Vec<Sample>,
    decode: fn(&[u8]) -> Option<T>,
    encode: fn(&T) -> Vec<u8>,
    /// Does with an accepted message what a receiver would.
    take_in: fn(&mut Document, &T),
    /// Makes checksums right.
    reseal: fn(&mut Vec<u8>),
    /// What a decoded message holds per byte.
    held_max: u64,
    /// How often it may lie in memory while it is put together.
    copies: u64,
}

/// What came of an attack.
#[derive(Debug, Default)]
struct Tally {
    tried: usize,
    accepted: usize,
    used: usize,
    worst: Worst,
}

/// The most that one mutant has cost.
#[derive(Debug, Default)]
struct Worst {
    /// Bytes per byte of input that was refused.
    refused: u64,
    /// Percent of what the decoded message holds, beyond [`GROWTH_MAX`] times the input.
    accepted: u64,
    /// Bytes of the decoded message per byte of input.
    held: u64,
}

/// What decoding has allocated.
struct Cost {
    /// The bytes of input.
    len: u64,
    /// The most bytes at any moment.
    peak: u64,
    /// The bytes that the decoded message holds; `None` if the input was refused.
    held: Option<u64>,
}

impl Cost {
    /// Decodes; returns what came of it and what that took.
    fn of<T>(bytes: &[u8], decode: fn(&[u8]) -> Option<T>) -> (Option<T>, Self) {
        let mut decoded = None;
        let allocated = allocation_counter::measure(|| decoded = decode(bytes));
        let current = u64::try_from(allocated.bytes_current).expect("decoding frees nothing but its own");
        let cost = Self { len: bytes.len() as u64, peak: allocated.bytes_max, held: decoded.as_ref().map(|_| current) };
        assert!(decoded.is_some() || current == 0, "{current} bytes kept of what was refused");
        (decoded, cost)
    }

    /// Checks that the input has paid for it.
    fn assert_paid(&self, held_max: u64, copies: u64, worst: &mut Worst) {
        let Self { len, peak, held } = *self;
        let beyond = peak.saturating_sub(GROWTH_MAX * len);
        let Some(held) = held else {
            worst.refused = worst.refused.max(peak.div_ceil(len.max(1)));
            assert_eq!(beyond, 0, "{peak} bytes allocated for {len} that were refused");
            return;
        };
        worst.accepted = worst.accepted.max(beyond * 100 / held.max(1));
        worst.held = worst.held.max(held.div_ceil(len));
        assert!(beyond <= copies * held, "{peak} bytes allocated for {len} that hold {held}");
        assert!(held <= held_max * len, "{held} bytes held for {len}");
    }
}

impl<T> Target<T> {
    /// Tries every prefix, every single bit, and `cases` random mutants.
    fn attack(&self, cases: usize) -> Tally {
        let seed = law::seed();
        let mut choices = Choices::new(seed);
        let mut tally = Tally::default();
        let donors: Vec<&[u8]> = self.samples.iter().map(|sample| &sample.bytes[..]).collect();
        for sample in &self.samples {
            assert_eq!(
                (self.decode)(&sample.bytes).map(|message| (self.encode)(&message)).as_ref(),
                Some(&sample.bytes)
            );
            for mutant in mutate::prefixes(&sample.bytes).chain(mutate::flips(&sample.bytes)) {
                self.attempt(sample, &mutant, seed, &mut tally);
            }
        }
        while tally.tried < cases {
            let sample = &self.samples[choices.below(self.samples.len())];
            let mut mutant = mutate::wound(&sample.bytes, &donors, &mut choices);
            if choices.coin() {
                (self.reseal)(&mut mutant);
            }
            self.attempt(sample, &mutant, seed, &mut tally);
        }
        println!("{}: {tally:?}", self.name);
        assert!(tally.accepted > 0, "mutants that nobody accepts test only the first check");
        tally
    }

    fn attempt(&self, sample: &Sample, mutant: &[u8], seed: u64, tally: &mut Tally) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.receive(sample, mutant, tally)));
        if let Err(panic) = outcome {
            eprintln!("{}: CRDT_LAW_SEED={seed}\nbytes: {}", self.name, hex(mutant));
            std::panic::resume_unwind(panic);
        }
    }

    fn receive(&self, sample: &Sample, mutant: &[u8], tally: &mut Tally) {
        tally.tried += 1;
        let (decoded, cost) = Cost::of(mutant, self.decode);
        cost.assert_paid(self.held_max, self.copies, &mut tally.worst);
        let Some(message) = decoded else { return };
        tally.accepted += 1;
        assert_eq!((self.encode)(&message), mutant, "one content has one encoding");
        if tally.accepted.is_multiple_of(USED_EVERY) {
            tally.used += 1;
            let mut document = observer(&sample.receiver);
            (self.take_in)(&mut document, &message);
            still_works(document);
        }
    }
}

/// Reads, saves, opens and writes a document that has taken in something hostile.
fn still_works(document: Document) {
    let _ = View::of(document.root());
    let _ = document.root().to_json();
    let bytes = document.snapshot().encode();
    let saved = Snapshot::decode(&bytes).expect("a document can be saved and opened, whatever it took in");
    assert_eq!(saved.digest(), document.digest());
    assert_eq!(saved.encode(), bytes);
    for id in [1, 2, 99] {
        let mut document = Document::from_snapshot(replica(id), saved.clone());
        let mut transaction = document.transact(WALL_MS);
        for act in ACTS {
            // Refusals (a counter out of range) are fine; panics are not.
            let _ = act(&mut transaction);
        }
        let _ = transaction.commit();
        let _ = View::of(document.root());
    }
}

/// Something of every kind, at every depth, with removals.
const ACTS: [Act; 12] = [
    |t| t.register("r").set("text"),
    |t| t.counter("c").add(100),
    |t| t.set("s").insert(1),
    |t| t.set("s").insert(f64::NAN),
    |t| t.map("m").create(),
    |t| t.map("m").map("n").register("r").set(vec![0_u8; 40]),
    |t| t.map("m").counter("c").add(-5),
    |t| t.set("s").remove(1).map(drop),
    |t| t.counter("c").reset(),
    |t| t.root().remove(Kind::Map, "m").map(drop),
    |t| t.set("s").insert(Value::Null),
    |t| t.map("m").set("s").insert(true),
];

/// Two replicas that do all [`ACTS`] in turn, partly concurrently: their deltas in causal order,
/// each with the state of a receiver that has all before it.
fn history() -> Vec<(Delta, Snapshot)> {
    let mut writers = [Document::new(replica(1)), Document::new(replica(2))];
    let mut history = Vec::new();
    for (round, act) in ACTS.iter().enumerate() {
        for writer in &mut writers {
            let mut transaction = writer.transact(WALL_MS);
            if round % 4 == 0 {
                transaction = transaction.salted(NonZeroU64::MAX);
            }
            act(&mut transaction).expect("within all limits");
            if let Some(committed) = transaction.commit() {
                history.push((committed.delta, before(&history)));
            }
        }
        let [one, two] = &mut writers;
        if round % 3 == 0 {
            let _ = one.merge(&two.snapshot()).expect("honest states merge");
        }
        if round % 4 == 0 {
            let _ = two.merge(&one.snapshot()).expect("honest states merge");
        }
    }
    history
}

/// The state of who has applied all of `history`.
fn before(history: &[(Delta, Snapshot)]) -> Snapshot {
    let Some((delta, state)) = history.last() else { return Snapshot::empty() };
    let mut document = observer(state);
    let _ = document.apply(delta).expect("in order");
    document.snapshot()
}

fn deltas() -> Target<Delta> {
    let history = history();
    let mut samples: Vec<Sample> = history
        .iter()
        .map(|(delta, receiver)| Sample { bytes: delta.to_bytes(), receiver: receiver.clone() })
        .collect();
    for part in [0..4, 3..9, 8..history.len(), 0..history.len()] {
        let receiver = history[part.start].1.clone();
        let deltas: Vec<_> = history[part].iter().map(|(delta, _)| delta.clone().into()).collect();
        let coalesced = coalesce_all(deltas.iter());
        samples.extend(coalesced.iter().map(|delta| Sample { bytes: delta.to_bytes(), receiver: receiver.clone() }));
    }
    Target {
        name: "deltas",
        samples,
        decode: |bytes| Delta::decode(bytes).ok(),
        encode: Delta::to_bytes,
        take_in: |document, delta| {
            if document.apply(delta).is_err() {
                // Most are refused for their chain hash alone; an attacker takes a fresh receiver.
                let _ = observer(&Snapshot::empty()).apply(delta);
            }
        },
        reseal: |_| {},
        held_max: DELTA_HELD_MAX,
        copies: 1,
    }
}

fn snapshots() -> Target<Snapshot> {
    let states: Vec<Snapshot> = history().into_iter().map(|(_, state)| state).collect();
    let receiver = states[states.len() / 2].clone();
    Target {
        name: "snapshots",
        samples: states.iter().map(|state| Sample { bytes: state.encode(), receiver: receiver.clone() }).collect(),
        decode: |bytes| Snapshot::decode(bytes).ok(),
        encode: Snapshot::encode,
        take_in: |document, snapshot| {
            still_works(observer(snapshot));
            let _ = document.merge(snapshot);
        },
        reseal: forge::reseal,
        held_max: SNAPSHOT_HELD_MAX,
        copies: 2,
    }
}

/// As many random mutants of long messages as there is time for, to find work out of proportion.
fn attack_long<T>(target: &Target<T>, samples: Vec<Vec<u8>>) {
    let seed = law::seed();
    let mut choices = Choices::new(seed);
    let mut tally = Tally::default();
    for sample in samples {
        let sample = Sample { bytes: sample, receiver: Snapshot::empty() };
        for _ in 0..100 {
            let mut mutant = mutate::wound(&sample.bytes, &[], &mut choices);
            (target.reseal)(&mut mutant);
            target.attempt(&sample, &mutant, seed, &mut tally);
        }
    }
    println!("long {}: {tally:?}", target.name);
}

fn cases() -> usize {
    law::from_env("CRDT_HOSTILE_CASES").unwrap_or(CASES)
}

#[test]
fn mutated_deltas_are_refused_or_harmless() {
    deltas().attack(cases() / 2);
}

#[test]
fn mutated_snapshots_are_refused_or_harmless() {
    snapshots().attack(cases() / 2);
}

#[test]
fn mutated_long_messages_are_refused_or_harmless() {
    let (mut long_deltas, mut long_snapshots): (Vec<_>, Vec<_>) =
        SMALLEST.map(|fill| filled(fill, 1_000)).into_iter().unzip();
    let (crowded_deltas, crowded_snapshot) = crowded();
    long_deltas.extend(crowded_deltas);
    long_snapshots.push(crowded_snapshot);
    attack_long(&deltas(), long_deltas);
    attack_long(&snapshots(), long_snapshots);
}

#[test]
fn the_second_reader_of_the_format_agrees_on_every_digest() {
    for sample in snapshots().samples {
        let digest = Snapshot::decode(&sample.bytes).expect("honest bytes").digest();
        assert_eq!(forge::digest(&sample.bytes), Some((digest.0, sample.bytes.len() - 16)));
    }
}

/// Writes one of the smallest entries of its kind.
type Fill = fn(&mut Transaction<'_>, &str) -> Result<(), EditError>;

const SMALLEST: [Fill; 7] = [
    |t, name| t.register(name).set(Value::Null),
    |t, name| t.counter(name).add(0),
    |t, name| t.set(name).create(),
    |t, name| t.set(name).insert(Value::Null),
    |t, name| t.map(name).create(),
    |t, name| nest(&mut t.map(name), NESTING_MAX - 2),
    |t, name| t.set("").insert(name),
];

fn nest(map: &mut MapMut<'_>, depth: usize) -> Result<(), EditError> {
    match depth.checked_sub(1) {
        None => map.register("").set(Value::Null),
        Some(depth) => nest(&mut map.map(""), depth),
    }
}

/// Returns a delta of so many entries and the state after it, as bytes.
fn filled(fill: Fill, entries: usize) -> (Vec<u8>, Vec<u8>) {
    let mut document = Document::new(replica(1));
    let mut transaction = document.transact(WALL_MS);
    for number in 0..entries {
        fill(&mut transaction, &format!("{number:x}")).expect("within all limits");
    }
    let delta = transaction.commit().expect("something was written").delta.to_bytes();
    (delta, document.snapshot().encode())
}

/// Returns messages about many replicas: a delta that supersedes what each of them wrote, one that
/// also holds it, and a snapshot of it.
fn crowded() -> ([Vec<u8>; 2], Vec<u8>) {
    const WRITE: Act = |t| t.register("r").set(Value::Null);
    let mut document = Document::new(replica(1));
    let mut deltas = Vec::new();
    for id in 2..CROWD {
        let delta = commit(&mut Document::new(replica(id)), WALL_MS, WRITE);
        let _ = document.apply(&delta).expect("the first of its replica");
        deltas.push(Arc::new(delta));
    }
    let snapshot = document.snapshot().encode();
    deltas.push(Arc::new(commit(&mut document, WALL_MS, WRITE)));
    let coalesced = coalesce_all(deltas.iter());
    ([deltas[deltas.len() - 1].to_bytes(), coalesced[0].to_bytes()], snapshot)
}

/// Returns a delta that holds more per byte than honest ones do: in every map, down to the deepest,
/// a register and four elements of a set, touched and empty.
fn dense() -> Vec<u8> {
    const MAP: [u8; 3] = [2 * 3, 1, 0];
    const DEEPEST: [u8; 1] = [2 * 2];
    const SET_AND_REGISTER: [u8; 14] = [2, 0, 2 * 4, 0, 0, 1, 0, 2, 0, 16, 0, 3, 0, 0];
    let mut bytes = vec![1];
    bytes.put_u64(0);
    bytes.put_u8(1);
    bytes.put_replica(replica(1));
    bytes.put_bytes(&[0, 0]);
    bytes.put_bytes(&MAP.repeat(NESTING_MAX - 1));
    bytes.put_bytes(&DEEPEST);
    bytes.put_bytes(&SET_AND_REGISTER.repeat(NESTING_MAX));
    bytes
}

/// Checks the cost of a message, and of it with its last byte missing, changed, or followed by
/// another, which nobody can refuse without reading all of it.
fn assert_paid<T>(target: &Target<T>, bytes: &[u8], held_max: u64) {
    let mut worst = Worst::default();
    let (rest, last) = (&bytes[..bytes.len() - 1], bytes[bytes.len() - 1]);
    let mut accepts = |end: &[u8]| {
        let (decoded, cost) = Cost::of(&[rest, end].concat(), target.decode);
        cost.assert_paid(held_max, target.copies, &mut worst);
        decoded.is_some()
    };
    accepts(&[!last]);
    assert_eq!([&[last] as &[u8], &[], &[last, 0]].map(&mut accepts), [true, false, false]);
    println!("{}: {} bytes, {worst:?}", target.name, bytes.len());
}

#[test]
fn the_smallest_entries_hold_a_bounded_multiple_of_their_bytes() {
    assert_paid(&deltas(), &dense(), DELTA_HELD_MAX);
    for fill in SMALLEST {
        // A table is one shard up to 120 entries; just above, the growth of one shard weighs most. And 255 is the most that
        // names of two letters tell apart.
        for entries in [1, 2, 120, 121, 161, 255, 1_000] {
            let (delta, snapshot) = filled(fill, entries);
            assert_paid(&deltas(), &delta, DELTA_HELD_MAX);
            assert_paid(&snapshots(), &snapshot, SNAPSHOT_HELD_MAX);
        }
    }
}

#[test]
fn elements_of_two_writers_hold_a_bounded_multiple_of_their_bytes() {
    // Their dots lie in a table beside, which grows as they are read: just above powers of two it weighs most.
    for entries in [1, 65, 121, 129, 1_025] {
        let [mut document, mut other] = [1, 2].map(|id| Document::new(replica(id)));
        let insert_all = |document: &mut Document| {
            let mut transaction = document.transact(WALL_MS);
            (0..entries).for_each(|number: i64| transaction.set("").insert(number).expect("within all limits"));
            transaction.commit().expect("something was inserted").delta
        };
        let _ = insert_all(&mut document);
        let concurrent = insert_all(&mut other);
        let _ = document.apply(&concurrent).expect("the first of its replica");
        assert_paid(&snapshots(), &document.snapshot().encode(), SNAPSHOT_HELD_MAX);
    }
}

#[test]
fn many_replicas_hold_a_bounded_multiple_of_their_bytes() {
    let (long_deltas, long_snapshot) = crowded();
    long_deltas.iter().for_each(|delta| assert_paid(&deltas(), delta, DELTA_HELD_MAX));
    assert_paid(&snapshots(), &long_snapshot, SNAPSHOT_HELD_MAX);
    let claimed = forge::claim((1..=REPLICAS_MAX as u128).map(|id| (replica(id), 1)));
    assert_paid(&snapshots(), &claimed, SNAPSHOT_HELD_MAX);
}

#[test]
fn long_values_hold_no_more_than_twice_their_bytes() {
    let (delta, snapshot) = filled(|t, name| t.register(name).set(vec![0_u8; 4_096]), 1_000);
    assert_paid(&deltas(), &delta, PAYLOAD_HELD_MAX);
    assert_paid(&snapshots(), &snapshot, PAYLOAD_HELD_MAX);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
