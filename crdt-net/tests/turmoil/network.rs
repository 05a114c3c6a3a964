//! turmoil's simulated TCP as a transport, which also writes down every read and every write.
//!
//! Why can a host be unplugged? When its tasks are torn down, tokio drops them in an order that depends
//! on how many tasks the whole process has ever had, and each socket that is dropped sends a last
//! segment, for which turmoil draws a delay. So all sockets are closed first, in the order in which they
//! were opened: the run is the same again.

use std::fmt;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use crdt_net::{Attempt, Connection, Listener, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

use crate::trace::Trace;

/// A simulated socket, until it is unplugged.
type Socket = Mutex<Option<TcpStream>>;

/// The network as one host has it.
#[derive(Clone)]
pub(crate) struct Network {
    host: String,
    trace: Trace,
    /// In the order in which they were opened.
    sockets: Arc<Mutex<Vec<Weak<Socket>>>>,
    is_unplugged: Arc<AtomicBool>,
}

impl Network {
    pub(crate) fn new(host: &str, trace: &Trace) -> Self {
        Self { host: host.to_owned(), trace: trace.clone(), sockets: Arc::default(), is_unplugged: Arc::default() }
    }

    /// Closes every socket; whoever holds one waits for ever.
    pub(crate) fn unplug(&self) {
        self.is_unplugged.store(true, Ordering::Relaxed);
        for socket in lock(&self.sockets).drain(..).filter_map(|socket| socket.upgrade()) {
            drop(lock(&socket).take());
        }
    }

    /// Lets sockets be opened again.
    pub(crate) fn plug_in(&self) {
        self.is_unplugged.store(false, Ordering::Relaxed);
    }

    /// Takes in a new socket.
    async fn connection(&self, stream: TcpStream, peer: SocketAddr) -> Box<dyn Connection> {
        if self.is_unplugged.load(Ordering::Relaxed) {
            return pending().await;
        }
        let socket = Arc::new(Mutex::new(Some(stream)));
        let mut sockets = lock(&self.sockets);
        sockets.retain(|socket| socket.strong_count() > 0);
        sockets.push(Arc::downgrade(&socket));
        Box::new(Traced { socket, peer, network: self.clone() })
    }

    fn say(&self, what: fmt::Arguments<'_>) {
        self.trace.add(&self.host, what);
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Network").field(&self.host).finish()
    }
}

impl Transport for Network {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Attempt<'a, Box<dyn Connection>> {
        Box::pin(async move {
            self.say(format_args!("connects to {host}"));
            let stream = TcpStream::connect((host, port)).await?;
            let peer = stream.peer_addr()?;
            Ok(self.connection(stream, peer).await)
        })
    }

    fn listen(&self, addr: SocketAddr) -> Attempt<'_, Box<dyn Listener>> {
        Box::pin(async move {
            let listener = TcpListener::bind(addr).await?;
            Ok(Box::new(Door { listener, network: self.clone() }) as Box<dyn Listener>)
        })
    }
}

/// A simulated port.
struct Door {
    listener: TcpListener,
    network: Network,
}

impl Listener for Door {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn accept(&mut self) -> Attempt<'_, (Box<dyn Connection>, SocketAddr)> {
        Box::pin(async move {
            let (stream, address) = self.listener.accept().await?;
            self.network.say(format_args!("accepts {address}"));
            Ok((self.network.connection(stream, address).await, address))
        })
    }
}

/// A simulated connection.
struct Traced {
    socket: Arc<Socket>,
    peer: SocketAddr,
    network: Network,
}

impl Traced {
    /// Runs an operation on the socket; never ready once that is unplugged.
    fn poll<T>(&self, operation: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let mut socket = lock(&self.socket);
        let Some(stream) = socket.as_mut() else {
            return Poll::Pending;
        };
        let done = ready!(operation(Pin::new(stream)));
        // Broken pipes and resets are part of the run as well.
        if let Err(error) = &done {
            self.network.say(format_args!("lost {}: {:?}", self.peer, error.kind()));
        }
        Poll::Ready(done)
    }

    fn note(&self, what: &str, bytes: usize) {
        self.network.say(format_args!("{what} {bytes} {}", self.peer));
    }
}

impl fmt::Debug for Traced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Traced").field(&self.peer).finish()
    }
}

impl AsyncRead for Traced {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = ready!(self.poll(|stream| stream.poll_read(context, into)));
        if read.is_ok() {
            self.note("reads", into.filled().len() - before);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Traced {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.poll(|stream| stream.poll_write(context, bytes)));
        if let Ok(len) = &written {
            self.note("writes", *len);
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_shutdown(context))
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
