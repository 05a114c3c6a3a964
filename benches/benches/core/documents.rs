//! Documents with one add-wins set.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

use crdt_benches::growth::{group, sizes, suit};
use crdt_benches::{WALL_MS, elements, insert, insert_one, key, replica, scattered, set_document};
use crdt_core::{Delta, Document, Snapshot};

/// Deltas applied in one timed batch, so that the clock's own cost does not count.
const BATCH: usize = 1_000;

/// A writer whose set comes back to its size after each batch: half of its deltas insert, the others remove.
struct Writer {
    document: Document,
    size: usize,
}

impl Writer {
    fn deltas(&mut self) -> Vec<Vec<u8>> {
        let numbers = self.size..self.size + BATCH / 2;
        let inserts: Vec<Vec<u8>> =
            numbers.clone().map(|number| insert_one(&mut self.document, number).to_bytes()).collect();
        let removes = numbers.map(|number| remove_one(&mut self.document, number).to_bytes());
        inserts.into_iter().chain(removes).collect()
    }
}

fn remove_one(document: &mut Document, number: usize) -> Delta {
    let mut transaction = document.transact(WALL_MS);
    transaction.set("s").remove(key(number)).expect("within all limits");
    transaction.commit().expect("it was there").delta
}

/// Reads a document back from bytes, so that no table is shared with anybody.
fn open(writer: u128, bytes: &[u8]) -> Document {
    Document::from_snapshot(replica(writer), Snapshot::decode(bytes).expect("our own bytes"))
}

fn apply_all(document: &mut Document, deltas: &[Vec<u8>]) {
    for bytes in deltas {
        let delta = Delta::decode(bytes).expect("our own bytes");
        black_box(document.apply(&delta).expect("deltas are in order"));
    }
}

/// Inserts and removals of another replica, one by one, from bytes.
pub(crate) fn apply_deltas(criterion: &mut Criterion) {
    let mut group = group(criterion, "document: apply one-entry deltas from bytes");
    for size in sizes() {
        suit(&mut group, size);
        group.throughput(Throughput::Elements(BATCH as u64));
        let mut made = None;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let (document, writer) = made.get_or_insert_with(|| reader_and_writer(size));
            let next = || writer.deltas();
            bencher.iter_batched(next, |deltas| apply_all(document, &deltas), BatchSize::PerIteration);
        });
    }
}

fn reader_and_writer(size: usize) -> (Document, Writer) {
    let bytes = set_document(1, 0..size).snapshot().encode();
    let mut document = open(3, &bytes);
    let mut writer = Writer { document: open(2, &bytes), size };
    let deltas = writer.deltas();
    apply_all(&mut document, &deltas[..BATCH / 2]);
    assert_eq!(elements(&document), size + BATCH / 2);
    apply_all(&mut document, &deltas[BATCH / 2..]);
    assert!(document == writer.document && elements(&document) == size);
    (document, writer)
}

/// The bytes of one delta, on their own: they do not know of the document.
pub(crate) fn encode_and_decode_deltas(criterion: &mut Criterion) {
    let mut group = group(criterion, "document: a one-entry delta");
    let delta = insert_one(&mut set_document(1, 0..1_000), 1_000);
    let bytes = delta.to_bytes();
    assert_eq!(Delta::decode(&bytes).as_ref(), Ok(&delta));
    group.bench_function("encode", |bencher| bencher.iter(|| delta.to_bytes()));
    group.bench_function("decode", |bencher| bencher.iter(|| Delta::decode(&bytes).expect("our own bytes")));
}

pub(crate) fn take_snapshot(criterion: &mut Criterion) {
    let mut group = group(criterion, "document: take a snapshot");
    for size in sizes() {
        suit(&mut group, size);
        let mut made = None;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let document = made.get_or_insert_with(|| set_document(1, 0..size));
            assert_eq!(document.snapshot().digest(), document.digest());
            bencher.iter(|| document.snapshot());
        });
    }
}

/// A transaction that inserts an element anew.
pub(crate) fn write(criterion: &mut Criterion) {
    let mut group = group(criterion, "document: write once");
    for size in sizes() {
        suit(&mut group, size);
        let (mut made, mut number) = (None, 0);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let document = made.get_or_insert_with(|| set_document(1, 0..size));
            bencher.iter(|| {
                number += 1;
                insert_one(document, scattered(number, size))
            });
            assert_eq!(elements(document), size);
        });
    }
}

/// The snapshot is taken and dropped within the timing: its first write is the one that has to copy.
pub(crate) fn write_under_snapshot(criterion: &mut Criterion) {
    let mut group = group(criterion, "document: take a snapshot and write once under it");
    for size in sizes() {
        suit(&mut group, size);
        let (mut made, mut number) = (None, 0);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let document = made.get_or_insert_with(|| document_with_snapshots(size));
            bencher.iter(|| {
                let live = document.snapshot();
                number += 1;
                (insert_one(document, scattered(number, size)), live)
            });
        });
    }
}

fn document_with_snapshots(size: usize) -> Document {
    let mut document = set_document(1, 0..size);
    let live = document.snapshot();
    let _ = insert_one(&mut document, size);
    assert_eq!(live.root().set("s").map(|set| set.len()), Some(size), "the snapshot stands still");
    assert_eq!(elements(&document), size + 1);
    document
}

pub(crate) fn read_digest(criterion: &mut Criterion) {
    let mut group = group(criterion, "document: read the digest");
    for size in sizes() {
        suit(&mut group, size);
        let mut made = None;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let document = made.get_or_insert_with(|| {
                let document = set_document(1, 0..size);
                assert_ne!(document.digest(), set_document(1, 0..size - 1).digest());
                document
            });
            bencher.iter(|| black_box(&*document).digest());
        });
    }
}

pub(crate) fn merge_states(criterion: &mut Criterion) {
    let mut group = group(criterion, "document: merge two states half in common");
    for size in sizes() {
        suit(&mut group, size);
        group.throughput(Throughput::Elements(size as u64));
        let mut made = None;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let (left, right) = made.get_or_insert_with(|| half_in_common(size));
            let merge = |document: &mut Document| document.merge(right).expect("honest states merge");
            bencher.iter_batched_ref(|| open(1, left), merge, BatchSize::PerIteration);
        });
    }
}

/// Two states through bytes, so that no table is shared: those of two machines.
fn half_in_common(size: usize) -> (Vec<u8>, Snapshot) {
    let common = set_document(1, 0..size / 2).snapshot();
    let mut left = Document::from_snapshot(replica(1), common.clone());
    insert(&mut left, size / 2..size);
    let mut right = Document::from_snapshot(replica(2), common);
    insert(&mut right, size..size + size / 2);
    let left = left.snapshot().encode();
    let right = Snapshot::decode(&right.snapshot().encode()).expect("our own bytes");
    let mut checked = open(1, &left);
    let _ = checked.merge(&right).expect("honest states merge");
    assert_eq!(elements(&checked), size + size / 2);
    (left, right)
}

pub(crate) fn encode_and_decode(criterion: &mut Criterion) {
    for (name, decode) in [("document: encode a snapshot", false), ("document: decode a snapshot", true)] {
        let mut group = group(criterion, name);
        for size in sizes() {
            suit(&mut group, size);
            group.throughput(Throughput::Elements(size as u64));
            let mut made = None;
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                let (bytes, snapshot) = made.get_or_insert_with(|| {
                    let bytes = set_document(1, 0..size).snapshot().encode();
                    let snapshot = Snapshot::decode(&bytes).expect("our own bytes");
                    assert_eq!(snapshot.encode(), bytes);
                    (bytes, snapshot)
                });
                if decode {
                    // What was decoded is dropped outside of the timing.
                    bencher.iter_with_large_drop(|| Snapshot::decode(bytes).expect("our own bytes"));
                } else {
                    bencher.iter_with_large_drop(|| snapshot.encode());
                }
            });
        }
    }
}
