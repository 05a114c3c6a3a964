//! How long it takes to open a replica, against reading its file, and how many bytes an entry has on disk.
//!
//! Four openings, in turns: after a close, where nothing of the content is read; the same, and then every document is
//! read; after a kill, where documents that were in memory are read to see where they stand; and the plain reading of
//! the file. Every opening must know all documents, and every document that is read must have all its entries. The file
//! is in the memory of the system all along: these are times of the program, not of the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crdt_benches::report::{Report, Row};
use crdt_benches::{Failed, ensure, key, runtime};
use crdt_net::{DocumentHandle, Replica};
use crdt_store::{DiskOptions, DiskStore};

use crate::memory;
use crate::plan::Plan;

/// How many entries one transaction inserts where it is not one.
const BATCH: usize = 1_000;

/// How many transactions are under way at a time while a store is filled.
const WRITERS: usize = 64;

/// A store that is filled: how many documents, how many entries in all.
struct Filled {
    case: &'static str,
    folder: PathBuf,
    documents: usize,
    entries: usize,
}

/// Names the document of a number.
pub(crate) fn name(number: usize) -> String {
    format!("document {number:05}")
}

/// Inserts as many new keys into the set "s" of each document, so many to a transaction.
pub(crate) async fn fill(folder: &Path, documents: usize, each: usize, batch: usize) -> Result<(), Failed> {
    let replica = Replica::open(folder).await?;
    let room = Arc::new(tokio::sync::Semaphore::new(WRITERS));
    let mut tasks = Vec::new();
    for number in 0..documents {
        let document = replica.document(&name(number)).await?;
        for begin in (0..each).step_by(batch) {
            let (document, permit) = (document.clone(), Arc::clone(&room).acquire_owned().await?);
            tasks.push(tokio::spawn(async move {
                let done = insert(&document, begin..each.min(begin + batch)).await;
                drop(permit);
                done
            }));
        }
    }
    for task in tasks {
        task.await??;
    }
    replica.close().await;
    Ok(())
}

async fn insert(document: &DocumentHandle, numbers: std::ops::Range<usize>) -> Result<(), Failed> {
    let edit = move |edit: &mut crdt_core::Transaction<'_>| {
        for number in numbers {
            edit.set("s").insert(key(number))?;
        }
        Ok::<_, crdt_core::EditError>(())
    };
    Ok(document.transact(edit).await?)
}

/// Reads documents, and returns how many entries they have together, and how long their snapshots are.
pub(crate) async fn read(replica: &Replica, documents: std::ops::Range<usize>) -> Result<(usize, usize), Failed> {
    let (mut entries, mut bytes) = (0, 0);
    for number in documents {
        let snapshot = replica.document(&name(number)).await?.snapshot().await?;
        entries += snapshot.root().set("s").map_or(0, |set| set.len());
        bytes += snapshot.encode().len();
    }
    Ok((entries, bytes))
}

impl Filled {
    async fn fill(
        folder: PathBuf,
        case: &'static str,
        documents: usize,
        (each, batch): (usize, usize),
    ) -> Result<Self, Failed> {
        fill(&folder, documents, each, batch).await?;
        Ok(Self { case, folder, documents, entries: documents * each })
    }

    fn file(&self) -> PathBuf {
        self.folder.join("store.redb")
    }

    /// Reads the file; returns the seconds.
    fn time_file(&self) -> Result<f64, Failed> {
        let length = fs::metadata(self.file())?.len();
        let begin = Instant::now();
        let bytes = fs::read(self.file())?;
        let took = begin.elapsed().as_secs_f64();
        ensure(bytes.len() as u64 == length && !bytes.is_empty(), || "the file was not read".to_owned())?;
        Ok(took)
    }

    /// Opens a replica; returns the seconds until it was open, and until all its documents were read.
    async fn time_opening(&self, loads: u64) -> Result<[f64; 2], Failed> {
        let begin = Instant::now();
        let replica = Replica::open(self.folder.as_path()).await?;
        let opened = begin.elapsed().as_secs_f64();
        let status = replica.status().await?;
        ensure(status.documents == self.documents && status.storage.loads == loads, || {
            format!("{}: {} documents known, {} read", self.case, status.documents, status.storage.loads)
        })?;
        let begin = Instant::now();
        let mut entries = 0;
        for number in 0..self.documents {
            let snapshot = replica.document(&name(number)).await?.snapshot().await?;
            entries += snapshot.root().set("s").map_or(0, |set| set.len());
        }
        let read = opened + begin.elapsed().as_secs_f64();
        ensure(entries == self.entries, || format!("{}: {entries} entries of {}", self.case, self.entries))?;
        replica.close().await;
        Ok([opened, read])
    }

    /// The bytes of the file for each entry, in the rows of the two states in which it is seen.
    async fn weigh(&self) -> Result<Vec<Row>, Failed> {
        let replica = Replica::open(self.folder.as_path()).await?;
        let (entries, snapshots) = read(&replica, 0..self.documents).await?;
        replica.close().await;
        ensure(entries == self.entries, || format!("{}: {entries} entries of {}", self.case, self.entries))?;
        let each = |bytes: u64| bytes as f64 / self.entries as f64;
        let length = || fs::metadata(self.file()).map(|file| file.len());
        let before = length()?;
        let mut store = DiskStore::open(&self.folder, DiskOptions::default())?;
        while store.compact()? {}
        drop(store);
        let after = length()?;
        let verified = DiskStore::verify(&self.folder)?;
        ensure(verified.documents == self.documents as u64, || format!("{}: documents are missing", self.case))?;
        let held = verified.snapshot_bytes + verified.delta_bytes;
        let row = |state: &str, bytes| Row::new(format!("{}: {state}", self.case), "bytes/entry", vec![each(bytes)]);
        Ok(vec![
            row("as written", before).with("file MB", before as f64 / 1e6),
            row("compacted", after).with("file MB", after as f64 / 1e6),
            row("snapshots and deltas in it", held).with("one snapshot each", each(snapshots as u64)),
        ])
    }
}

/// Times an opening in a runtime of its own, which ends when the last task has: a million entries that are still being
/// freed would be in the way of the next.
fn open_alone(filled: &Filled, loads: u64) -> Result<[f64; 2], Failed> {
    runtime()?.block_on(filled.time_opening(loads))
}

/// Measures openings in turns, and then the bytes.
pub(crate) fn measure(folder: &Path, plan: &Plan, report: &mut Report) -> Result<(), Failed> {
    let runtime = runtime()?;
    let each = plan.entries / plan.spread;
    let one = Filled::fill(folder.join("one"), "one document", 1, (plan.entries, BATCH));
    let one = runtime.block_on(one)?;
    let many = Filled::fill(folder.join("many"), "many documents", plan.spread, (each, BATCH));
    let many = runtime.block_on(many)?;
    let mut rows = Vec::new();
    for filled in [&one, &many] {
        let mut times: [Vec<f64>; 4] = Default::default();
        for _ in 0..plan.rounds {
            times[0].push(1e3 * filled.time_file()?);
            let closed = open_alone(filled, 0)?;
            times[1].push(1e3 * closed[0]);
            times[2].push(1e3 * closed[1]);
            // Whoever is killed has all of it in memory, as far as that holds it.
            memory::start("killed", &filled.folder, plan)?;
            let killed = open_alone(filled, filled.documents.min(1_024) as u64)?;
            times[3].push(1e3 * killed[0]);
        }
        let what = ["read the file", "open", "open and read every document", "open after a kill"];
        for (what, times) in what.into_iter().zip(times) {
            let file_bytes = fs::metadata(filled.file())?.len();
            let row = Row::new(format!("{}: {what}", filled.case), "ms", times);
            rows.push(row.with("documents", filled.documents).with("file MB", file_bytes as f64 / 1e6));
        }
    }
    report.add("opening", &format!("Opening {} entries", plan.entries), &rows);
    let single =
        Filled::fill(folder.join("single"), "one document, an entry a transaction", 1, (plan.single_entries, 1));
    let single = runtime.block_on(single)?;
    let mut rows = Vec::new();
    for filled in [&one, &many, &single] {
        rows.extend(runtime.block_on(filled.weigh())?);
    }
    report.add("bytes", "Bytes on disk for an entry, a key of 12 bytes in a set", &rows);
    Ok(())
}
