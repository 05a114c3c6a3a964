//! The software of one simulated host: a replica, its readers, and whoever gives it orders.
//!
//! A crash takes all of it but this: the store, which is what the replica has made durable, and the
//! notes of the test about what the replica has promised. At every start the two are compared.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use crdt_core::{EditError, ReplicaId, Snapshot, VersionVector};
use crdt_net::{
    Closed, DocumentHandle, MemoryStore, Options, Replica, Status, TransactError, WallClock, Watch, WatchEvent,
};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use xxhash_rust::xxh3::xxh3_64;

use crate::network::Network;
use crate::scene::Scene;
use crate::trace::Trace;
use crate::write::{DOCUMENTS, Mirror, Tags, Write};

/// Where every host listens.
const PORT: u16 = 7000;

/// How often the test looks at a replica.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a host is told to do.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Write(Write),
    GoOffline,
    GoOnline,
    HangUp(usize),
    Dial(usize),
    /// Close the replica and open it again.
    Reopen,
}

/// One host, over all its lives.
pub(crate) struct Host {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) store: MemoryStore,
    scene: Arc<Scene>,
    trace: Trace,
    network: Network,
    /// The host is about to crash.
    dying: Notify,
    notes: Mutex<Notes>,
}

/// What the test knows of a host.
#[derive(Default)]
pub(crate) struct Notes {
    orders: Option<mpsc::UnboundedSender<Order>>,
    /// How many replicas have been opened here.
    lives: u64,
    pub(crate) attempted: Tags,
    /// Writes that were answered: they are durable.
    pub(crate) acknowledged: Tags,
    /// What documents held when last looked at.
    pub(crate) snapshots: BTreeMap<&'static str, Snapshot>,
    pub(crate) status: Option<Status>,
    pub(crate) mirrors: BTreeMap<&'static str, Mirror>,
    looked: Option<String>,
}

/// The name of a host in the network.
pub(crate) fn host_name(number: usize) -> String {
    format!("host{number}")
}

/// Under which identity the replica on a host writes.
pub(crate) fn replica_of(number: usize) -> ReplicaId {
    ReplicaId::from_u128(number as u128 + 1)
}

fn url(number: usize) -> String {
    format!("ws://{}:{PORT}", host_name(number))
}

impl Host {
    pub(crate) fn new(number: usize, scene: &Arc<Scene>, trace: &Trace) -> Self {
        Self {
            number,
            name: host_name(number),
            store: MemoryStore::with_delta_bytes_max(scene.delta_bytes_max),
            scene: Arc::clone(scene),
            trace: trace.clone(),
            network: Network::new(&host_name(number), trace),
            dying: Notify::new(),
            notes: Mutex::default(),
        }
    }

    /// Under which identity the replica here writes.
    pub(crate) fn replica(&self) -> ReplicaId {
        replica_of(self.number)
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an order, which is lost if nobody is there.
    pub(crate) fn order(&self, order: Order) {
        if let Some(orders) = &self.notes().orders {
            let _ = orders.send(order);
        }
    }

    /// Closes the host's sockets in its next step, after which it is to crash.
    pub(crate) fn die(&self) {
        self.dying.notify_one();
    }

    /// Takes note that the host's tasks are gone.
    pub(crate) fn crashed(&self) {
        let mut notes = self.notes();
        (notes.orders, notes.looked) = (None, None);
        notes.mirrors.clear();
    }

    /// URLs that the replica here dials, sorted.
    pub(crate) fn urls(&self) -> Vec<String> {
        let dialled = self.scene.dials.iter().filter(|(from, _)| *from == self.number).map(|(_, to)| url(*to));
        let mut urls: Vec<_> = dialled.collect();
        urls.sort();
        urls
    }

    /// Lives until the host crashes.
    pub(crate) async fn run(self: Arc<Self>) -> turmoil::Result {
        self.network.plug_in();
        let dying = Arc::clone(&self);
        tokio::spawn(async move {
            dying.dying.notified().await;
            dying.network.unplug();
        });
        loop {
            let (orders, mut ordered) = mpsc::unbounded_channel();
            self.notes().orders = Some(orders);
            let replica = Replica::open(self.options()).await?;
            self.say(format_args!("opened"));
            replica.listen(("0.0.0.0", PORT)).await?;
            let mut documents = BTreeMap::new();
            for name in DOCUMENTS {
                let document = replica.document(name).await?;
                self.check_that_nothing_durable_is_lost(name, &document.snapshot().await?);
                let watch = document.watch().await?;
                tokio::spawn(Arc::clone(&self).mirror(name, document.clone(), watch));
                documents.insert(name, document);
            }
            for url in self.urls() {
                replica.connect(&url).await?;
            }
            self.obey(&replica, &documents, &mut ordered).await?;
            replica.close().await;
            self.say(format_args!("closed"));
            self.crashed();
        }
    }

    fn options(&self) -> Options {
        let mut notes = self.notes();
        notes.lives += 1;
        let skew = Duration::from_millis(self.scene.skew_ms[self.number].unsigned_abs());
        let is_ahead = self.scene.skew_ms[self.number] >= 0;
        let mut options = Options::default();
        options.replica = Some(self.replica());
        options.storage = self.store.clone().into();
        options.sync = self.scene.sync.clone();
        options.redial_max_ms = self.scene.redial_max_ms;
        options.transport = Arc::new(self.network.clone());
        options.seed = Some(self.scene.seed ^ (self.number as u64) << 32 ^ notes.lives << 48);
        options.wall_clock = WallClock::new(move || {
            let now = UNIX_EPOCH + turmoil::since_epoch().expect("a host is running");
            if is_ahead { now + skew } else { now - skew }
        });
        options
    }

    /// Does what it is told, and looks at the replica now and then, until it is to be opened again.
    async fn obey(
        self: &Arc<Self>,
        replica: &Replica,
        documents: &BTreeMap<&'static str, DocumentHandle>,
        ordered: &mut mpsc::UnboundedReceiver<Order>,
    ) -> turmoil::Result {
        loop {
            let order = tokio::select! {
                biased;
                order = ordered.recv() => order.expect("the notes hold the sender"),
                () = sleep(LOOK_EVERY) => {
                    self.look(replica, documents).await?;
                    continue;
                }
            };
            match order {
                // Each in a task of its own, so that many are under way at once.
                Order::Write(write) => {
                    tokio::spawn(Arc::clone(self).write(documents[write.document].clone(), write));
                }
                Order::GoOffline => replica.go_offline().await?,
                Order::GoOnline => replica.go_online().await?,
                Order::HangUp(peer) => replica.disconnect(&url(peer)).await?,
                Order::Dial(peer) => replica.connect(&url(peer)).await?,
                Order::Reopen => return Ok(()),
            }
        }
    }

    async fn write(self: Arc<Self>, document: DocumentHandle, write: Write) {
        self.notes().attempted.entry(write.document).or_default().insert(write.tag);
        match document.transact(move |edit| write.make(edit)).await {
            Ok(()) => {
                self.notes().acknowledged.entry(write.document).or_default().insert(write.tag);
                self.say(format_args!("wrote {} to {}", write.tag, write.document));
            }
            Err(TransactError::<EditError>::Closed(Closed)) => self.say(format_args!("closed before {}", write.tag)),
            Err(error) => panic!("{}: write {}: {error}", self.name, write.tag),
        }
    }

    /// Reads the changes of a document as its documentation says that one should.
    async fn mirror(
        self: Arc<Self>,
        name: &'static str,
        document: DocumentHandle,
        mut watch: Watch,
    ) -> Result<(), Closed> {
        let life = self.notes().lives;
        let first = Mirror::of(&document.snapshot().await?);
        self.notes().mirrors.insert(name, first);
        while let Some(event) = watch.next().await {
            match event {
                WatchEvent::Changed { source, changes } => {
                    // Their order means nothing, and differs from run to run.
                    let mut shown: Vec<_> = changes.iter().map(|change| format!("{change:?}")).collect();
                    shown.sort_unstable();
                    let hash = xxh3_64(shown.concat().as_bytes());
                    self.say(format_args!("{name} changed by {source:?}: {} places, {hash:016x}", shown.len()));
                    let mut notes = self.notes();
                    // A reader may go on for a while with what is left from before its replica was closed.
                    if notes.lives == life {
                        let mirror = notes.mirrors.entry(name).or_default();
                        changes.iter().for_each(|change| mirror.take_in(change));
                    }
                }
                WatchEvent::Lagged => {
                    self.say(format_args!("{name}: the reader lags"));
                    let now = Mirror::of(&document.snapshot().await?);
                    let mut notes = self.notes();
                    if notes.lives == life {
                        notes.mirrors.insert(name, now);
                    }
                }
                _ => {}
            }
            if self.scene.watch_pause_ms > 0 {
                sleep(Duration::from_millis(self.scene.watch_pause_ms)).await;
            }
        }
        Ok(())
    }

    /// Takes note of how the replica stands.
    async fn look(&self, replica: &Replica, documents: &BTreeMap<&'static str, DocumentHandle>) -> Result<(), Closed> {
        let status = replica.status().await?;
        let mut seen = format!("online {}", status.online);
        for link in &status.links {
            seen += &format!(", {} {:?} {:?} in sync {}", link.link.0, link.direction, link.peer, link.in_sync);
        }
        if status.totals.snapshots_sent > 0 {
            seen += &format!(", {} snapshots sent", status.totals.snapshots_sent);
        }
        for (name, document) in documents {
            let snapshot = document.snapshot().await?;
            seen += &format!(", {name} {} {}", snapshot.version().total(), snapshot.digest());
            self.notes().snapshots.insert(*name, snapshot);
        }
        let mut notes = self.notes();
        notes.status = Some(status);
        if notes.looked.as_ref() != Some(&seen) {
            self.say(format_args!("{seen}"));
            notes.looked = Some(seen);
        }
        Ok(())
    }

    /// What was answered, and what anybody has seen, is there again after a crash.
    fn check_that_nothing_durable_is_lost(&self, name: &str, found: &Snapshot) {
        let notes = self.notes();
        let tags = Mirror::of(found).tags;
        if let Some(acknowledged) = notes.acknowledged.get(name) {
            let lost: Vec<_> = acknowledged.difference(&tags).collect();
            assert!(lost.is_empty(), "{}: lost own writes to {name} in a restart: {lost:?}", self.name);
        }
        let seen = notes.snapshots.get(name).map_or_else(VersionVector::new, Snapshot::version);
        assert!(found.version().covers_all(&seen), "{}: {name} went back in a restart", self.name);
    }

    fn say(&self, what: std::fmt::Arguments<'_>) {
        self.trace.add(&self.name, what);
    }
}
