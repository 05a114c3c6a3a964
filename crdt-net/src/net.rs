//! What all socket tasks share: the way to the driver, the limits, and who may connect.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crdt_sync::LinkId;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::link::Arrival;
use crate::options::Options;
use crate::transport::Transport;

/// The WebSocket subprotocol that both ends must name.
pub(crate) const SUBPROTOCOL: &str = "crdt-sync.v1";

/// How long a connection may take to become a WebSocket.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Read and write buffer of a socket. tungstenite's default of 128 KiB each would cost an idle
/// connection 135 KiB instead of 7.
const BUFFER_BYTES: usize = 4 * 1024;

/// Room in the write buffer beyond one message: its header, and answers to pings.
const WRITE_SLACK_BYTES: usize = 8 * 1024;

/// What the driver and its socket tasks have in common.
#[derive(Debug)]
pub(crate) struct Net {
    /// Whatever arrives, in the order in which it did. Bounded: a busy driver slows peers down.
    pub(crate) arrivals: mpsc::Sender<Arrival>,
    /// Whether connections are accepted.
    pub(crate) online: watch::Receiver<bool>,
    /// Where connections come from.
    pub(crate) transport: Arc<dyn Transport>,
    /// Which web origins may open a link.
    pub(crate) allowed_origins: Vec<String>,
    /// The largest message taken.
    pub(crate) message_bytes_max: usize,
    /// How much data the endpoint may have on its way to one peer.
    pub(crate) in_flight_bytes_max: usize,
    link_next: AtomicU64,
}

impl Net {
    pub(crate) fn new(arrivals: mpsc::Sender<Arrival>, online: watch::Receiver<bool>, options: &Options) -> Self {
        Self {
            arrivals,
            online,
            transport: Arc::clone(&options.transport),
            allowed_origins: options.allowed_origins.clone(),
            message_bytes_max: options.sync.frame_bytes_limit(),
            in_flight_bytes_max: options.sync.in_flight_bytes_max,
            link_next: AtomicU64::new(1),
        }
    }

    /// Names a new link.
    pub(crate) fn next_link(&self) -> LinkId {
        LinkId(self.link_next.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns the limits of one socket.
    pub(crate) fn socket_config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            // A message is written through as soon as the buffer is over its target, so at most
            // one message stands in it while the socket takes nothing.
            .max_write_buffer_size(BUFFER_BYTES + self.message_bytes_max + WRITE_SLACK_BYTES)
            .max_message_size(Some(self.message_bytes_max))
            .max_frame_size(Some(self.message_bytes_max))
    }
}
