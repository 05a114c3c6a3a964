//! Durable transactions a second, with 1, 8 and 64 tasks that write to one replica, each waiting for its own
//! transaction.
//!
//! A transaction adds to a counter and sets a register, some hundred bytes. When all rounds are over, every store is
//! verified, and opened again: each counter must be the number of transactions that were acknowledged for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crdt_benches::report::{Report, Row, median};
use crdt_benches::{Failed, ensure, runtime};
use crdt_net::{DocumentHandle, Replica, StorageStatus};
use crdt_store::DiskStore;
use tokio::runtime::Runtime;

use crate::plan::Plan;
use crate::syncs::{BareDisk, Way};

/// Under how many names the counters of one writer stand.
const COUNTERS: u64 = 100;

/// Which documents writers write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    OwnDocuments,
    OneDocument,
}

/// Writers of one replica, which stays open over all rounds.
struct Contender {
    case: String,
    folder: PathBuf,
    replica: Replica,
    writers: Vec<Writer>,
    before: StorageStatus,
    rates: Vec<f64>,
    waits: Vec<Duration>,
}

/// One task, and what it was told is durable.
#[derive(Clone)]
struct Writer {
    number: usize,
    document: DocumentHandle,
    made: u64,
}

impl Contender {
    async fn open(folder: PathBuf, count: usize, place: Where) -> Result<Self, Failed> {
        let replica = Replica::open(folder.as_path()).await?;
        let mut writers = Vec::new();
        for number in 0..count {
            let name = if place == Where::OneDocument { "shared".to_owned() } else { format!("document {number}") };
            writers.push(Writer { number, document: replica.document(&name).await?, made: 0 });
        }
        let case = match (count, place) {
            (1, _) => "1 writer".to_owned(),
            (_, Where::OwnDocuments) => format!("{count} writers, a document each"),
            (_, Where::OneDocument) => format!("{count} writers, one document"),
        };
        let before = StorageStatus::default();
        Ok(Self { case, folder, replica, writers, before, rates: Vec::new(), waits: Vec::new() })
    }

    /// Lets all writers write for so long. Returns the transactions a second, and how long each has waited.
    async fn run(&mut self, window: Duration) -> Result<(f64, Vec<Duration>), Failed> {
        let begin = Instant::now();
        let tasks: Vec<_> =
            self.writers.iter().cloned().map(|writer| tokio::spawn(writer.run(begin + window))).collect();
        let (mut waits, mut writers) = (Vec::new(), Vec::new());
        for task in tasks {
            let (writer, waited) = task.await??;
            writers.push(writer);
            waits.extend(waited);
        }
        self.writers = writers;
        Ok((waits.len() as f64 / begin.elapsed().as_secs_f64(), waits))
    }

    async fn warm_up(&mut self, window: Duration) -> Result<(), Failed> {
        self.run(window).await?;
        self.before = self.replica.status().await?.storage;
        Ok(())
    }

    async fn measure(&mut self, window: Duration) -> Result<(), Failed> {
        let (rate, waits) = self.run(window).await?;
        self.rates.push(rate);
        self.waits.extend(waits);
        Ok(())
    }

    /// Closes the replica, checks what is left of it, and tells what was measured.
    async fn finish(mut self) -> Result<(Row, Vec<f64>), Failed> {
        let after = self.replica.status().await?.storage;
        self.replica.close().await;
        let file_bytes = DiskStore::verify(&self.folder)?.file_bytes;
        let reopened = Replica::open(self.folder.as_path()).await?;
        for writer in &self.writers {
            let document = reopened.document(writer.document.id().as_str()).await?.snapshot().await?;
            let counters = document.root().map(&writer.map()).map(|map| map.to_json());
            let counters = counters.as_ref().and_then(|json| json.as_object());
            let found: u64 = counters.into_iter().flat_map(|map| map.values()).filter_map(|value| value.as_u64()).sum();
            ensure(writer.made == found, || {
                format!("{}: {found} transactions are there of {} acknowledged", self.case, writer.made)
            })?;
        }
        reopened.close().await;
        self.waits.sort_unstable();
        let wait = |percent: usize| {
            let at = (self.waits.len() * percent / 100).min(self.waits.len().saturating_sub(1));
            self.waits.get(at).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
        };
        let (writes, syncs) = (after.writes - self.before.writes, after.syncs - self.before.syncs);
        let row = Row::new(self.case, "transactions/s", self.rates.clone())
            .with("p50 ms", wait(50))
            .with("p99 ms", wait(99))
            .with("a commit", writes as f64 / syncs.max(1) as f64)
            .with("file MB", file_bytes as f64 / 1e6);
        Ok((row, self.rates))
    }
}

impl Writer {
    /// Under which name the counters of this writer stand, in whichever document.
    fn map(&self) -> String {
        format!("writer {}", self.number)
    }

    async fn run(mut self, end: Instant) -> Result<(Self, Vec<Duration>), Failed> {
        let mut waits = Vec::new();
        while Instant::now() < end {
            let (begin, map, made) = (Instant::now(), self.map(), self.made);
            let edit = move |edit: &mut crdt_core::Transaction<'_>| {
                edit.register("last").set(format!("transaction {made} of a writer"))?;
                edit.map(&map).counter(&format!("counter {}", made % COUNTERS)).add(1)
            };
            self.document.transact(edit).await?;
            self.made += 1;
            waits.push(begin.elapsed());
        }
        Ok((self, waits))
    }
}

/// Measures syncs and writers, in turns.
pub(crate) fn measure(folder: &Path, plan: &Plan, report: &mut Report) -> Result<(), Failed> {
    fs::create_dir_all(folder)?;
    let runtime = runtime()?;
    let mut overwrite = BareDisk::create(&folder.join("overwritten"), Way::Overwrite)?;
    let mut append = BareDisk::create(&folder.join("appended"), Way::Append)?;
    let cases = [(1, Where::OwnDocuments), (8, Where::OwnDocuments), (8, Where::OneDocument)];
    let cases = cases.into_iter().chain([(64, Where::OwnDocuments), (64, Where::OneDocument)]);
    let mut contenders = Vec::new();
    for (index, (count, place)) in cases.enumerate() {
        let mut contender = runtime.block_on(Contender::open(folder.join(index.to_string()), count, place))?;
        runtime.block_on(contender.warm_up(plan.warm_up))?;
        contenders.push(contender);
    }
    let (mut overwrites, mut appends) = (Vec::new(), Vec::new());
    for _ in 0..plan.writer_rounds {
        overwrites.push(overwrite.run(plan.window)?);
        appends.push(append.run(plan.window)?);
        for contender in &mut contenders {
            runtime.block_on(contender.measure(plan.window))?;
        }
    }
    let rows = vec![
        Row::new("bare disk, overwrite 4 KiB + fdatasync", "syncs/s", overwrites.clone()),
        Row::new("bare disk, append 4 KiB + fsync", "syncs/s", appends),
    ];
    finish(&runtime, contenders, (rows, &overwrites), report)
}

/// Adds the writers to the rows, and how they compare, round by round.
fn finish(
    runtime: &Runtime,
    contenders: Vec<Contender>,
    (mut rows, overwrites): (Vec<Row>, &[f64]),
    report: &mut Report,
) -> Result<(), Failed> {
    let mut ratios = Vec::new();
    let mut single = Vec::new();
    for contender in contenders {
        let case = contender.case.clone();
        let (row, rates) = runtime.block_on(contender.finish())?;
        rows.push(row);
        if single.is_empty() {
            let per_sync: Vec<f64> = rates.iter().zip(overwrites).map(|(rate, syncs)| rate / syncs).collect();
            ratios.push(Row::new("1 writer / overwrite + fdatasync", "times", per_sync));
            single = rates;
        } else {
            let times = rates.iter().zip(&single).map(|(rate, single)| rate / single).collect();
            ratios.push(Row::new(format!("{case} / 1 writer"), "times", times));
        }
    }
    ensure(median(&single) > 0.0, || "nothing was written".to_owned())?;
    report.add("writers", "Durable transactions a second, and the bare syncs of the same disk", &rows);
    report.add("writers", "The same compared, round by round", &ratios);
    Ok(())
}
