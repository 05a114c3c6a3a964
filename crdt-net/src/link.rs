//! One link: a WebSocket, its reader and its writer, and the bounded queues between them and the
//! driver.
//!
//! Reader and writer are two futures of one task. Two tasks would gain nothing, since both halves
//! of a WebSocket share one lock, and one task ends in one place.
//!
//! What bounds the queue to a slow peer? The endpoint's credit bounds the data in it, and while
//! more than that stands in it, nothing is read from the peer either, so it cannot make us queue
//! answers without end. If the bound of the queue is reached all the same, the link is closed:
//! the driver never waits for a peer.
//!
//! How does a link end? The driver forgets it first, then the task says goodbye within
//! [`CLOSE_GRACE`]: it flushes, sends the close frame, and waits for the peer's answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crdt_sync::LinkId;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tracing::debug;

use crate::dial::DialId;
use crate::net::Net;
use crate::transport::Connection;

/// How long a link may take to say goodbye before its socket is dropped.
pub(crate) const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// How many messages beyond those within the endpoint's credit may wait for the writer of one link.
const QUEUE_SLACK_MESSAGES: usize = 16 * 1024;

/// No data frame is shorter: the hash and the dot of one delta alone are longer.
const DATA_BYTES_MIN: usize = 16;

/// How many bytes beyond the endpoint's credit may wait before the link is closed. What is outside
/// the credit is versions, acknowledgements and pings: a few bytes for each document.
const QUEUE_SLACK_BYTES: usize = 16 * 1024 * 1024;

/// How many bytes beyond the endpoint's credit may wait before the peer is no longer read.
const UNREAD_SLACK_BYTES: usize = 1024 * 1024;

/// The longest reason that fits into a close frame (RFC 6455, section 5.5, less the code).
const REASON_BYTES_MAX: usize = 123;

pub(crate) type WebSocket = WebSocketStream<Box<dyn Connection>>;

/// What the socket tasks tell the driver.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A connection that has not shaken hands yet.
    Accepted { connection: Box<dyn Connection>, address: SocketAddr, slot: OwnedSemaphorePermit },
    /// A link that is ready. Dropping the handle closes it.
    Up { link: LinkId, origin: Origin, address: String, handle: LinkHandle },
    /// One binary message.
    Received { link: LinkId, bytes: Bytes },
    /// The link has ended.
    Down { link: LinkId },
}

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Dialled { dial: DialId },
    Accepted,
}

/// The driver's end of a link. Dropping it closes the link.
#[derive(Debug)]
pub(crate) struct LinkHandle {
    queue: mpsc::Sender<Bytes>,
    backlog: Arc<Backlog>,
    closing: watch::Sender<Option<CloseFrame>>,
}

impl LinkHandle {
    /// Queues one message for the writer; false if there is no room for it.
    #[must_use]
    pub(crate) fn send(&self, bytes: Vec<u8>) -> bool {
        let len = bytes.len();
        if !self.backlog.add(len) {
            return false;
        }
        match self.queue.try_send(bytes.into()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => false,
            // The link has ended, and the driver will hear of it.
            Err(mpsc::error::TrySendError::Closed(_)) => true,
        }
    }

    /// Closes the link behind what was queued.
    pub(crate) fn close(self, code: u16, reason: &str) {
        self.closing.send_replace(Some(close_frame(code, reason)));
    }
}

/// How many bytes wait for the writer of one link.
#[derive(Debug)]
struct Backlog {
    bytes: AtomicUsize,
    bytes_max: usize,
    unread_max: usize,
    shrunk: Notify,
}

impl Backlog {
    /// Takes note of queued bytes, unless they are too many.
    fn add(&self, bytes: usize) -> bool {
        // Only the driver adds, so nothing can come between the look and the sum.
        if self.bytes.load(Ordering::Relaxed) + bytes > self.bytes_max {
            return false;
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.shrunk.notify_one();
    }

    /// Waits until the peer may be read.
    async fn is_low(&self) {
        while self.bytes.load(Ordering::Relaxed) > self.unread_max {
            // A notification between the look and the wait is kept for us.
            self.shrunk.notified().await;
        }
    }
}

/// How a link ended, for whoever may dial again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// The close code, ours if we closed it.
    pub(crate) code: Option<u16>,
}

/// Why the reader or the writer of a link ended.
enum End {
    /// The peer said goodbye, or answered ours.
    Closed { code: Option<u16> },
    /// The peer broke the rules of the WebSocket.
    Refused(CloseFrame),
    /// The connection broke, or the goodbye took too long.
    Lost,
}

/// Runs a link until it has ended. The driver hears `Up`, messages in order, and `Down` in the end.
pub(crate) async fn run(socket: WebSocket, origin: Origin, address: String, net: &Net) -> Ended {
    let link = net.next_link();
    let (queue, queued) = mpsc::channel(QUEUE_SLACK_MESSAGES + net.in_flight_bytes_max / DATA_BYTES_MIN);
    let (closing, closed) = watch::channel(None);
    let backlog = Arc::new(Backlog {
        bytes: AtomicUsize::new(0),
        bytes_max: net.in_flight_bytes_max.saturating_add(QUEUE_SLACK_BYTES),
        unread_max: net.in_flight_bytes_max.saturating_add(UNREAD_SLACK_BYTES),
        shrunk: Notify::new(),
    });
    let handle = LinkHandle { queue, backlog: Arc::clone(&backlog), closing };
    if net.arrivals.send(Arrival::Up { link, origin, address, handle }).await.is_err() {
        return Ended { code: None };
    }
    let (mut sink, mut stream) = socket.split();
    // In this order nothing is kept waiting: the first rests nearly always, and the writer runs dry when the
    // peer's credit does, which only the reader can bring back.
    let end = tokio::select! {
        biased;
        end = overdue(closed.clone()) => end,
        end = write(&mut sink, queued, &backlog, closed.clone()) => end,
        end = read(&mut stream, link, &backlog, net) => end,
    };
    // Fails only if the driver has ended.
    let _ = net.arrivals.send(Arrival::Down { link }).await;
    let ours = closed.borrow().as_ref().map(|frame| u16::from(frame.code));
    let theirs = if let End::Closed { code } = end { code } else { None };
    debug!(link = link.0, code = ours.or(theirs), "link ended");
    // A peer that does not take part in the goodbye is left.
    let _ = timeout(CLOSE_GRACE, part(end, sink, stream)).await;
    Ended { code: ours.or(theirs) }
}

/// Takes messages from the peer to the driver, in order.
async fn read(stream: &mut SplitStream<WebSocket>, link: LinkId, backlog: &Backlog, net: &Net) -> End {
    loop {
        backlog.is_low().await;
        match stream.next().await {
            Some(Ok(Message::Binary(bytes))) => {
                if net.arrivals.send(Arrival::Received { link, bytes }).await.is_err() {
                    return End::Lost;
                }
            }
            Some(Ok(Message::Text(_))) => {
                return End::Refused(close_frame(CloseCode::Unsupported.into(), "binary messages only"));
            }
            Some(Ok(Message::Close(frame))) => {
                return End::Closed { code: frame.map(|frame| frame.code.into()) };
            }
            // tungstenite has answered, or will.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(error)) => return broken_rule(&error).map_or(End::Lost, End::Refused),
            None => return End::Lost,
        }
    }
}

/// Returns what to tell a peer that broke a rule; `None` if it was the connection that broke.
fn broken_rule(error: &Error) -> Option<CloseFrame> {
    let (code, reason) = match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => (CloseCode::Size, "the message is too large"),
        Error::Utf8(_) => (CloseCode::Unsupported, "binary messages only"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return None,
        Error::Protocol(_) => (CloseCode::Protocol, "not a WebSocket frame"),
        _ => return None,
    };
    Some(close_frame(code.into(), reason))
}

/// Takes messages from the driver to the peer, and says goodbye once the driver lets go.
///
/// Everything that is ready is gathered before one flush: sent one by one, small messages reach a
/// twentieth of the throughput.
async fn write(
    sink: &mut SplitSink<WebSocket, Message>,
    mut queued: mpsc::Receiver<Bytes>,
    backlog: &Backlog,
    closed: watch::Receiver<Option<CloseFrame>>,
) -> End {
    while let Some(first) = queued.recv().await {
        let mut ready = Some(first);
        while let Some(bytes) = ready {
            let len = bytes.len();
            if sink.feed(Message::Binary(bytes)).await.is_err() {
                return End::Lost;
            }
            backlog.remove(len);
            ready = queued.try_recv().ok();
        }
        if sink.flush().await.is_err() {
            return End::Lost;
        }
    }
    let frame = closed.borrow().clone().unwrap_or_else(|| close_frame(CloseCode::Away.into(), ""));
    if sink.send(Message::Close(Some(frame))).await.is_err() {
        return End::Lost;
    }
    // The reader sees the answer.
    std::future::pending().await
}

/// Ends when the driver has let go of the link and the time for a goodbye is over.
async fn overdue(mut closed: watch::Receiver<Option<CloseFrame>>) -> End {
    while closed.changed().await.is_ok() {}
    sleep(CLOSE_GRACE).await;
    End::Lost
}

/// Brings the closing handshake to its end.
async fn part(end: End, mut sink: SplitSink<WebSocket, Message>, mut stream: SplitStream<WebSocket>) {
    match end {
        // Reading on sends the answer, and lets the server be the first to close the connection.
        End::Closed { .. } => while let Some(Ok(_)) = stream.next().await {},
        End::Refused(frame) => {
            if sink.send(Message::Close(Some(frame))).await.is_ok()
                && let Ok(socket) = sink.reunite(stream)
            {
                linger(socket.into_inner()).await;
            }
        }
        End::Lost => {}
    }
}

/// Reads away what the peer still sends: closing a socket with unread bytes resets the connection,
/// and the peer would never see why.
async fn linger(mut connection: Box<dyn Connection>) {
    if connection.shutdown().await.is_err() {
        return;
    }
    let mut discarded = [0; 4096];
    while matches!(connection.read(&mut discarded).await, Ok(len) if len > 0) {}
}

fn close_frame(code: u16, reason: &str) -> CloseFrame {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = &reason[..end];
    CloseFrame { code: code.into(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_cut_at_a_character() {
        assert_eq!(close_frame(1000, &"ä".repeat(100)).reason.len(), REASON_BYTES_MAX - 1);
        assert_eq!(close_frame(1000, "short").reason.as_str(), "short");
    }

    #[test]
    fn backlog_takes_its_limit_and_not_one_byte_more() {
        let backlog = Backlog { bytes: AtomicUsize::new(0), bytes_max: 10, unread_max: 5, shrunk: Notify::new() };
        assert!(backlog.add(10));
        assert!(!backlog.add(1));
        backlog.remove(1);
        assert!(backlog.add(1));
    }
}
