//! The driver: the one task that owns the endpoint and the store of a replica.
//!
//! Each turn takes in everything that is ready, then carries out what the endpoint asks for: the
//! store first, and only when that is done whatever waited for it (Invariant 4). Ten thousand
//! messages that arrive together cost one turn, not ten thousand flushes. Between turns it sleeps
//! until something arrives, or until exactly the moment that the endpoint has named.
//!
//! Nothing in here waits for a peer, a reader or a caller: what cannot be handed over at once is
//! dropped together with its link, or its reader is told that it lags.

mod connections;
mod residency;
mod turn;
mod waiters;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use crdt_core::{ReplicaId, Snapshot, VersionVector};
use crdt_store::Store;
use crdt_sync::{Config, DocumentId, Endpoint, Input, Now, Stored};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

use crate::clock::{Clock, Timer};
use crate::dial::Target;
use crate::link::Arrival;
use crate::replica::{OpenError, Options};
use crate::status::{LinkStatus, Status, Totals};
use crate::transport::Listener;
use crate::watch::{Watch, Watchers};

use self::connections::Connections;
use self::waiters::Waiters;

/// How many messages may wait for the driver; beyond that, peers are not read. With messages of
/// 256 KiB that is 16 MiB.
const ARRIVALS_MAX: usize = 64;

/// How many arrivals and commands one turn takes in before it acts on them.
const GATHER_MAX: usize = 256;

/// Where the answer to a command goes.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// A transaction of any type, and what to do once it is durable.
pub(crate) type Edit = Box<dyn FnOnce(&mut Endpoint, Now, &DocumentId) -> Answer + Send>;

/// Tells the caller of a transaction what became of it.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

/// What handles ask of the driver.
pub(crate) enum Command {
    Listen { listener: Box<dyn Listener>, address: SocketAddr, reply: Reply<()> },
    Connect { target: Target, reply: Reply<()> },
    Disconnect { target: Target, reply: Reply<()> },
    GoOffline { reply: Reply<()> },
    GoOnline { reply: Reply<()> },
    Open { document: DocumentId, reply: Reply<Result<(), crdt_sync::OpenError>> },
    Documents { reply: Reply<Vec<DocumentId>> },
    Versions { reply: Reply<BTreeMap<DocumentId, VersionVector>> },
    Status { reply: Reply<Status> },
    Snapshot { document: DocumentId, reply: Reply<Snapshot> },
    Transact { document: DocumentId, edit: Edit },
    Watch { document: DocumentId, reply: Reply<Watch> },
    WaitFor { document: DocumentId, version: VersionVector, reply: Reply<()> },
    Close,
}

/// The state behind all handles of one replica.
pub(crate) struct Driver {
    endpoint: Endpoint,
    store: Box<dyn Store>,
    commands: mpsc::Receiver<Command>,
    arrivals: mpsc::Receiver<Arrival>,
    connections: Connections,
    watchers: Watchers,
    waiters: Waiters,
    /// The figures of links that have ended.
    totals: Totals,
    clock: Clock,
    timer: Timer,
    /// What the nonces of links are drawn with.
    random: StdRng,
    /// Callers whose transactions become durable with this turn.
    answers: Vec<Answer>,
    /// Callers who get the status once this turn is carried out: until then the figures of a link
    /// that the endpoint has just closed are on their way.
    asked: Vec<Reply<Status>>,
    /// Documents whose version may have changed in this turn.
    touched: BTreeSet<DocumentId>,
    /// Documents whose deltas have become heavy in the store.
    checkpoints: BTreeSet<DocumentId>,
}

impl Driver {
    /// Opens the store and every document in it.
    pub(crate) fn open(options: Options, commands: mpsc::Receiver<Command>) -> Result<Self, OpenError> {
        let replica = options.replica.or_else(|| options.store.replica());
        let replica = replica.unwrap_or_else(|| ReplicaId::from_random_bytes(rand::random()));
        let store: Box<dyn Store> = Box::new(options.store.lease(replica)?);
        let mut random = options.seed.map_or_else(rand::make_rng, StdRng::seed_from_u64);
        let clock = Clock::start(options.wall_clock.clone());
        let endpoint = open_documents(&*store, options.sync.clone(), clock.now())?;
        let (sender, arrivals) = mpsc::channel(ARRIVALS_MAX);
        Ok(Self {
            endpoint,
            store,
            commands,
            arrivals,
            connections: Connections::new(sender, &options, random.fork()),
            watchers: Watchers::default(),
            waiters: Waiters::default(),
            totals: Totals::default(),
            timer: Timer::new(&clock),
            clock,
            random,
            answers: Vec::new(),
            asked: Vec::new(),
            touched: BTreeSet::new(),
            checkpoints: BTreeSet::new(),
        })
    }

    /// Returns the identity under which the replica writes.
    pub(crate) fn replica(&self) -> ReplicaId {
        self.endpoint.replica()
    }

    /// Runs until a handle says close, or the last one is gone, or the store fails.
    pub(crate) async fn run(mut self) {
        info!(replica = %self.replica(), "replica opened");
        loop {
            let flow = self.wait_and_gather().await;
            // The turn that brings the close may have run transactions before it.
            if let Err(error) = self.carry_out_all() {
                error!(%error, "the store failed: closing");
                break;
            }
            if flow.is_break() {
                break;
            }
        }
        self.shut_down().await;
    }

    /// Waits until there is something to do, and takes in all of it that is ready, up to a bound.
    async fn wait_and_gather(&mut self) -> ControlFlow<()> {
        self.timer.set(self.endpoint.poll_timeout());
        // In this order nothing is kept waiting: the first two rest nearly always, and what the last two bring is
        // taken in by turns below.
        tokio::select! {
            biased;
            () = self.timer.wait() => self.endpoint.handle(self.clock.now(), Input::Timeout),
            () = self.connections.reap() => {}
            command = self.commands.recv() => self.obey(command.unwrap_or(Command::Close))?,
            Some(arrival) = self.arrivals.recv() => self.take_in(arrival),
        }
        for _ in 0..GATHER_MAX {
            let (arrival, command) = (self.arrivals.try_recv(), self.commands.try_recv());
            if arrival.is_err() && command.is_err() {
                break;
            }
            if let Ok(arrival) = arrival {
                self.take_in(arrival);
            }
            if let Ok(command) = command {
                self.obey(command)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Does what a handle asks. Callers that have gone are not missed.
    fn obey(&mut self, command: Command) -> ControlFlow<()> {
        match command {
            Command::Listen { listener, address, reply } => {
                self.connections.listen(listener, address);
                let _ = reply.send(());
            }
            Command::Connect { target, reply } => {
                self.connections.dial(target);
                let _ = reply.send(());
            }
            Command::Disconnect { target, reply } => {
                self.disconnect(&target);
                let _ = reply.send(());
            }
            Command::GoOffline { reply } => {
                self.go_offline();
                let _ = reply.send(());
            }
            Command::GoOnline { reply } => {
                self.connections.go_online();
                let _ = reply.send(());
            }
            Command::Open { document, reply } => {
                let _ = reply.send(self.endpoint.open(self.clock.now(), &document, None));
            }
            Command::Transact { document, edit } => {
                self.bring(&document)?;
                let answer = edit(&mut self.endpoint, self.clock.now(), &document);
                self.answers.push(answer);
            }
            Command::Snapshot { document, reply } => {
                self.bring(&document)?;
                let _ = reply.send(self.snapshot(&document));
            }
            Command::Watch { document, reply } => {
                let _ = reply.send(self.watchers.subscribe(&document));
            }
            Command::WaitFor { document, version, reply } => {
                self.waiters.add(document.clone(), version, reply);
                self.touched.insert(document);
            }
            Command::Close => return ControlFlow::Break(()),
            read => self.answer(read),
        }
        ControlFlow::Continue(())
    }

    /// Answers the commands that ask how things stand.
    fn answer(&mut self, command: Command) {
        match command {
            Command::Documents { reply } => {
                let _ = reply.send(self.endpoint.heads().map(|(id, _)| id.clone()).collect());
            }
            Command::Versions { reply } => {
                let versions = self.endpoint.heads().map(|(id, head)| (id.clone(), head.version()));
                let _ = reply.send(versions.collect());
            }
            Command::Status { reply } => self.asked.push(reply),
            // Every other command changes something: see `obey`.
            _ => {}
        }
    }

    fn status(&self) -> Status {
        let mut totals = self.totals;
        let mut links = Vec::new();
        for session in self.endpoint.sessions() {
            totals.add(&session);
            if let Some((address, direction)) = self.connections.describe(session.link) {
                links.push(LinkStatus::new(address, direction, &session));
            }
        }
        Status {
            replica: self.replica(),
            online: self.connections.is_online(),
            listening: self.connections.listening().to_vec(),
            dialling: self.connections.dialling(),
            links,
            totals,
        }
    }

    /// Ends every task, then frees the store, then lets those who called close go on.
    async fn shut_down(self) {
        let replica = self.replica();
        let Self { commands, arrivals, connections, store, waiters, watchers, .. } = self;
        connections.shut_down(arrivals).await;
        drop((waiters, watchers));
        drop(store);
        info!(%replica, "replica closed");
        drop(commands);
    }
}

/// Makes an endpoint with everything that the store holds.
fn open_documents(store: &dyn Store, config: Config, now: Now) -> Result<Endpoint, OpenError> {
    let mut endpoint = Endpoint::new(store.replica(), config);
    for name in store.documents()? {
        let document = DocumentId::new(Arc::clone(&name))?;
        let stored = store.load(&name)?.map(|stored| Stored { snapshot: stored.snapshot, deltas: stored.deltas });
        endpoint
            .open(now, &document, stored)
            .map_err(|error| OpenError::Document { document: document.clone(), error })?;
    }
    Ok(endpoint)
}
