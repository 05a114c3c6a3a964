//! The driver's side of all sockets: listeners, dials, links, and the tasks behind them.
//!
//! Everything in here is told, never asked: the endpoint decides about links, this carries it out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crdt_sync::LinkId;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::error;

use crate::backoff::Backoff;
use crate::dial::{DialId, Dialler, Target};
use crate::link::{Arrival, CLOSE_GRACE, LinkHandle, Origin};
use crate::listen;
use crate::net::Net;
use crate::options::Options;
use crate::status::Direction;
use crate::transport::{Connection, Listener};

/// Going away (RFC 6455, section 7.4.1): this replica goes offline or is closed.
const CODE_AWAY: u16 = 1001;

/// All that has to do with sockets in one replica.
#[derive(Debug)]
pub(super) struct Connections {
    net: Arc<Net>,
    online: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// One for each connection that may be accepted at a time.
    slots: Arc<Semaphore>,
    listening: Vec<SocketAddr>,
    /// What is to be kept dialled, by URL.
    dials: BTreeMap<String, Dial>,
    dial_next: u64,
    links: BTreeMap<LinkId, Link>,
    redial_min_ms: u64,
    redial_max_ms: u64,
    /// What each task that dials gets randomness of its own from.
    random: StdRng,
}

#[derive(Debug)]
struct Dial {
    target: Target,
    /// The task that dials; none while offline.
    running: Option<(DialId, oneshot::Sender<()>)>,
}

#[derive(Debug)]
struct Link {
    handle: LinkHandle,
    address: String,
    origin: Origin,
}

impl Connections {
    pub(super) fn new(arrivals: mpsc::Sender<Arrival>, options: &Options, random: StdRng) -> Self {
        let (online, is_online) = watch::channel(true);
        Self {
            net: Arc::new(Net::new(arrivals, is_online, options)),
            online,
            tasks: JoinSet::new(),
            slots: Arc::new(Semaphore::new(options.connections_max.min(Semaphore::MAX_PERMITS))),
            listening: Vec::new(),
            dials: BTreeMap::new(),
            dial_next: 1,
            links: BTreeMap::new(),
            redial_min_ms: options.redial_min_ms,
            redial_max_ms: options.redial_max_ms,
            random,
        }
    }

    pub(super) fn is_online(&self) -> bool {
        *self.online.borrow()
    }

    pub(super) fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    pub(super) fn dialling(&self) -> Vec<String> {
        self.dials.keys().cloned().collect()
    }

    pub(super) fn is_live(&self, link: LinkId) -> bool {
        self.links.contains_key(&link)
    }

    /// Returns where a live link leads, and who opened it.
    pub(super) fn describe(&self, link: LinkId) -> Option<(String, Direction)> {
        let link = self.links.get(&link)?;
        let direction = match link.origin {
            Origin::Dialled { .. } => Direction::Dialled,
            Origin::Accepted => Direction::Accepted,
        };
        Some((link.address.clone(), direction))
    }

    pub(super) fn listen(&mut self, listener: Box<dyn Listener>, address: SocketAddr) {
        self.listening.push(address);
        self.tasks.spawn(listen::accept(listener, Arc::clone(&self.slots), Arc::clone(&self.net)));
    }

    /// Keeps `target` dialled from now on, or from when we are online.
    pub(super) fn dial(&mut self, target: Target) {
        let url = target.url().to_owned();
        if self.dials.contains_key(&url) {
            return;
        }
        let running = self.is_online().then(|| self.start_dialling(&target));
        self.dials.insert(url, Dial { target, running });
    }

    fn start_dialling(&mut self, target: &Target) -> (DialId, oneshot::Sender<()>) {
        let dial = DialId(self.dial_next);
        self.dial_next += 1;
        let (stop, stopped) = oneshot::channel();
        let dialler = Dialler {
            target: target.clone(),
            dial,
            backoff: Backoff::new(self.redial_min_ms, self.redial_max_ms),
            random: self.random.fork(),
            net: Arc::clone(&self.net),
        };
        self.tasks.spawn(dialler.run(stopped));
        (dial, stop)
    }

    /// Stops dialling `target`; returns the link that was dialled there.
    pub(super) fn hang_up(&mut self, target: &Target) -> Option<LinkId> {
        let (dial, _stop) = self.dials.remove(target.url())?.running?;
        self.links.iter().find(|(_, link)| link.origin == Origin::Dialled { dial }).map(|(link, _)| *link)
    }

    /// Lets a connection shake hands.
    pub(super) fn serve(&mut self, connection: Box<dyn Connection>, address: SocketAddr, slot: OwnedSemaphorePermit) {
        if self.is_online() {
            self.tasks.spawn(listen::serve(connection, address, slot, Arc::clone(&self.net)));
        }
    }

    /// Takes in a link that is ready, unless it has not been wanted any more meanwhile.
    pub(super) fn admit(&mut self, link: LinkId, origin: Origin, address: String, handle: LinkHandle) -> bool {
        let is_wanted = self.is_online()
            && match origin {
                Origin::Accepted => true,
                Origin::Dialled { dial } => self
                    .dials
                    .get(&address)
                    .is_some_and(|wanted| wanted.running.as_ref().is_some_and(|(running, _)| *running == dial)),
            };
        if is_wanted {
            self.links.insert(link, Link { handle, address, origin });
        } else {
            handle.close(CODE_AWAY, "not wanted any more");
        }
        is_wanted
    }

    /// Queues a message; false if the link takes no more. Nothing happens if the link has ended.
    pub(super) fn transmit(&self, link: LinkId, bytes: Vec<u8>) -> bool {
        self.links.get(&link).is_none_or(|link| link.handle.send(bytes))
    }

    /// Closes a link behind what was queued; nothing happens if it has ended.
    pub(super) fn close(&mut self, link: LinkId, code: u16, reason: &str) {
        if let Some(link) = self.links.remove(&link) {
            link.handle.close(code, reason);
        }
    }

    /// Forgets a link that has ended; false if that was known.
    pub(super) fn forget(&mut self, link: LinkId) -> bool {
        self.links.remove(&link).is_some()
    }

    /// Stops dialling and accepting and closes every link; returns which.
    pub(super) fn go_offline(&mut self) -> Vec<LinkId> {
        self.online.send_replace(false);
        for dial in self.dials.values_mut() {
            dial.running = None;
        }
        let links = std::mem::take(&mut self.links);
        links
            .into_iter()
            .map(|(id, link)| {
                link.handle.close(CODE_AWAY, "going offline");
                id
            })
            .collect()
    }

    /// Accepts again, and dials at once, as if for the first time.
    pub(super) fn go_online(&mut self) {
        self.online.send_replace(true);
        let idle: Vec<_> =
            self.dials.iter().filter(|(_, dial)| dial.running.is_none()).map(|(url, _)| url.clone()).collect();
        for url in idle {
            let target = self.dials[&url].target.clone();
            let running = self.start_dialling(&target);
            if let Some(dial) = self.dials.get_mut(&url) {
                dial.running = Some(running);
            }
        }
    }

    /// Waits for one task to end; never returns while there is none.
    pub(super) async fn reap(&mut self) {
        match self.tasks.join_next().await {
            Some(ended) => report(ended),
            None => std::future::pending().await,
        }
    }

    /// Says goodbye to every peer and ends all tasks, by force after [`CLOSE_GRACE`].
    pub(super) async fn shut_down(mut self, mut arrivals: mpsc::Receiver<Arrival>) {
        self.go_offline();
        let Self { net, online, mut tasks, .. } = self;
        drop(online);
        let all_ended = async {
            while let Some(ended) = tasks.join_next().await {
                report(ended);
            }
        };
        // Tasks must not wait for room in a queue that nobody reads.
        let unread = async {
            while arrivals.recv().await.is_some() {}
            std::future::pending().await
        };
        let in_order = timeout(CLOSE_GRACE, async {
            tokio::select! {
                biased;
                () = all_ended => {}
                () = unread => {}
            }
        });
        if in_order.await.is_err() {
            tasks.shutdown().await;
        }
        drop(net);
    }
}

/// A task of ours that panics is a bug; the replica lives on without it.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a connection task panicked");
    }
}
