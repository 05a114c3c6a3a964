//! What a replica is given instead of TCP, the wall clock and randomness of the system.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crdt_core::EditError;
use crdt_net::{Attempt, Connection, DocumentHandle, Listener, Replica, TransactError, Transport, WallClock};
use tokio::io::{DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::{Mutex, mpsc};

use crate::support::{add, converge, open, open_with, sum};

/// Pipes within one process, to one listener.
#[derive(Debug)]
struct Pipes {
    dialled: mpsc::Sender<DuplexStream>,
    accepted: Arc<Mutex<mpsc::Receiver<DuplexStream>>>,
}

impl Pipes {
    fn new() -> Arc<Self> {
        let (dialled, accepted) = mpsc::channel(1);
        Arc::new(Self { dialled, accepted: Arc::new(Mutex::new(accepted)) })
    }
}

impl Transport for Pipes {
    fn connect<'a>(&'a self, _host: &'a str, _port: u16) -> Attempt<'a, Box<dyn Connection>> {
        Box::pin(async move {
            let (ours, theirs) = duplex(100);
            self.dialled.send(theirs).await.map_err(io::Error::other)?;
            Ok(Box::new(ours) as Box<dyn Connection>)
        })
    }

    fn listen(&self, addr: SocketAddr) -> Attempt<'_, Box<dyn Listener>> {
        let door = Door { addr, accepted: Arc::clone(&self.accepted) };
        Box::pin(async move { Ok(Box::new(door) as Box<dyn Listener>) })
    }
}

struct Door {
    addr: SocketAddr,
    accepted: Arc<Mutex<mpsc::Receiver<DuplexStream>>>,
}

impl Listener for Door {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    fn accept(&mut self) -> Attempt<'_, (Box<dyn Connection>, SocketAddr)> {
        Box::pin(async move {
            let pipe = self.accepted.lock().await.recv().await.ok_or(io::ErrorKind::BrokenPipe)?;
            Ok((Box::new(pipe) as Box<dyn Connection>, self.addr))
        })
    }
}

#[test]
fn replicas_sync_over_pipes_in_a_runtime_without_sockets() {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let pipes = Pipes::new();
        let [phone, server] = [0, 1].map(|_| open_with(|options| options.transport = Arc::<Pipes>::clone(&pipes)));
        let (phone, server) = (phone.await, server.await);
        server.listen("127.0.0.1:7000").await.unwrap();
        phone.connect("ws://anywhere").await.unwrap();
        let (here, there) = (phone.document("d").await.unwrap(), server.document("d").await.unwrap());
        add(&here, "n", 1).await;
        add(&there, "n", 2).await;
        converge(&[&here, &there]).await;
        assert_eq!(sum(&here, "n").await, Some(3));
        phone.close().await;
        server.close().await;
    });
}

#[tokio::test]
async fn listening_takes_the_first_address_that_is_free() {
    let blocker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [blocker.local_addr().unwrap(), SocketAddr::from(([127, 0, 0, 1], 0))];
    let replica = open().await;
    let bound = replica.listen(&addresses[..]).await.unwrap();
    assert_ne!(bound, addresses[0]);
    assert!(replica.listen(&addresses[..1]).await.is_err());
    assert!(replica.listen(&addresses[..0]).await.is_err());
    assert_eq!(replica.status().await.unwrap().listening, [bound]);
}

#[tokio::test]
async fn identities_never_come_from_a_seed() {
    let with_seed = || open_with(|options| options.seed = Some(1));
    assert_ne!(with_seed().await.id(), with_seed().await.id());
}

/// Opens a replica whose clock stands still, and writes a register there.
async fn write_at(time: SystemTime, value: &'static str) -> (Replica, DocumentHandle) {
    let replica = open_with(|options| options.wall_clock = WallClock::new(move || time)).await;
    let document = replica.document("d").await.expect("open");
    let edit = document.transact(move |edit| edit.register("title").set(value));
    edit.await.map_err(|error: TransactError<EditError>| error).expect("a valid edit");
    (replica, document)
}

#[tokio::test]
async fn of_two_concurrent_values_the_wall_clocks_decide() {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(12 * 60 * 60);
    let (phone, here) = write_at(noon + Duration::from_millis(1), "later").await;
    let (server, there) = write_at(noon, "earlier").await;
    let address = server.listen("127.0.0.1:0").await.unwrap();
    phone.connect(&format!("ws://{address}")).await.unwrap();
    converge(&[&here, &there]).await;
    let snapshot = there.snapshot().await.unwrap();
    let title = snapshot.root().register("title").unwrap();
    assert_eq!(title.get().as_text(), Some("later"));
    assert!(title.is_conflicted());
}
