//! Three replicas, many threads, everything at once: what tasks and threads share must bear it.
//!
//! What is shared? Channels of tokio, which its own tests take through loom; one atomic number of
//! bytes beside each link's queue; the number of the next link; the lock of the store. None of it can
//! be run under loom from here, since loom has to stand in for the sockets and channels as well. So
//! real threads meet on real sockets.
//!
//! `STRESS_WRITES=2000000 cargo test --release -p crdt-net --test stress` runs for longer.

use std::collections::BTreeMap;
use std::env;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use crdt_core::{Changed, EditError, Snapshot};
use crdt_net::{Closed, DocumentHandle, MemoryStore, Options, Replica, TransactError, Watch, WatchEvent};
use tokio::runtime::{Handle, Runtime};

/// How many writes are made unless told otherwise.
const WRITES: u64 = 200_000;

const REPLICAS: usize = 3;

/// Threads that write to one replica.
const WRITERS_EACH: usize = 3;

/// After how long without a single write, or anything else getting done, the test has hung.
const HUNG_AFTER: Duration = Duration::from_secs(30);

/// How many writes each writer makes before replicas are closed under it.
const WRITES_BEFORE_CLOSE: u64 = 100;

/// Counters by name: each writer has one of its own.
type Counters = BTreeMap<String, i128>;

/// How far the test has got, for whoever has to find out why it hangs.
#[derive(Default)]
struct Progress {
    steps: AtomicU64,
    /// How often links were up and were taken down.
    outages: AtomicU64,
    writers_are_done: AtomicBool,
}

impl Progress {
    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }
}

/// One replica and what it was opened with.
struct Member {
    replica: Replica,
    document: DocumentHandle,
    store: MemoryStore,
    /// What it dials.
    urls: Vec<String>,
}

#[test]
fn threads_at_once_lose_no_write_and_leave_no_task() {
    let writes = env::var("STRESS_WRITES").map_or(WRITES, |text| text.parse().expect("STRESS_WRITES is a number"));
    let progress = Arc::new(Progress::default());
    let (finished, finishing) = mpsc::channel();
    let running = {
        let progress = Arc::clone(&progress);
        thread::spawn(move || {
            stress(writes, &progress);
            finished.send(()).expect("the test waits");
        })
    };
    let mut steps = 0;
    while let Err(RecvTimeoutError::Timeout) = finishing.recv_timeout(HUNG_AFTER) {
        let before = std::mem::replace(&mut steps, progress.steps());
        assert!(steps > before, "deadlock: nothing for {HUNG_AFTER:?}, {steps} steps done, {writes} writes wanted");
    }
    running.join().expect("the reason is above");
}

fn stress(writes: u64, progress: &Arc<Progress>) {
    let runtime = Runtime::new().expect("threads can be started");
    let handle = runtime.handle();
    let members = handle.block_on(open_all());
    let writers = (REPLICAS * WRITERS_EACH) as u64;
    let writes_each = writes.div_ceil(writers);
    let expected: Counters = (0..writers).map(|writer| (counter(writer), i128::from(writes_each))).collect();

    let readers: Vec<_> =
        members.iter().map(|member| handle.spawn(read_until(member.document.clone(), expected.clone()))).collect();
    thread::scope(|scope| {
        for member in &members {
            scope.spawn(|| disturb(handle, member, progress));
        }
        let writing: Vec<_> = (0..writers)
            .map(|writer| {
                let member = &members[writer as usize % REPLICAS];
                scope.spawn(move || write(handle, &member.document, writer, writes_each, progress))
            })
            .collect();
        let ended: Vec<_> = writing.into_iter().map(thread::ScopedJoinHandle::join).collect();
        // Before anything panics: the others would never end.
        progress.writers_are_done.store(true, Ordering::Release);
        ended.into_iter().for_each(|thread| thread.expect("the reason is above"));
    });
    let outages = progress.outages.load(Ordering::Relaxed);
    println!("{} writes, {outages} outages", writes_each * writers);
    assert!(outages > 0, "links stayed up all the time");
    handle.block_on(async {
        check_equal(&members, &expected).await;
        for reader in readers {
            reader.await.expect("no panic").expect("not closed");
            progress.step();
        }
    });
    close_under_fire(handle, members, progress);
    // Tasks end a moment after the calls that ended them.
    while handle.metrics().num_alive_tasks() > 0 {
        thread::yield_now();
    }
}

/// Opens three replicas, each linked with the two others.
async fn open_all() -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    let mut urls: Vec<String> = Vec::new();
    for _ in 0..REPLICAS {
        // Checkpoints come often.
        let store = MemoryStore::with_delta_bytes_max(20_000);
        let mut options = Options::default();
        options.storage = store.clone().into();
        (options.redial_min_ms, options.redial_max_ms) = (1, 20);
        let replica = Replica::open(options).await.expect("the store is free");
        let address = replica.listen("127.0.0.1:0").await.expect("a port is free");
        for url in &urls {
            replica.connect(url).await.expect("a valid URL");
        }
        let document = replica.document("d").await.expect("a valid name");
        members.push(Member { replica, document, store, urls: urls.clone() });
        urls.push(format!("ws://{address}"));
    }
    members
}

fn counter(writer: u64) -> String {
    format!("writer {writer}")
}

async fn add_one(document: &DocumentHandle, counter: String) -> Result<(), TransactError<EditError>> {
    document.transact(move |edit| edit.counter(&counter).add(1)).await
}

/// One thread that writes, and reads its own writes now and then.
fn write(handle: &Handle, document: &DocumentHandle, writer: u64, writes: u64, progress: &Progress) {
    for number in 1..=writes {
        handle.block_on(add_one(document, counter(writer))).expect("open");
        progress.step();
        if number % 64 == 0 {
            let snapshot = handle.block_on(document.snapshot()).expect("open");
            assert_eq!(snapshot.root().counter(&counter(writer)), Some(i128::from(number)), "writer {writer}");
        }
    }
}

/// One thread that asks for everything, and takes links down and up, while others write.
fn disturb(handle: &Handle, member: &Member, progress: &Progress) {
    let replica = &member.replica;
    let is_over = || progress.writers_are_done.load(Ordering::Acquire);
    handle.block_on(async {
        while !is_over() {
            replica.go_offline().await.expect("open");
            assert!(!replica.status().await.expect("open").online);
            replica.go_online().await.expect("open");
            for url in &member.urls {
                replica.disconnect(url).await.expect("open");
                replica.connect(url).await.expect("a valid URL");
            }
            // A watch that nobody reads, and one that is gone at once.
            let _unread = member.document.watch().await.expect("open");
            drop(member.document.watch().await.expect("open"));
            assert_eq!(replica.documents().await.expect("open").len(), 1);
            // Nothing would ever be exchanged if links were not left alone until they are up.
            while !is_over() && !is_linked(replica).await {
                replica.versions().await.expect("open");
            }
            progress.outages.fetch_add(1, Ordering::Relaxed);
        }
        replica.go_online().await.expect("open");
    });
}

async fn is_linked(replica: &Replica) -> bool {
    let status = replica.status().await.expect("open");
    status.links.iter().any(|link| link.peer.is_some() && link.documents > 0)
}

/// Reads changes until it has seen them all; a snapshot only when told that it lags.
async fn read_until(document: DocumentHandle, expected: Counters) -> Result<(), Closed> {
    let mut watch: Watch = document.watch().await?;
    let mut seen = counters(&document.snapshot().await?);
    while seen != expected {
        match watch.next().await.ok_or(Closed)? {
            WatchEvent::Changed { changes, .. } => {
                for change in changes.iter() {
                    if let ([key], Changed::Counter(Some(sum))) = (change.path.keys(), &change.what) {
                        seen.insert(key.name.to_string(), *sum);
                    }
                }
            }
            WatchEvent::Lagged => seen = counters(&document.snapshot().await?),
            _ => {}
        }
    }
    Ok(())
}

fn counters(snapshot: &Snapshot) -> Counters {
    snapshot.root().counters().into_iter().map(|(name, sum)| (name.to_string(), sum)).collect()
}

/// Waits until each replica has everything, and checks that it is what was written.
async fn check_equal(members: &[Member], expected: &Counters) {
    let mut all = members[0].document.snapshot().await.expect("open").version();
    for member in members {
        all.merge(&member.document.snapshot().await.expect("open").version());
    }
    for member in members {
        member.document.wait_for(&all).await.expect("open");
        let snapshot = member.document.snapshot().await.expect("open");
        assert_eq!(&counters(&snapshot), expected);
        assert_eq!(snapshot.digest(), members[0].document.snapshot().await.expect("open").digest());
    }
}

/// Closes all replicas, each from several threads, while others write to them.
fn close_under_fire(handle: &Handle, members: Vec<Member>, progress: &Progress) {
    let stores: Vec<_> = members.iter().map(|member| member.store.clone()).collect();
    let begin = Barrier::new(REPLICAS * (WRITERS_EACH + 2));
    let answered: Vec<(usize, String, u64)> = thread::scope(|scope| {
        let mut writing = Vec::new();
        for (number, member) in members.into_iter().enumerate() {
            for writer in 0..WRITERS_EACH as u64 {
                let (document, begin) = (member.document.clone(), &begin);
                let name = format!("writer {writer} of {number} until it is closed");
                writing.push(scope.spawn(move || {
                    let answered = write_until_closed(handle, &document, &name, begin, progress);
                    (number, name, answered)
                }));
            }
            for replica in [member.replica.clone(), member.replica] {
                let begin = &begin;
                scope.spawn(move || {
                    begin.wait();
                    handle.block_on(replica.close());
                    progress.step();
                });
            }
        }
        writing.into_iter().map(|thread| thread.join().expect("the reason is above")).collect()
    });
    for (number, name, answered) in answered {
        let stored = stores[number].load("d").expect("written to");
        let mut document = stored.snapshot;
        stored.deltas.iter().for_each(|delta| document.apply(delta).expect("deltas are stored in order"));
        let held = document.root().counter(&name).expect("written to");
        // The last write may have been made without an answer.
        let answered = i128::from(answered);
        assert!((answered..=answered + 1).contains(&held), "{name}: {answered} were answered, {held} are stored");
    }
    for store in stores {
        let owner = store.replica().expect("was opened");
        drop(store.lease(owner).expect("the replica is closed"));
    }
}

/// Writes until the replica is closed; returns how many writes were answered.
fn write_until_closed(
    handle: &Handle,
    document: &DocumentHandle,
    name: &str,
    begin: &Barrier,
    progress: &Progress,
) -> u64 {
    let mut answered = 0;
    loop {
        match handle.block_on(add_one(document, name.to_owned())) {
            Ok(()) => answered += 1,
            Err(TransactError::Closed(Closed)) => return answered,
            Err(error) => panic!("write refused: {error}"),
        }
        progress.step();
        if answered == WRITES_BEFORE_CLOSE {
            begin.wait();
        }
    }
}
