//! Frames to bytes. Each function makes one whole message; none can fail.

use crdt_core::codec::Encode;
use crdt_core::{Digest, Frontier, ReplicaId, Snapshot};

use super::{Authorship, FIELD_FORMER, Hello, MAGIC, PROTOCOL_VERSION, Rejection, kind};
use crate::document_id::DocumentId;
use crate::event::Refusal;

pub(crate) fn hello(hello: &Hello) -> Vec<u8> {
    let mut out = vec![kind::HELLO];
    out.put_bytes(MAGIC);
    out.put_varint(PROTOCOL_VERSION);
    out.put_varint(PROTOCOL_VERSION);
    out.put_replica(hello.replica);
    out.put_u64(hello.incarnation);
    out.put_varint(hello.ordinal);
    out.put_u64(hello.nonce);
    out.put_varint(hello.frame_bytes_max);
    out.put_varint(hello.in_flight_bytes_max);
    out.put_varint(hello.message_bytes_max);
    if !hello.former.is_empty() {
        out.put_varint(FIELD_FORMER);
        out.put_blob(&hello.former.iter().flat_map(|former| former.to_bytes()).collect::<Vec<u8>>());
    }
    out
}

/// `again` asks the receiver to repeat its own offer.
pub(crate) fn offer(handle: u32, again: bool, name: &DocumentId, frontier: &Frontier) -> Vec<u8> {
    let mut out = with_handle(kind::OFFER, handle);
    out.put_u8(u8::from(again));
    out.put_blob(name.as_str().as_bytes());
    frontier.encode(&mut out);
    out
}

pub(crate) fn snapshot(handle: u32, snapshot: &Snapshot) -> Vec<u8> {
    let mut out = with_handle(kind::SNAPSHOT, handle);
    out.put_bytes(&snapshot.encode());
    out
}

pub(crate) fn begin(length: u64, hash: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![kind::BEGIN];
    out.put_varint(length);
    out.put_u64(hash);
    out.put_bytes(bytes);
    out
}

pub(crate) fn part(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![kind::PART];
    out.put_bytes(bytes);
    out
}

/// `counters` ascend by replica.
pub(crate) fn ack(handle: u32, credit: u64, counters: &[(ReplicaId, u64)]) -> Vec<u8> {
    let mut out = with_handle(kind::ACK, handle);
    out.put_varint(credit);
    out.put_varint(counters.len() as u64);
    for (replica, counter) in counters {
        out.put_replica(*replica);
        out.put_varint(*counter);
    }
    out
}

pub(crate) fn credit(bytes: u64) -> Vec<u8> {
    let mut out = vec![kind::CREDIT];
    out.put_varint(bytes);
    out
}

pub(crate) fn digest(handle: u32, frontier: u64, digest: Digest) -> Vec<u8> {
    let mut out = with_handle(kind::DIGEST, handle);
    out.put_u64(frontier);
    out.put_bytes(&digest.0.to_le_bytes());
    out
}

pub(crate) fn reject(handle: u32, rejection: Rejection) -> Vec<u8> {
    let mut out = with_handle(kind::REJECT, handle);
    match rejection {
        Rejection::IdentityConflict(dot) => {
            out.put_u8(1);
            out.put_replica(dot.replica);
            out.put_varint(dot.counter);
        }
        Rejection::Refused(Refusal::TooManyDocuments) => out.put_u8(2),
        Rejection::Refused(Refusal::TooManyReplicas) => out.put_u8(3),
        Rejection::Refused(Refusal::TooLarge) => out.put_u8(4),
    }
    out
}

/// `marks` ascend by counter; at most [`MARKS_MAX`](super::MARKS_MAX).
pub(crate) fn trail(handle: u32, replica: ReplicaId, authorship: Option<Authorship>, marks: &[(u64, u64)]) -> Vec<u8> {
    let mut out = with_handle(kind::TRAIL, handle);
    out.put_replica(replica);
    out.put_u8(authorship.is_some().into());
    if let Some(Authorship { opened, spread }) = authorship {
        out.put_varint(opened);
        out.put_varint(spread);
    }
    out.put_varint(marks.len() as u64);
    for (counter, chain) in marks {
        out.put_varint(*counter);
        out.put_u64(*chain);
    }
    out
}

pub(crate) fn twin(replica: ReplicaId, incarnation: u64) -> Vec<u8> {
    let mut out = vec![kind::TWIN];
    out.put_replica(replica);
    out.put_u64(incarnation);
    out
}

pub(crate) fn ping() -> Vec<u8> {
    vec![kind::PING]
}

pub(crate) fn pong() -> Vec<u8> {
    vec![kind::PONG]
}

pub(super) fn with_handle(kind: u8, handle: u32) -> Vec<u8> {
    let mut out = vec![kind];
    out.put_varint(u64::from(handle));
    out
}
