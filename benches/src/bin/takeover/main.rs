//! How fast a fresh peer takes over a document, through real WebSockets on loopback, against bare tokio-tungstenite
//! that carries the same messages; and what the core alone takes for its part of it.
//!
//! What would be a fair limit? The same messages, of the same lengths, in the same order, over the same kind of socket
//! with the same buffers, on the same runtime, made beforehand and thrown away on arrival. What is compared runs in
//! turns, a round of each after a round of each. A round counts only if the fresh peer ends with the digest of the
//! other.
//!
//! ```sh
//! cargo run --release -p crdt-benches --bin takeover [-- --quick] [--json FILE] [--entries N] [--only WHAT]
//! ```
//!
//! docs/benchmarks.md has figures, and where they are weak.

mod alone;
mod bare;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use crdt_benches::loopback::Provider;
use crdt_benches::program::{Common, end};
use crdt_benches::report::{Report, Row, median};
use crdt_benches::{Failed, ensure, runtime, set_document};
use crdt_core::Snapshot;

use alone::Alone;
use bare::{Buffers, Script};

/// Measures how fast a fresh peer takes over a document.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// How many entries the document has.
    #[arg(long, default_value_t = 1_000_000)]
    entries: usize,
    /// How many rounds count, behind one that does not.
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Measures only these, and compares nothing: for profilers.
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Option<Measure>,
}

/// What is measured in turns.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// Replicas take over the document.
    Replicas,
    /// Bare WebSockets carry its messages.
    Bare,
    /// The core encodes, decodes and merges it.
    Alone,
}

/// What each round took, in milliseconds.
#[derive(Default)]
struct Rounds {
    replicas: Vec<f64>,
    bare: Vec<f64>,
    bare_large: Vec<f64>,
    encode: Vec<f64>,
    decode: Vec<f64>,
    merge: Vec<f64>,
}

fn main() -> ExitCode {
    end("takeover", measure(&Arguments::parse()))
}

fn measure(arguments: &Arguments) -> Result<(), Failed> {
    let (entries, rounds) = if arguments.common.quick { (20_000, 2) } else { (arguments.entries, arguments.rounds) };
    ensure(entries > 0 && rounds > 0, || "there is nothing to measure".to_owned())?;
    // Through bytes, so that it lies in memory as if it had been read or received.
    let bytes = set_document(1, 0..entries).snapshot().encode();
    let snapshot = Snapshot::decode(&bytes)?;
    let script = Script::of(&snapshot)?;
    let runtime = runtime()?;
    let mut provider = runtime.block_on(Provider::open(&snapshot))?;
    let (mut figures, mut received_bytes) = (Rounds::default(), 0);
    for round in 0..=rounds {
        let is_wanted = |measure| arguments.only.is_none_or(|only| only == measure);
        let mut this = Rounds::default();
        if is_wanted(Measure::Replicas) {
            let follower = runtime.block_on(provider.hand_over())?;
            this.replicas.push(milliseconds(follower.took));
            received_bytes = follower.received_bytes;
            runtime.block_on(follower.close());
        }
        if is_wanted(Measure::Bare) {
            this.bare.push(milliseconds(runtime.block_on(script.play(Buffers::Ours))?));
            this.bare_large.push(milliseconds(runtime.block_on(script.play(Buffers::Default))?));
        }
        if is_wanted(Measure::Alone) {
            let Alone { encode, decode, merge } = Alone::measure(&snapshot)?;
            this.encode.push(milliseconds(encode));
            this.decode.push(milliseconds(decode));
            this.merge.push(milliseconds(merge));
        }
        if round > 0 {
            figures.add(this);
        }
    }
    runtime.block_on(provider.close());
    let report = figures.tell(entries, received_bytes, &script);
    arguments.common.write(&report)
}

impl Rounds {
    fn add(&mut self, round: Self) {
        self.replicas.extend(round.replicas);
        self.bare.extend(round.bare);
        self.bare_large.extend(round.bare_large);
        self.encode.extend(round.encode);
        self.decode.extend(round.decode);
        self.merge.extend(round.merge);
    }

    fn tell(self, entries: usize, received_bytes: u64, script: &Script) -> Report {
        let mut rows = Vec::new();
        let row = |case: &str, values: &[f64]| {
            let per_second = entries as f64 / median(values) * 1e3;
            Row::new(case, "ms", values.to_vec()).with("entries/s", per_second)
        };
        if !self.replicas.is_empty() {
            rows.push(row("replicas", &self.replicas).with("bytes received", received_bytes));
        }
        if !self.bare.is_empty() {
            let bare = row("bare, buffers as ours", &self.bare).with("messages", script.messages());
            rows.push(bare.with("bytes", script.bytes()));
            rows.push(row("bare, tungstenite's own buffers", &self.bare_large));
        }
        if !self.encode.is_empty() {
            rows.push(row("the core alone: encode", &self.encode));
            rows.push(row("the core alone: decode", &self.decode));
            rows.push(row("the core alone: merge into an empty document", &self.merge));
        }
        let mut report = Report::default();
        report.add("takeover", &format!("A fresh peer takes over {entries} entries"), &rows);
        if !self.replicas.is_empty() && !self.bare.is_empty() && !self.encode.is_empty() {
            report.add("takeover", "The same compared, round by round", &self.compared());
        }
        report
    }

    /// Compares the rates of each round with the rate of the replicas in it.
    fn compared(&self) -> [Row; 3] {
        let of = |others: Vec<f64>| others.iter().zip(&self.replicas).map(|(other, ours)| other / ours).collect();
        let alone = self.encode.iter().zip(&self.decode).zip(&self.merge).map(|((a, b), c)| a + b + c).collect();
        [
            Row::new("rate of the replicas / bare, buffers as ours", "times", of(self.bare.clone())),
            Row::new("rate of the replicas / bare, tungstenite's own buffers", "times", of(self.bare_large.clone())),
            Row::new("part of their time that the core alone takes", "times", of(alone)),
        ]
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Runs something; returns what came of it, and how long it took.
fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let value = run();
    (value, begin.elapsed())
}
