//! Transports: what carries the bytes of links. TCP unless told otherwise.
//!
//! Why a seam here and not above the WebSocket? So that everything which can go wrong on a network
//! meets the code that has to bear it: the real handshake, framing, queues, time limits and redials
//! run on whatever transport there is. It costs one indirect call for each read and write of a
//! socket, which is nothing next to the system call behind it.
//!
//! A connection could have been a type parameter. That was rejected: it would reach every public
//! type of this crate, for a difference that cannot be measured
//! (docs/decisions/0006-simulated-sockets.md).
//!
//! Deliberately absent: TLS, and addresses that are no socket addresses. A transport over pipes or
//! Unix sockets makes some up; they are only shown.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs, lookup_host};

/// What a transport is asked to do, under way. Dropping it gives up.
pub type Attempt<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Opens and accepts the connections of a [`Replica`](crate::Replica).
///
/// # Laws
/// - A connection carries bytes in order, both ways, and leaves none out: once a byte is lost, no
///   later one arrives.
/// - It may go silent for ever without an error. Links ping, and give up a silent peer.
/// - It need not be private, nor tell who is at the other end.
///
/// ```
/// use std::net::SocketAddr;
/// use std::sync::Arc;
///
/// use crdt_net::{Attempt, Connection, Listener, Options, Replica, Tcp, Transport};
///
/// /// TCP, but only to this machine.
/// #[derive(Debug)]
/// struct Loopback;
///
/// impl Transport for Loopback {
///     fn connect<'a>(&'a self, _host: &'a str, port: u16) -> Attempt<'a, Box<dyn Connection>> {
///         Tcp.connect("127.0.0.1", port)
///     }
///
///     fn listen(&self, addr: SocketAddr) -> Attempt<'_, Box<dyn Listener>> {
///         Tcp.listen(SocketAddr::from(([127, 0, 0, 1], addr.port())))
///     }
/// }
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let mut options = Options::default();
/// options.transport = Arc::new(Loopback);
/// let replica = Replica::open(options).await?;
/// let address = replica.listen("0.0.0.0:0").await?;
/// assert!(address.ip().is_loopback());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Transport: Debug + Send + Sync {
    /// Connects to what a `ws://` URL names. Given up after 5 s, the WebSocket's handshake included.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Attempt<'a, Box<dyn Connection>>;

    /// Starts to accept connections on `addr`; port 0 asks for a free one.
    fn listen(&self, addr: SocketAddr) -> Attempt<'_, Box<dyn Listener>>;
}

/// Accepts the connections to one address. Dropping it frees the address.
pub trait Listener: Send {
    /// Returns the address that was bound.
    ///
    /// # Errors
    /// Whatever the transport says.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Waits for a connection; returns it and where it comes from. After an error it is asked again,
    /// 100 ms later.
    fn accept(&mut self) -> Attempt<'_, (Box<dyn Connection>, SocketAddr)>;
}

/// A connection: whatever can be read and written.
pub trait Connection: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Connection for T {}

/// TCP, without Nagle's delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp;

impl Transport for Tcp {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Attempt<'a, Box<dyn Connection>> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Connection>)
        })
    }

    fn listen(&self, addr: SocketAddr) -> Attempt<'_, Box<dyn Listener>> {
        Box::pin(async move { Ok(Box::new(TcpListener::bind(addr).await?) as Box<dyn Listener>) })
    }
}

impl Listener for TcpListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }

    fn accept(&mut self) -> Attempt<'_, (Box<dyn Connection>, SocketAddr)> {
        Box::pin(async move {
            let (stream, address) = Self::accept(self).await?;
            // Fails only on a connection that is broken already, which its link finds out.
            let _ = stream.set_nodelay(true);
            Ok((Box::new(stream) as Box<dyn Connection>, address))
        })
    }
}

/// Listens on the first of the addresses that can be bound.
pub(crate) async fn listen_on_any(
    transport: &dyn Transport,
    addr: impl ToSocketAddrs,
) -> io::Result<Box<dyn Listener>> {
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
    let candidates: Vec<SocketAddr> = lookup_host(addr).await?.collect();
    for candidate in candidates {
        match transport.listen(candidate).await {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
