//! The driver: the one task that owns the endpoint of a replica, and gives its store work.
//!
//! Each turn takes in everything that is ready, then carries out what the endpoint asks for. What is to be
//! made durable goes to the store (see `persist`); when the store says that it is, whatever waited
//! for it follows: answers to callers, and what peers may know (Invariant 4). Ten thousand messages
//! that arrive together cost one turn, not ten thousand flushes. Between turns it sleeps until something arrives,
//! or until exactly the moment that the endpoint has named.
//!
//! Nothing in here waits for a peer, a reader, a caller or a disk: what cannot be handed over at once
//! is dropped together with its link, or its reader is told that it lags. If the disk is slower than
//! those who write, they wait: while much is not durable yet, neither commands nor messages are
//! taken in, so callers wait for room in one queue and peers in the other. That cannot stand still: the
//! disk needs nothing from either to go on, and what it has done is still heard. A close waits in
//! line like everything else, for it would have to wait for the disk anyway.

mod connections;
mod identity;
mod persist;
mod residency;
mod turn;
mod waiters;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use crdt_core::{ReplicaId, VersionVector};
use crdt_store::StoreError;
use crdt_sync::{DocumentId, Endpoint, Input, Now, Ticket};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info};

use crate::clock::{Clock, Timer};
use crate::dial::Target;
use crate::link::Arrival;
use crate::options::Options;
use crate::status::{LinkStatus, Status, Totals};
use crate::transport::Listener;
use crate::watch::{Watch, Watchers};

use self::connections::Connections;
use self::identity::Disputes;
use self::persist::{Done, Persist};
use self::residency::Calls;
use self::waiters::{Answers, Waiters};

pub(crate) use self::persist::{BackupReply, Opened, open};
pub(crate) use self::residency::Call;

/// How many messages may wait for the driver; beyond that, peers are not read. With messages of
/// 256 KiB that is 16 MiB.
const ARRIVALS_MAX: usize = 64;

/// How many arrivals and commands one turn takes in before it acts on them.
const GATHER_MAX: usize = 256;

/// From how many bytes on writes do not wait for others to share their sync: a sync of more takes
/// longer to write than to begin.
const HEAVY_BYTES: usize = 1024 * 1024;

/// How many callers may wait for the store before no more are let in, whether for a write or for a document to be
/// read: some change nothing, and so weigh nothing in the store.
const ANSWERS_MAX: usize = 16 * 1024;

/// Where the answer to a command goes.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// Why a replica was closed, for whoever asks, if it was its store's fault.
pub(crate) type Failure = Arc<OnceLock<StoreError>>;

/// A transaction of any type, and what to do once it is durable.
pub(crate) type Edit = Box<dyn FnOnce(&mut Endpoint, Now, &DocumentId) -> Edited + Send>;

/// Tells the caller of a transaction what became of it.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

/// What became of a transaction.
pub(crate) enum Edited {
    /// It is made. Its caller hears of it once it is durable, and everything with it that it may have read.
    Made(Answer),
    /// It failed and has changed nothing. Its caller hears of it at once.
    Failed(Answer),
}

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
    Call { document: DocumentId, call: Call },
    Watch { document: DocumentId, reply: Reply<Watch> },
    WaitFor { document: DocumentId, version: VersionVector, reply: Reply<()> },
    Flush { reply: Reply<()> },
    BackUp { reply: BackupReply },
    Close,
}

/// The state behind all handles of one replica.
pub(crate) struct Driver {
    endpoint: Endpoint,
    persist: Persist,
    /// How many bytes may wait for the store.
    waiting_bytes_max: usize,
    failure: Failure,
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
    /// Ids that others have used as well.
    disputes: Disputes,
    /// Callers whose transactions are not durable yet.
    answers: Answers,
    /// Callers whose documents are not in memory yet.
    calls: Calls,
    /// Callers who get the status once this turn is carried out: until then the figures of a link
    /// that the endpoint has just closed are on their way.
    asked: Vec<Reply<Status>>,
    /// Callers who get a copy of the store with all that was taken in before.
    backups: Vec<BackupReply>,
    /// What was taken in before must not wait for company in the store.
    is_urgent: bool,
    /// Documents of which something is to become durable, with the last write of each.
    touched: BTreeMap<DocumentId, Ticket>,
    /// Documents of which something has.
    settled: BTreeSet<DocumentId>,
}

impl Driver {
    /// Makes a driver of an open store.
    pub(crate) fn new(
        options: &Options,
        clock: Clock,
        opened: (Endpoint, Persist),
        commands: mpsc::Receiver<Command>,
        failure: Failure,
    ) -> Self {
        let (endpoint, persist) = opened;
        let mut random = options.seed.map_or_else(rand::make_rng, StdRng::seed_from_u64);
        let (sender, arrivals) = mpsc::channel(ARRIVALS_MAX);
        Self {
            disputes: Disputes::new(endpoint.replica()),
            endpoint,
            persist,
            waiting_bytes_max: options.waiting_bytes_max,
            failure,
            commands,
            arrivals,
            connections: Connections::new(sender, options, random.fork()),
            watchers: Watchers::default(),
            waiters: Waiters::default(),
            totals: Totals::default(),
            timer: Timer::new(&clock),
            clock,
            random,
            answers: Answers::default(),
            calls: Calls::default(),
            asked: Vec::new(),
            backups: Vec::new(),
            is_urgent: false,
            touched: BTreeMap::new(),
            settled: BTreeSet::new(),
        }
    }

    /// Returns the identity under which the replica writes.
    fn replica(&self) -> ReplicaId {
        self.endpoint.replica()
    }

    /// Returns where handles see under which identity the replica writes.
    pub(crate) fn identity(&self) -> watch::Receiver<ReplicaId> {
        self.disputes.subscribe()
    }

    /// Returns where handles see that documents and links come and go.
    pub(crate) fn status_changes(&self) -> watch::Receiver<()> {
        self.watchers.status()
    }

    /// Runs until a handle says close, or the last one is gone, or the store fails.
    pub(crate) async fn run(mut self) {
        info!(replica = %self.replica(), "replica opened");
        let outcome = loop {
            match self.turn().await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break self.drain().await,
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = outcome {
            error!(%error, "the store failed: closing");
            // Before any caller hears that the replica is closed.
            let _ = self.failure.set(error);
        }
        let commands = self.shut_down().await;
        // Those who called close go on when this is gone.
        drop(commands);
    }

    async fn turn(&mut self) -> Result<ControlFlow<()>, StoreError> {
        let flow = self.wait_and_gather().await?;
        // The turn that brings the close may have run transactions before it.
        self.carry_out_all()?;
        Ok(flow)
    }

    /// Waits until there is something to do, and takes in all of it that is ready, up to a bound.
    async fn wait_and_gather(&mut self) -> Result<ControlFlow<()>, StoreError> {
        self.timer.set(self.endpoint.poll_timeout());
        let has_room = self.has_room();
        // In this order nothing is kept waiting: the first three rest nearly always, and what the last two bring is
        // taken in by turns below.
        tokio::select! {
            biased;
            () = self.timer.wait() => self.endpoint.handle(self.clock.now(), Input::Timeout),
            () = self.connections.reap() => {}
            done = self.persist.done() => match done? {
                Done::Durable(ticket) => self.take_durable(ticket)?,
                Done::Loaded(loaded) => {
                    for (document, stored) in loaded {
                        self.take_loaded(&document, stored)?;
                    }
                }
                Done::Renewed(replica) => self.take_renewed(replica)?,
                Done::Recalled(stored) => self.reissue(stored),
                Done::All => return Ok(ControlFlow::Break(())),
            },
            command = self.commands.recv(), if has_room => {
                if self.obey(command.unwrap_or(Command::Close))?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Some(arrival) = self.arrivals.recv(), if has_room => self.take_in(arrival),
        }
        for _ in 0..GATHER_MAX {
            let arrival = if self.has_room() { self.arrivals.try_recv().ok() } else { None };
            let is_idle = arrival.is_none();
            if let Some(arrival) = arrival {
                self.take_in(arrival);
            }
            let command = if self.has_room() { self.commands.try_recv().ok() } else { None };
            match command.map(|command| self.obey(command)).transpose()? {
                Some(ControlFlow::Break(())) => return Ok(ControlFlow::Break(())),
                None if is_idle => break,
                _ => {}
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Tells whether more may be taken in that has to wait for the store.
    fn has_room(&self) -> bool {
        let waiting = self.endpoint.requested_bytes();
        let callers = self.answers.len() + self.calls.len() + self.disputes.callers();
        (waiting == 0 || waiting < self.waiting_bytes_max) && callers < ANSWERS_MAX
    }

    /// Does what a handle asks. Callers that have gone are not missed.
    fn obey(&mut self, command: Command) -> Result<ControlFlow<()>, StoreError> {
        match command {
            Command::Listen { listener, address, reply } => {
                self.connections.listen(listener, address);
                let urls: Vec<_> =
                    self.connections.listening().iter().map(|address| format!("ws://{address}")).collect();
                self.persist.announce(urls.join(" "), reply);
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
                let known = self.endpoint.known_documents();
                let _ = reply.send(self.endpoint.open(self.clock.now(), &document, None));
                if self.endpoint.known_documents() > known {
                    self.watchers.stir();
                }
            }
            Command::Call { document, call } => self.call(document, call)?,
            Command::Watch { document, reply } => {
                let _ = reply.send(self.watchers.subscribe(&document));
            }
            Command::WaitFor { document, version, reply } => {
                self.waiters.add(document.clone(), version, reply);
                self.settled.insert(document);
            }
            Command::Flush { .. } | Command::BackUp { .. } => {
                if let Some(command) = self.calls.follow(command) {
                    self.take_effect(command);
                }
            }
            Command::Close => return Ok(ControlFlow::Break(())),
            read => self.answer(read),
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Carries out the commands that have waited for the calls before them.
    fn take_effect(&mut self, command: Command) {
        match command {
            Command::Flush { reply } => {
                self.is_urgent = true;
                let answer = Box::new(move || {
                    let _ = reply.send(());
                });
                self.answers.push(self.endpoint.requested(), answer);
            }
            Command::BackUp { reply } => self.backups.push(reply),
            // No other command waits: see `obey`.
            _ => {}
        }
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
            reissued: self.disputes.reissued,
            online: self.connections.is_online(),
            listening: self.connections.listening().to_vec(),
            dialling: self.connections.dialling(),
            documents: self.endpoint.known_documents(),
            resident_documents: self.endpoint.resident_documents(),
            links,
            totals,
            storage: self.persist.status(self.endpoint.requested_bytes()),
        }
    }

    /// Waits until everything that was taken in is durable, and answers those who wait for it.
    async fn drain(&mut self) -> Result<(), StoreError> {
        self.note_heads()?;
        self.persist.finish();
        loop {
            match self.persist.done().await? {
                Done::Durable(ticket) => {
                    self.take_durable(ticket)?;
                    self.carry_out_all()?;
                }
                // Nobody writes any more.
                Done::Loaded(_) | Done::Renewed(_) | Done::Recalled(_) => {}
                Done::All => return Ok(()),
            }
        }
    }

    /// Ends every task, then frees the store, then everything else but what callers of close wait for the end of.
    async fn shut_down(self) -> mpsc::Receiver<Command> {
        let replica = self.replica();
        let Self { commands, arrivals, connections, persist, answers, calls, waiters, watchers, .. } = self;
        connections.shut_down(arrivals).await;
        persist.shut_down().await;
        // Those who are not answered yet learn that they will not be; the store is free for them.
        drop((answers, calls, waiters, watchers));
        info!(%replica, "replica closed");
        commands
    }
}
