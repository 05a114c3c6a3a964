//! Bytes from anybody: a decoder takes or refuses them, and does nothing else.
//!
//! For every mutant: no panic, no hang, no allocation out of proportion; what is accepted encodes
//! to the same bytes again, and what was accepted can be applied or merged without panic and leaves
//! a document that can still be read, saved, opened and written to. Checksums are no shelter: each
//! mutant is tried as it is and with its checksum made right.
//!
//! `CRDT_HOSTILE_CASES` sets the number of random mutants over all targets (default 1,000,000),
//! `CRDT_LAW_SEED` the seed; a failure prints it with the bytes. A new kind of message is one more
//! [`Target`]. Allocation is counted by the allocator of this test binary alone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crdt_core::limits::NESTING_MAX;
use crdt_core::{Delta, Document, EditError, Kind, MapMut, Snapshot, Transaction, Value};
use crdt_tests::scene::{Act, observer};
use crdt_tests::{Choices, View, WALL_MS, coalesce_all, forge, law, mutate, replica};

/// Random mutants over all targets unless `CRDT_HOSTILE_CASES` says otherwise.
const CASES: usize = 1_000_000;
/// Peak bytes that decoding may hold beyond what the input pays for.
const ALLOCATION_BYTES_MAX: u64 = 4_096;
/// What a byte of input pays for in a delta. A map key of six bytes becomes a tree node.
const DELTA_GROWTH_MAX: u64 = 64;
/// What a byte of input pays for in a snapshot. A nested map of four bytes becomes a table.
const SNAPSHOT_GROWTH_MAX: u64 = 128;
/// What a byte of input pays for where long values make up the bytes.
const PAYLOAD_GROWTH_MAX: u64 = 2;
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
    /// Peak bytes allocated per byte of input.
    growth_max: u64,
}

/// What came of an attack.
#[derive(Debug, Default)]
struct Tally {
    tried: usize,
    accepted: usize,
    used: usize,
    /// The most bytes that one mutant made the decoder hold.
    allocated_max: u64,
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
        let (decoded, allocated) = measured(|| (self.decode)(mutant));
        let len = mutant.len() as u64;
        tally.allocated_max = tally.allocated_max.max(allocated);
        let allowed = self.growth_max * len + ALLOCATION_BYTES_MAX;
        assert!(allocated <= allowed, "{allocated} bytes allocated for {len}");
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

/// Runs `work`; returns its result and the most bytes it held allocated at any moment.
fn measured<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let mut result = None;
    let allocated = allocation_counter::measure(|| result = Some(work())).bytes_max;
    (result.expect("it has run"), allocated)
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
        growth_max: DELTA_GROWTH_MAX,
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
        growth_max: SNAPSHOT_GROWTH_MAX,
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
    let (long_deltas, long_snapshots) = SMALLEST.map(filled).into_iter().unzip();
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

/// Writes a thousand of the smallest entries of one kind.
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

/// Returns a delta of a thousand entries and the state after it, as bytes.
fn filled(fill: Fill) -> (Vec<u8>, Vec<u8>) {
    let mut document = Document::new(replica(1));
    let mut transaction = document.transact(WALL_MS);
    for number in 0..1_000 {
        fill(&mut transaction, &format!("{number:x}")).expect("within all limits");
    }
    let delta = transaction.commit().expect("something was written").delta.to_bytes();
    (delta, document.snapshot().encode())
}

fn assert_growth(bytes: &[u8], decode: impl Fn(&[u8]) -> bool, growth_max: u64) {
    let (accepted, allocated) = measured(|| decode(bytes));
    assert!(accepted);
    let allowed = growth_max * bytes.len() as u64 + ALLOCATION_BYTES_MAX;
    assert!(allocated <= allowed, "{allocated} bytes allocated for {}", bytes.len());
}

#[test]
fn the_smallest_entries_grow_by_a_bounded_factor() {
    for fill in SMALLEST {
        let (delta, snapshot) = filled(fill);
        assert_growth(&delta, |bytes| Delta::decode(bytes).is_ok(), DELTA_GROWTH_MAX);
        assert_growth(&snapshot, |bytes| Snapshot::decode(bytes).is_ok(), SNAPSHOT_GROWTH_MAX);
    }
}

#[test]
fn long_values_cost_no_more_than_twice_their_bytes() {
    let (delta, snapshot) = filled(|t, name| t.register(name).set(vec![0_u8; 4_096]));
    assert_growth(&delta, |bytes| Delta::decode(bytes).is_ok(), PAYLOAD_GROWTH_MAX);
    assert_growth(&snapshot, |bytes| Snapshot::decode(bytes).is_ok(), PAYLOAD_GROWTH_MAX);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
