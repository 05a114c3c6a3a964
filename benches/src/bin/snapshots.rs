//! What a live snapshot costs: to take one, and to write once under it, for documents and for plain sets of 1,000 to
//! 1,000,000 entries.
//!
//! How can something that takes less than a clock shows be timed? A thousand in a row, and the mean of them. A write
//! hits an element somewhere else each time, under a snapshot of its own, so each has to copy the table that it
//! touches; taking that snapshot, making the delta and dropping the snapshot are part of it. The sizes take turns, a
//! round of each after a round of each. Whoever copies a table copies its elements, which a `String` makes dear: so
//! there is a set of `Text` besides, which is what a document keeps.
//!
//! ```sh
//! cargo run --release -p crdt-benches --bin snapshots [-- --quick] [--json FILE]
//! ```

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use crdt_benches::program::{Common, end};
use crdt_benches::report::{Report, Row};
use crdt_benches::{Failed, elements, ensure, insert_one, key, replica, scattered, set_document};
use crdt_core::{Document, OrSet, Text};

/// Measures what a live snapshot costs.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
}

/// How many operations one figure is the mean of.
const ROW: usize = 1_000;

/// A document and a plain set of one size, and what each round took: nanoseconds for one operation.
struct Contender {
    size: usize,
    document: Document,
    set: OrSet<String>,
    shared: OrSet<Text>,
    /// Tells each write from those before.
    number: usize,
    figures: [Vec<f64>; CASES.len()],
}

/// What is measured of each, in this order.
const CASES: [&str; 7] = [
    "Document: take a snapshot",
    "Document: write",
    "Document: write under a snapshot",
    "OrSet: take a clone",
    "OrSet: write",
    "OrSet: write under a clone",
    "OrSet of Text: write under a clone",
];

impl Contender {
    fn new(size: usize) -> Result<Self, Failed> {
        let mut set = OrSet::new();
        let _ = set.extend(replica(1), (0..size).map(key))?;
        let mut shared = OrSet::new();
        let _ = shared.extend(replica(1), (0..size).map(|number| Text::from(key(number))))?;
        let document = set_document(1, 0..size);
        Ok(Self { size, document, set, shared, number: 0, figures: Default::default() })
    }

    fn measure(&mut self) -> Result<(), Failed> {
        let took = [
            mean_ns(|_| self.document.snapshot()),
            mean_ns(|at| insert_one(&mut self.document, scattered(self.number + at, self.size))),
            mean_ns(|at| {
                let live = self.document.snapshot();
                (insert_one(&mut self.document, scattered(self.number + ROW + at, self.size)), live)
            }),
            mean_ns(|_| self.set.clone()),
            mean_ns(|at| self.set.insert(replica(1), key(scattered(self.number + at, self.size)))),
            mean_ns(|at| {
                let live = self.set.clone();
                (self.set.insert(replica(1), key(scattered(self.number + ROW + at, self.size))), live)
            }),
            mean_ns(|at| {
                let live = self.shared.clone();
                let element = Text::from(key(scattered(self.number + ROW + at, self.size)));
                (self.shared.insert(replica(1), element), live)
            }),
        ];
        self.number += 2 * ROW;
        for (figures, took) in self.figures.iter_mut().zip(took) {
            figures.push(took);
        }
        let lengths = [elements(&self.document), self.set.len(), self.shared.len()];
        let is_right = lengths == [self.size; 3];
        ensure(is_right, || format!("not {} elements any more", self.size))
    }

    /// Checks that snapshots stand still while what they are of goes on.
    fn check(&mut self) -> Result<(), Failed> {
        let (snapshot, clone) = (self.document.snapshot(), self.set.clone());
        let _ = insert_one(&mut self.document, self.size);
        let _ = self.set.insert(replica(1), key(self.size))?;
        let held = snapshot.root().set("s").map_or(0, |set| set.len());
        let is_right = (held, clone.len()) == (self.size, self.size)
            && (elements(&self.document), self.set.len()) == (self.size + 1, self.size + 1);
        ensure(is_right, || "a snapshot did not stand still".to_owned())
    }
}

fn main() -> ExitCode {
    end("snapshots", measure(&Arguments::parse()))
}

fn measure(arguments: &Arguments) -> Result<(), Failed> {
    let (sizes, rounds): (&[usize], _) =
        if arguments.common.quick { (&[1_000], 2) } else { (&[1_000, 10_000, 100_000, 1_000_000], 51) };
    let mut contenders = sizes.iter().map(|size| Contender::new(*size)).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..rounds {
        for contender in &mut contenders {
            contender.measure()?;
        }
    }
    let mut report = Report::default();
    for (index, case) in CASES.into_iter().enumerate() {
        let row = |contender: &Contender| {
            Row::new(format!("{case}, {} entries", contender.size), "ns", contender.figures[index].clone())
        };
        report.add("snapshots", case, &contenders.iter().map(row).collect::<Vec<_>>());
    }
    for contender in &mut contenders {
        contender.check()?;
    }
    arguments.common.write(&report)
}

/// Runs something a thousand times, and returns how many nanoseconds one took.
fn mean_ns<T>(mut run: impl FnMut(usize) -> T) -> f64 {
    let begin = Instant::now();
    for at in 0..ROW {
        black_box(run(at));
    }
    begin.elapsed().as_secs_f64() * 1e9 / ROW as f64
}
