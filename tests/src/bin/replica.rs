//! A replica on disk in a process of its own, for tests that kill it, race it and copy what it leaves.
//!
//! `replica FOLDER` opens the folder and obeys lines on standard input: `listen`, `connect URL`, `dispute URL`
//! (connect, and wait until the document turns out not to sync), `write COUNT PREFIX`, `hold COUNT [DOCUMENT]` (wait
//! until there are so many elements), `add`, `sum COUNT` (wait until so many are counted), `aside NAME` (set the
//! document aside), `id`, `state`, `quit`. `replica FOLDER
//! --write PREFIX` writes at once until it is killed, and with `--connect URL` syncs meanwhile. `replica FOLDER
//! --steps PREFIX` does without threads what is to be killed at each system call: it opens the store and commits eight
//! times. Every answer is a line on standard output; what is `acked` there is durable.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use crdt_core::{Document, EditError};
use crdt_net::{
    Continuity, DiskOpenError, DiskOptions, DocumentHandle, OpenError, Options, Replica, Storage, WatchEvent,
};
use crdt_store::{DiskStore, Store};
use crdt_tests::process::{DOCUMENT, ELEMENTS};
use tokio::task::JoinSet;

/// How many transactions are under way at a time.
const WRITERS: usize = 16;

/// A replica on disk.
#[derive(Parser)]
struct Arguments {
    folder: PathBuf,
    /// Takes the store for the only one, whatever its witness says.
    #[arg(long)]
    vouched: bool,
    /// Writes until the process is killed.
    #[arg(long, conflicts_with = "steps")]
    write: Option<String>,
    #[arg(long)]
    connect: Option<String>,
    /// Opens the store and commits eight times, in one thread.
    #[arg(long)]
    steps: Option<String>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.steps {
        Some(prefix) => take_steps(&arguments, prefix),
        None => {
            tokio::runtime::Runtime::new().map_err(Failure::from).and_then(|runtime| runtime.block_on(run(arguments)))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("failed {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Says one line. Whoever is killed after it has said it.
fn say(line: std::fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the test reads what is said");
}

fn disk_options(arguments: &Arguments) -> DiskOptions {
    let mut options = DiskOptions::default();
    if arguments.vouched {
        options.continuity = Continuity::Vouched;
    }
    options
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut options = Options::at(&arguments.folder);
    options.storage = Storage::Disk { folder: arguments.folder.clone(), options: disk_options(&arguments) };
    options.redial_min_ms = 5;
    options.redial_max_ms = 100;
    let replica = match Replica::open(options).await {
        Ok(replica) => replica,
        Err(OpenError::Disk(DiskOpenError::Held { holder })) => {
            say(format_args!("held {}", holder.pid.map_or_else(|| "nobody".to_owned(), |pid| pid.to_string())));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let renewed = replica.identity().is_some_and(|identity| identity.renewed.is_some());
    say(format_args!("open {} {}", replica.id(), if renewed { "renewed" } else { "kept" }));
    let document = replica.document(DOCUMENT).await?;
    if let Some(url) = &arguments.connect {
        replica.connect(url).await?;
    }
    if let Some(prefix) = arguments.write {
        return write(&document, usize::MAX, &prefix, Say::Each).await;
    }
    obey(replica, document).await
}

async fn obey(replica: Replica, document: DocumentHandle) -> Result<(), Failure> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["listen"] => say(format_args!("listening {}", replica.listen("127.0.0.1:0").await?)),
            ["connect", url] => {
                replica.connect(url).await?;
                say(format_args!("connected"));
            }
            ["dispute", url] => {
                dispute(&replica, &document, url).await?;
                say(format_args!("disputed"));
            }
            ["write", count, prefix] => {
                write(&document, count.parse()?, prefix, Say::Total).await?;
                say(format_args!("written {count}"));
            }
            ["hold", count] => {
                hold(&document, count.parse()?).await?;
                say(format_args!("holds {count}"));
            }
            ["hold", count, name] => {
                hold(&replica.document(name).await?, count.parse()?).await?;
                say(format_args!("holds {count}"));
            }
            ["add"] => {
                let add = |tx: &mut crdt_core::Transaction<'_>| tx.counter("n").add(1);
                document.transact(add).await?;
                say(format_args!("added"));
            }
            ["sum", count] => {
                sum(&document, count.parse()?).await?;
                say(format_args!("counts {count}"));
            }
            ["aside", name] => {
                let aside = document.set_aside(name).await?;
                say(format_args!("aside {}", aside.snapshot().await?.root().set(ELEMENTS).map_or(0, |set| set.len())));
            }
            ["id"] => say(format_args!("id {}", replica.id())),
            ["state"] => tell_state(&document).await?,
            ["quit"] => break,
            _ => return Err(format!("{line:?} is no command").into()),
        }
    }
    replica.close().await;
    say(format_args!("closed"));
    Ok(())
}

/// Connects, and waits until the document turns out not to sync.
async fn dispute(replica: &Replica, document: &DocumentHandle, url: &str) -> Result<(), Failure> {
    let mut watch = document.watch().await?;
    replica.connect(url).await?;
    while !matches!(watch.next().await.ok_or("the replica was closed")?, WatchEvent::Irreconcilable { .. }) {}
    Ok(())
}

async fn tell_state(document: &DocumentHandle) -> Result<(), Failure> {
    let snapshot = document.snapshot().await?;
    let version = snapshot.version();
    let transactions: u64 = version.iter().map(|(_, counter)| counter).sum();
    let elements = snapshot.root().set(ELEMENTS).map_or(0, |set| set.len());
    let (frontier, digest) = (snapshot.frontier().hash(), snapshot.digest());
    say(format_args!("state {transactions} {} {elements} {frontier:016x} {digest}", version.iter().count()));
    Ok(())
}

/// Waits until the document has so many elements.
async fn hold(document: &DocumentHandle, count: usize) -> Result<(), Failure> {
    let mut watch = document.watch().await?;
    while document.snapshot().await?.root().set(ELEMENTS).map_or(0, |set| set.len()) < count {
        watch.next().await.ok_or("the replica was closed")?;
    }
    Ok(())
}

/// Waits until so many are counted.
async fn sum(document: &DocumentHandle, count: i128) -> Result<(), Failure> {
    let mut watch = document.watch().await?;
    while document.snapshot().await?.root().counter("n") < Some(count) {
        watch.next().await.ok_or("the replica was closed")?;
    }
    Ok(())
}

/// What is said of writes that are durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Say {
    Each,
    Total,
}

/// Inserts so many elements, each in a transaction of its own, some at a time.
async fn write(document: &DocumentHandle, count: usize, prefix: &str, what: Say) -> Result<(), Failure> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (document, prefix) = (document.clone(), prefix.to_owned());
        writers.spawn(async move {
            for number in (writer..count).step_by(WRITERS) {
                let element = format!("{prefix}-{number}");
                let inserted = element.clone();
                let edit = move |tx: &mut crdt_core::Transaction<'_>| -> Result<(), EditError> {
                    tx.set(ELEMENTS).insert(inserted)?;
                    tx.counter("n").add(1)
                };
                document.transact(edit).await?;
                if what == Say::Each {
                    say(format_args!("acked {element}"));
                }
            }
            Ok::<(), Failure>(())
        });
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    Ok(())
}

/// Opens the store and commits a few times: some three hundred calls.
fn take_steps(arguments: &Arguments, prefix: &str) -> Result<(), Failure> {
    let mut store = DiskStore::open(&arguments.folder, disk_options(arguments))?;
    let kept = if store.identity().renewed.is_some() { "renewed" } else { "kept" };
    say(format_args!("open {} {kept}", store.replica()));
    let mut snapshot = crdt_core::Snapshot::empty();
    if let Some(stored) = store.load(DOCUMENT)? {
        snapshot = stored.snapshot;
        for delta in &stored.deltas {
            snapshot.apply(delta)?;
        }
    }
    let mut document = Document::from_snapshot(store.replica(), snapshot);
    for number in 0..8 {
        let element = format!("{prefix}-{number}");
        let mut edit = document.transact(0);
        edit.set(ELEMENTS).insert(element.clone())?;
        edit.counter("n").add(1)?;
        let delta = edit.commit().expect("something was written").delta;
        let _ = store.append(DOCUMENT, &Arc::new(delta))?;
        store.sync()?;
        say(format_args!("acked {element}"));
    }
    Ok(())
}
