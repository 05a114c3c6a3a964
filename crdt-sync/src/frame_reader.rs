//! Reads along on a link, for traces, tests and tools.
//!
//! How can a trace show frames without a second grammar that drifts from the first? It does not
//! read bytes: it takes what the endpoint's own decoder made of them, and leaves out the content of
//! documents. So whatever an endpoint would refuse is refused here with the same error, and nothing
//! that users have written gets into a log by way of it. (Names of documents do.)
//!
//! Deliberately absent: frames that travel in parts, which are the business of whoever has seen all
//! parts: their bytes, put together, are a frame.

use crate::close::CloseReason;
use crate::frame::{Frame, Offer};
use crate::frame_summary::FrameSummary;
use crate::shorthand::Heard;

/// Reads what one end of a link says, from its hello on: a frame may build on those before it.
///
/// ```
/// use crdt_core::ReplicaId;
/// use crdt_sync::{Config, Endpoint, FrameReader, FrameSummary, Input, LinkId, Now, Output};
///
/// let mut endpoint = Endpoint::new(ReplicaId::from_u128(1), 5, Config::default());
/// endpoint.handle(Now::default(), Input::LinkUp { link: LinkId(1), nonce: 7 });
/// let Some(Output::Transmit { bytes, .. }) = endpoint.poll_output() else { panic!("a hello comes first") };
///
/// let mut reader = FrameReader::default();
/// let hello = reader.read(&bytes)?;
/// assert!(matches!(hello, FrameSummary::Hello { ordinal: 1, nonce: 7, .. }));
/// assert!(!hello.is_data());
/// assert_eq!(reader.read(&[0x0b])?.to_string(), "Ping");
/// assert!(reader.read(&[0x0b, 0]).is_err());
/// # Ok::<(), crdt_sync::CloseReason>(())
/// ```
#[derive(Debug, Default)]
pub struct FrameReader {
    heard: Heard,
}

impl FrameReader {
    /// Reads the next message, as an endpoint does.
    ///
    /// Cost: that of decoding all of it, a snapshot included, in time and in memory: meant for looking,
    /// not for the path of every message in production.
    ///
    /// # Errors
    /// What an endpoint would close the link for: the bytes are no frame, hold a delta or snapshot that is none, or
    /// build on what was not said.
    pub fn read(&mut self, bytes: &[u8]) -> Result<FrameSummary, CloseReason> {
        Ok(match Frame::decode(bytes).map_err(CloseReason::Malformed)? {
            Frame::Hello(hello) => {
                self.heard.greeted(hello.replica);
                FrameSummary::of_hello(&hello)
            }
            Frame::Foreign { min, max } => FrameSummary::Foreign { min, max },
            Frame::Offer(Offer { handle, again, name, frontier }) => {
                FrameSummary::Offer { handle, again, name, version: frontier.version() }
            }
            Frame::Delta { handle, delta } => {
                let ranges = self.heard.delta(handle, &delta)?.ranges().collect();
                FrameSummary::Delta { handle, ranges, bytes: bytes.len() }
            }
            Frame::Snapshot { handle, snapshot } => {
                FrameSummary::Snapshot { handle, version: snapshot.version(), bytes: bytes.len() }
            }
            Frame::Begin { length, bytes, .. } => FrameSummary::Begin { length, bytes: bytes.len() },
            Frame::Part { bytes } => FrameSummary::Part { bytes: bytes.len() },
            Frame::Ack { handle, credit, counters } => FrameSummary::Ack { handle, credit, counters },
            Frame::Credit { bytes } => FrameSummary::Credit { bytes },
            Frame::Digest { handle, frontier, digest } => FrameSummary::Digest { handle, frontier, digest },
            Frame::Reject { handle, rejection } => FrameSummary::Reject { handle, reason: rejection },
            Frame::Trail { handle, replica, authorship, marks } => {
                FrameSummary::Trail { handle, replica, authorship, marks }
            }
            Frame::Twin { replica, incarnation } => FrameSummary::Twin { replica, incarnation },
            Frame::Ping => FrameSummary::Ping,
            Frame::Pong => FrameSummary::Pong,
            Frame::Skipped => FrameSummary::Skipped { kind: bytes.first().copied().unwrap_or_default() },
        })
    }
}
