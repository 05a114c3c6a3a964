//! What one message on a link says, for people and tools that look at the wire.
//!
//! [`FrameReader`](crate::FrameReader) makes it.

use std::fmt;

use crdt_core::{Digest, DotRange, ReplicaId, VersionVector};

use crate::document_id::DocumentId;
use crate::frame::{Authorship, Hello, Rejection};

/// One message on a link: its kind, and what it says about documents and links; not their content.
///
/// For traces, tests and tools: what a [`FrameReader`](crate::FrameReader) has read. Shown as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameSummary {
    /// Who the sender is and what it takes; the first message each way.
    Hello {
        /// The sender.
        replica: ReplicaId,
        /// Tells its process apart from others.
        incarnation: u64,
        /// The how-manieth link of its process this is.
        ordinal: u64,
        /// A number of the link.
        nonce: u64,
        /// The longest message that it takes.
        frame_bytes_max: u64,
        /// How many bytes of data it takes without having returned credit for them.
        in_flight_bytes_max: u64,
        /// The longest message in parts that it takes.
        message_bytes_max: u64,
    },
    /// A hello of a peer that speaks only other versions of the protocol. Nothing else of it can be read.
    Foreign {
        /// The lowest version that it speaks.
        min: u64,
        /// The highest version that it speaks.
        max: u64,
    },
    /// The sender has this document, durably, at this version.
    Offer {
        /// The sender's number for it.
        handle: u32,
        /// The receiver is asked to repeat its own offer.
        again: bool,
        /// Its name.
        name: DocumentId,
        /// Where it stands. The frame also holds the chain hashes.
        version: VersionVector,
    },
    /// One transaction, or several coalesced.
    Delta {
        /// The sender's number for the document.
        handle: u32,
        /// Which transactions, by replica.
        ranges: Vec<DotRange>,
        /// The length of the frame.
        bytes: usize,
    },
    /// A whole document.
    Snapshot {
        /// The sender's number for the document.
        handle: u32,
        /// Where it stands.
        version: VersionVector,
        /// The length of the frame.
        bytes: usize,
    },
    /// The first part of a frame that is too long for one message.
    Begin {
        /// The length of the frame.
        length: u64,
        /// How much of it is in this message.
        bytes: usize,
    },
    /// A later part.
    Part {
        /// How much of the frame is in this message.
        bytes: usize,
    },
    /// The sender holds these transactions, and all before them, durably.
    Ack {
        /// The sender's number for the document.
        handle: u32,
        /// How many bytes of data are in flight no more.
        credit: u64,
        /// The highest counter by replica, in replica order.
        counters: Vec<(ReplicaId, u64)>,
    },
    /// So many bytes of data are in flight no more.
    Credit {
        /// How many.
        bytes: u64,
    },
    /// What the content of a document comes to at a frontier.
    Digest {
        /// The sender's number for the document.
        handle: u32,
        /// The hash of the frontier.
        frontier: u64,
        /// The digest of the content.
        digest: Digest,
    },
    /// A document ends on this link.
    Reject {
        /// The *receiver's* number for the document.
        handle: u32,
        /// Why.
        reason: Rejection,
    },
    /// What its sender knows of the history of a replica whose id was used twice.
    Trail {
        /// The *receiver's* number for the document.
        handle: u32,
        /// Whose history.
        replica: ReplicaId,
        /// What its sender has written of it.
        authorship: Option<Authorship>,
        /// (counter, chain hash), ascending.
        marks: Vec<(u64, u64)>,
    },
    /// Another process lives under the receiver's id.
    Twin {
        /// The id.
        replica: ReplicaId,
        /// Which process.
        incarnation: u64,
    },
    /// A question for a sign of life.
    Ping,
    /// The answer to it.
    Pong,
    /// A kind that this version does not know, and that a receiver skips.
    Skipped {
        /// The first byte of the message.
        kind: u8,
    },
}

impl FrameSummary {
    /// Tells whether it counts against credit: then the whole message does.
    #[must_use]
    pub fn is_data(&self) -> bool {
        matches!(
            self,
            Self::Offer { .. } | Self::Delta { .. } | Self::Snapshot { .. } | Self::Begin { .. } | Self::Part { .. }
        )
    }

    pub(crate) fn of_hello(hello: &Hello) -> Self {
        Self::Hello {
            replica: hello.replica,
            incarnation: hello.incarnation,
            ordinal: hello.ordinal,
            nonce: hello.nonce,
            frame_bytes_max: hello.frame_bytes_max,
            in_flight_bytes_max: hello.in_flight_bytes_max,
            message_bytes_max: hello.message_bytes_max,
        }
    }
}

impl fmt::Display for FrameSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello { replica, incarnation, ordinal, nonce, .. } => {
                write!(f, "Hello {replica}, link {ordinal} of incarnation {incarnation:x}, nonce {nonce:x}")
            }
            Self::Foreign { min, max } => write!(f, "Hello of versions {min} to {max}"),
            Self::Offer { handle, again, name, version } => {
                let again = if *again { ", again" } else { "" };
                write!(f, "Offer #{handle} {name:?} at {}{again}", listed(version.iter()))
            }
            Self::Delta { handle, ranges, .. } => write!(f, "Delta #{handle} {}", ranges_of(ranges)),
            Self::Snapshot { handle, version, .. } => write!(f, "Snapshot #{handle} at {}", listed(version.iter())),
            Self::Begin { length, bytes } => write!(f, "Begin {bytes} of {length} bytes"),
            Self::Part { bytes } => write!(f, "Part {bytes} bytes"),
            Self::Ack { handle, credit, counters } => {
                write!(f, "Ack #{handle} {}, credit {credit}", listed(counters.iter().copied()))
            }
            Self::Credit { bytes } => write!(f, "Credit {bytes}"),
            Self::Digest { handle, frontier, digest } => {
                write!(f, "Digest #{handle} {digest} at frontier {frontier:016x}")
            }
            Self::Reject { handle, reason } => write!(f, "Reject #{handle}: {reason}"),
            Self::Trail { handle, replica, authorship, marks } => {
                let counters: Vec<String> = marks.iter().map(|(counter, _)| counter.to_string()).collect();
                write!(f, "Trail #{handle} of {replica} at {}", counters.join(", "))?;
                match authorship {
                    Some(Authorship { opened, spread }) => write!(f, ", opened at {opened}, sent through {spread}"),
                    None => Ok(()),
                }
            }
            Self::Twin { replica, incarnation } => write!(f, "Twin {replica} of incarnation {incarnation:x}"),
            Self::Ping => f.write_str("Ping"),
            Self::Pong => f.write_str("Pong"),
            Self::Skipped { kind } => write!(f, "unknown kind {kind:02x}, to be skipped"),
        }
    }
}

/// Shows the highest counters by replica: `{A: 5, B: 1}`.
fn listed(counters: impl Iterator<Item = (ReplicaId, u64)>) -> String {
    braced(counters.map(|(replica, counter)| format!("{replica}: {counter}")))
}

/// Shows ranges of counters by replica: `{A: 5, B: 1..3}`.
fn ranges_of(ranges: &[DotRange]) -> String {
    braced(ranges.iter().map(|range| match range.after + 1 {
        first if first == range.through => format!("{}: {first}", range.replica),
        first => format!("{}: {first}..{}", range.replica, range.through),
    }))
}

fn braced(entries: impl Iterator<Item = String>) -> String {
    format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use crdt_core::{Delta, Document, Dot};

    use super::*;
    use crate::event::Refusal;
    use crate::frame;
    use crate::frame_reader::FrameReader;
    use crate::shorthand::Spoken;

    const A: ReplicaId = ReplicaId::from_u128(1);
    const B: ReplicaId = ReplicaId::from_u128(2);

    fn line(bytes: &[u8]) -> String {
        let line = FrameReader::default().read(bytes).unwrap().to_string();
        line.replace(&A.to_string(), "A").replace(&B.to_string(), "B")
    }

    fn secret() -> Document {
        let mut document = Document::new(A);
        let mut transaction = document.transact(0);
        transaction.register("pin").set("4711").unwrap();
        let _ = transaction.commit();
        document
    }

    #[test]
    fn a_line_tells_the_place_in_the_conversation() {
        let document = secret();
        let name = DocumentId::new("cart").unwrap();
        let conflict = Rejection::IdentityConflict(Dot::new(B, 9));
        assert_eq!(line(&frame::offer(3, true, &name, &document.frontier())), r#"Offer #3 "cart" at {A: 1}, again"#);
        assert_eq!(line(&frame::ack(3, 60, &[(A, 1), (B, 7)])), "Ack #3 {A: 1, B: 7}, credit 60");
        assert_eq!(line(&frame::begin(5_000, 0, &[7; 100])), "Begin 100 of 5000 bytes");
        assert_eq!(line(&frame::reject(3, conflict)), "Reject #3: identity conflict at B@9");
        let too_large = Rejection::Refused(Refusal::TooLarge);
        assert_eq!(line(&frame::reject(3, too_large)), "Reject #3: the document is too large");
        assert_eq!(line(&[0x90, 1, 2]), "unknown kind 90, to be skipped");
    }

    #[test]
    fn a_line_shows_which_transactions_and_nothing_that_users_wrote() {
        let (mut document, mut deltas) = (secret(), Vec::new());
        for _ in 0..2 {
            let mut transaction = document.transact(0);
            transaction.register("pin").set("0815").unwrap();
            deltas.push(transaction.commit().unwrap().delta);
        }
        let mut both = deltas[0].clone();
        both.coalesce(&deltas[1]).unwrap();
        // What goes in parts names all replicas in full, as nobody has said hello here.
        let frame = |delta: &Delta| Spoken::new(B).delta(0, delta, &delta.to_bytes(), 0).0;
        assert_eq!(line(&frame(&deltas[1])), "Delta #0 {A: 3}");
        assert_eq!(line(&frame(&both)), "Delta #0 {A: 2..3}");
        assert_eq!(line(&frame::snapshot(0, &document.snapshot())), "Snapshot #0 at {A: 3}");
        for bytes in [frame(&both), frame::snapshot(0, &document.snapshot())] {
            let shown = format!("{:?}", FrameReader::default().read(&bytes).unwrap());
            assert!(!shown.contains("pin") && !shown.contains("0815"), "{shown}");
        }
    }
}
