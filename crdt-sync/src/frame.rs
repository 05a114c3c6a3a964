//! The frames: every message that crosses a link, byte for byte.
//!
//! One frame is one binary message of the transport. Integers are LEB128 varints unless a width is
//! given; `u64` and `u128` are little-endian; a *blob* is a varint length and that many bytes; a
//! *text* is a blob of UTF-8; a *replica* is its 16 bytes. The encodings of deltas, snapshots and
//! frontiers are those of `crdt-core`. *rest* runs to the end of the frame.
//!
//! The first byte is the kind. A receiver skips a kind that it does not know if bit 7 is set
//! (`0x80..=0xff`), and closes the link otherwise: what must be understood has bit 7 clear.
//!
//! | kind | name | body | class |
//! |---|---|---|---|
//! | `01` | Hello | magic `63 72 64 74` ("crdt") · version_min varint · version_max varint · replica · incarnation u64 · ordinal varint · nonce u64 · frame_bytes_max varint · in_flight_bytes_max varint · message_bytes_max varint · fields: any number of (tag varint, blob) | control |
//! | `02` | Offer | handle varint · flags u8 (bit 0: *again*; others 0) · name text (1 to 1024) · frontier | data |
//! | `03` | Delta | handle varint · names × 8 + form varint · names × name · for forms 0 and 2: chain hash u64 · for forms 2 and 3: salt u64 · what stands behind the table of the delta (rest) | data |
//! | `04` | Snapshot | handle varint · snapshot (rest) | data |
//! | `05` | Begin | length varint · hash u64 · first bytes (rest) | data |
//! | `06` | Part | more bytes (rest) | data |
//! | `07` | Ack | handle varint · credit varint · count varint · count × (replica, counter varint), ascending by replica | control |
//! | `08` | Credit | bytes varint | control |
//! | `09` | Digest | handle varint · frontier hash u64 · digest u128 | control |
//! | `0a` | Reject | handle varint · reason u8 · for reason 1: replica, counter varint | control |
//! | `0b` | Ping | (empty) | control |
//! | `0c` | Pong | (empty) | control |
//! | `0d` | Trail | handle varint · replica · 0, or 1 · opened varint · spread varint · count varint · count × (counter varint, chain hash u64), ascending by counter | control |
//! | `0e` | Twin | replica · incarnation u64 | control |
//!
//! **Hello** is the first frame each way, at most 4 KiB. The magic and the versions keep their place
//! in every version of the protocol; what follows is as in the highest version that both speak.
//! *incarnation* is fixed while a process lives and differs between processes; *ordinal* counts the
//! links of a process; *nonce* is fresh for each link. Fields with unknown tags are skipped; field 1 holds
//! ids under which the sender has written before, 16 bytes each, at most 64. *frame_bytes_max* is at least 4,096. Both ends use the smaller of the two values of each of the first two limits, and
//! never send a message longer than the other's *message_bytes_max*.
//!
//! **Handles** number the sender's documents for as long as the link lives, at most 2³² − 1. Offer, Delta, Snapshot,
//! Ack and Digest carry the handle of the *sender*; Reject carries the handle of its *receiver*, because
//! it may answer an offer to which no own offer was made.
//!
//! **Offer** says: I have this document, durably at this frontier. A later one with the same handle
//! updates it. With *again* the receiver repeats its own offer, if it has made one before.
//! Delta and Snapshot of a document come behind the offers of both ends.
//!
//! **Delta** has *names* where an encoded delta has its table of replicas, and a form where that has its tag: 0 or 1 for tag 1
//! (one transaction), 2 or 3 for tag 4 (one with a salt), 4 for tag 2 (several). If it is odd, the chain hash before
//! the transaction is left out: it is 0 for the first, else that at which the last delta in the document ended on this
//! link; that was of the same replica alone, through the counter before. A name is a varint *v*, at most 32,768: 0, and
//! a replica follows; 2n + 1, the replica that the sender has given the number n; 2n + 2, and a replica follows that
//! has the number n from now on. 0 is the sender itself; each end gives the numbers 1, 2, … in turn, and may give one
//! again to the same replica.
//!
//! **Begin** and **Part** carry one frame of kind Offer, Delta or Snapshot that is too long for one
//! message, its kind byte included: *length* bytes whose XXH3-64 (seed 0) is *hash*. One at a time each
//! way; other frames may come in between. The last part ends exactly at *length*.
//!
//! **Data** frames are sent against credit: the whole length of each counts as in flight until the
//! receiver returns as much with *credit* in an Ack or *bytes* in a Credit. At most
//! in_flight_bytes_max may be in flight, or one frame. Control frames are outside credit.
//!
//! **Ack** says: I hold these counters of these replicas, and all lower ones, durably. Only those
//! that were received on this link since the last Ack are listed.
//!
//! **Digest** is compared if the receiver stands at the same frontier hash, and dropped otherwise.
//!
//! **Reject** ends one document on this link. Reasons: 1 identity conflict at a dot, 2 too many
//! documents, 3 too many replicas, 4 too large.
//!
//! **Trail** follows a Reject for reason 1, both ways, under the handle of its receiver: what its sender knows
//! of the history of the replica in question, at most 256 marks; and its [`Authorship`], if it goes by that id, or went
//! by it and has not settled what of it is its own. A writer whose id was used twice finds in it where the two
//! histories part.
//!
//! **Twin** tells a process whose link is refused for its id that another process goes by this id and lives: the one of this
//! incarnation.

mod decode;
mod encode;
mod short_delta;

use std::fmt;

use crdt_core::{Digest, Dot, Frontier, ReplicaId, Snapshot};

use crate::document_id::DocumentId;
use crate::event::Refusal;

pub(crate) use encode::{ack, begin, credit, digest, hello, offer, part, ping, pong, reject, snapshot, trail, twin};
pub(crate) use short_delta::{Lead, Name, ShortDelta, delta};

/// The protocol version that this crate speaks, and the only one.
pub(crate) const PROTOCOL_VERSION: u64 = 1;

/// The longest first message of a peer.
pub(crate) const HELLO_BYTES_MAX: usize = 4 << 10;

/// The least frame limit that a peer may state: below it, a name and an acknowledgement do not fit.
pub(crate) const FRAME_BYTES_MIN: usize = 4 << 10;

/// What a Begin or Part frame, or an Ack without entries, needs beyond its payload.
pub(crate) const OVERHEAD_BYTES_MAX: usize = 64;

/// The longest entry of an Ack: a replica and a counter.
pub(crate) const ACK_ENTRY_BYTES_MAX: usize = 16 + 7;

/// The most marks in a Trail.
pub(crate) const MARKS_MAX: usize = 256;

/// The field of a Hello that holds former ids.
const FIELD_FORMER: u64 = 1;

/// The most former ids in a Hello.
pub(crate) const FORMER_MAX: usize = 64;

const MAGIC: &[u8; 4] = b"crdt";

/// The first byte of each frame.
mod kind {
    pub(super) const HELLO: u8 = 0x01;
    pub(super) const OFFER: u8 = 0x02;
    pub(super) const DELTA: u8 = 0x03;
    pub(super) const SNAPSHOT: u8 = 0x04;
    pub(super) const BEGIN: u8 = 0x05;
    pub(super) const PART: u8 = 0x06;
    pub(super) const ACK: u8 = 0x07;
    pub(super) const CREDIT: u8 = 0x08;
    pub(super) const DIGEST: u8 = 0x09;
    pub(super) const REJECT: u8 = 0x0a;
    pub(super) const PING: u8 = 0x0b;
    pub(super) const PONG: u8 = 0x0c;
    pub(super) const TRAIL: u8 = 0x0d;
    pub(super) const TWIN: u8 = 0x0e;
    /// Kinds with this bit may be skipped by those who do not know them.
    pub(super) const SKIPPABLE: u8 = 0x80;
}

/// One frame, checked.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame<'a> {
    Hello(Hello),
    /// A hello of a peer with which there is no common protocol version.
    Foreign {
        min: u64,
        max: u64,
    },
    Offer(Offer),
    Delta {
        handle: u32,
        delta: ShortDelta<'a>,
    },
    Snapshot {
        handle: u32,
        snapshot: Snapshot,
    },
    Begin {
        length: u64,
        hash: u64,
        bytes: &'a [u8],
    },
    Part {
        bytes: &'a [u8],
    },
    Ack {
        handle: u32,
        credit: u64,
        counters: Vec<(ReplicaId, u64)>,
    },
    Credit {
        bytes: u64,
    },
    Digest {
        handle: u32,
        frontier: u64,
        digest: Digest,
    },
    Reject {
        handle: u32,
        rejection: Rejection,
    },
    Trail {
        handle: u32,
        replica: ReplicaId,
        authorship: Option<Authorship>,
        marks: Vec<(u64, u64)>,
    },
    Twin {
        replica: ReplicaId,
        incarnation: u64,
    },
    Ping,
    Pong,
    /// A kind that this version does not know and may skip.
    Skipped,
}

/// Who is at the other end, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) replica: ReplicaId,
    pub(crate) incarnation: u64,
    pub(crate) ordinal: u64,
    pub(crate) nonce: u64,
    pub(crate) frame_bytes_max: u64,
    pub(crate) in_flight_bytes_max: u64,
    pub(crate) message_bytes_max: u64,
    /// Ids under which it has written before, the latest [`FORMER_MAX`] of them.
    pub(crate) former: Vec<ReplicaId>,
}

/// A document at a durable frontier.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offer {
    pub(crate) handle: u32,
    pub(crate) again: bool,
    pub(crate) name: DocumentId,
    pub(crate) frontier: Frontier,
}

/// What the sender of a Trail has itself to do with the id in question, by which it goes, or went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Authorship {
    /// How many transactions were in when its process opened the document under this id; 0 if it was opened under
    /// another.
    pub opened: u64,
    /// Through which counter others may hold what is its own: what was in when the document was opened has been sent by
    /// whomever.
    pub spread: u64,
}

/// Why a document ends on a link, as a Reject frame says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// Two writers have used one identity: they have both spent this dot, or one has claimed a dot of
    /// the other's that it never spent.
    IdentityConflict(Dot),
    /// One end cannot take the document.
    Refused(Refusal),
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdentityConflict(dot) => write!(f, "identity conflict at {dot}"),
            Self::Refused(Refusal::TooManyDocuments) => f.write_str("too many documents"),
            Self::Refused(Refusal::TooManyReplicas) => f.write_str("too many replicas"),
            Self::Refused(Refusal::TooLarge) => f.write_str("the document is too large"),
        }
    }
}

#[cfg(test)]
mod tests;
