//! Bytes to frames. What comes out is checked as far as one frame can be; whether it has a place
//! in the conversation is for the session to say.

use crdt_core::codec::Reader;
use crdt_core::{COUNTER_MAX, DecodeError, Digest, Dot, Frontier, ReplicaId, Snapshot};

use super::{
    Authorship, FIELD_FORMER, FORMER_MAX, FRAME_BYTES_MIN, Frame, HELLO_BYTES_MAX, Hello, MAGIC, MARKS_MAX, Offer,
    PROTOCOL_VERSION, Rejection, ShortDelta, kind,
};
use crate::document_id::DocumentId;
use crate::event::Refusal;

/// A replica and the shortest varint.
const ACK_ENTRY_BYTES_MIN: usize = 16 + 1;

impl<'a> Frame<'a> {
    /// Reads one frame; all bytes must be used.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let tag = reader.u8("frame kind")?;
        let frame = match tag {
            kind::HELLO => return read_hello(reader),
            kind::OFFER => Self::Offer(read_offer(&mut reader)?),
            kind::DELTA => {
                let handle = read_handle(&mut reader)?;
                Self::Delta { handle, delta: ShortDelta::read(&mut reader)? }
            }
            kind::SNAPSHOT => {
                let handle = read_handle(&mut reader)?;
                Self::Snapshot { handle, snapshot: Snapshot::decode(take_rest(&mut reader)?)? }
            }
            kind::BEGIN => Self::Begin {
                length: reader.varint("length")?,
                hash: reader.u64("hash")?,
                bytes: take_rest(&mut reader)?,
            },
            kind::PART => Self::Part { bytes: take_rest(&mut reader)? },
            kind::ACK => read_ack(&mut reader)?,
            kind::CREDIT => Self::Credit { bytes: reader.varint("credit")? },
            kind::DIGEST => Self::Digest {
                handle: read_handle(&mut reader)?,
                frontier: reader.u64("frontier hash")?,
                digest: read_digest(&mut reader)?,
            },
            kind::REJECT => Self::Reject { handle: read_handle(&mut reader)?, rejection: read_rejection(&mut reader)? },
            kind::TRAIL => read_trail(&mut reader)?,
            kind::TWIN => Self::Twin { replica: reader.replica("replica")?, incarnation: reader.u64("incarnation")? },
            kind::PING => Self::Ping,
            kind::PONG => Self::Pong,
            tag if tag & kind::SKIPPABLE != 0 => return Ok(Self::Skipped),
            tag => return Err(DecodeError::Unknown { what: "frame kind", tag }),
        };
        reader.finish()?;
        Ok(frame)
    }

    /// Tells whether this is a kind that may travel in parts.
    pub(crate) fn may_be_in_parts(&self) -> bool {
        matches!(self, Self::Offer(_) | Self::Delta { .. } | Self::Snapshot { .. })
    }
}

fn read_hello<'a>(mut reader: Reader<'_>) -> Result<Frame<'a>, DecodeError> {
    if reader.bytes(MAGIC.len(), "magic")? != MAGIC {
        return Err(DecodeError::NotCanonical("magic"));
    }
    let min = reader.varint("version_min")?;
    let max = reader.varint("version_max")?;
    if min > PROTOCOL_VERSION || max < PROTOCOL_VERSION {
        return Ok(Frame::Foreign { min, max });
    }
    let mut hello = Hello {
        replica: reader.replica("replica")?,
        incarnation: reader.u64("incarnation")?,
        ordinal: reader.varint("ordinal")?,
        nonce: reader.u64("nonce")?,
        frame_bytes_max: reader.varint("frame_bytes_max")?,
        in_flight_bytes_max: reader.varint("in_flight_bytes_max")?,
        message_bytes_max: reader.varint("message_bytes_max")?,
        former: Vec::new(),
    };
    if hello.frame_bytes_max < FRAME_BYTES_MIN as u64 {
        return Err(DecodeError::Limit("frame_bytes_max"));
    }
    while !reader.rest().is_empty() {
        let tag = reader.varint("field tag")?;
        let field = reader.blob(HELLO_BYTES_MAX, "field")?;
        if tag == FIELD_FORMER {
            hello.former = read_former(field)?;
        }
    }
    Ok(Frame::Hello(hello))
}

fn read_former(field: &[u8]) -> Result<Vec<ReplicaId>, DecodeError> {
    const WHAT: &str = "former ids";
    if field.len() > FORMER_MAX * size_of::<ReplicaId>() {
        return Err(DecodeError::Limit(WHAT));
    }
    let mut reader = Reader::new(field);
    let mut former = Vec::with_capacity(field.len() / size_of::<ReplicaId>());
    while !reader.rest().is_empty() {
        former.push(reader.replica(WHAT)?);
    }
    Ok(former)
}

fn read_offer(reader: &mut Reader<'_>) -> Result<Offer, DecodeError> {
    let handle = read_handle(reader)?;
    let flags = reader.u8("flags")?;
    if flags > 1 {
        return Err(DecodeError::NotCanonical("flags"));
    }
    let name = reader.text(DocumentId::BYTES_MAX, "name")?;
    let name = DocumentId::new(name).map_err(|_| DecodeError::NotCanonical("name"))?;
    Ok(Offer { handle, again: flags == 1, name, frontier: Frontier::decode(reader)? })
}

fn read_ack<'a>(reader: &mut Reader<'_>) -> Result<Frame<'a>, DecodeError> {
    let handle = read_handle(reader)?;
    let credit = reader.varint("credit")?;
    let count = reader.count(ACK_ENTRY_BYTES_MIN, "acknowledgements")?;
    let mut counters: Vec<(ReplicaId, u64)> = Vec::with_capacity(count);
    for _ in 0..count {
        let dot = read_dot(reader)?;
        if counters.last().is_some_and(|(last, _)| *last >= dot.replica) {
            return Err(DecodeError::NotCanonical("acknowledgements"));
        }
        counters.push((dot.replica, dot.counter));
    }
    Ok(Frame::Ack { handle, credit, counters })
}

fn read_rejection(reader: &mut Reader<'_>) -> Result<Rejection, DecodeError> {
    Ok(match reader.u8("reason")? {
        1 => Rejection::IdentityConflict(read_dot(reader)?),
        2 => Rejection::Refused(Refusal::TooManyDocuments),
        3 => Rejection::Refused(Refusal::TooManyReplicas),
        4 => Rejection::Refused(Refusal::TooLarge),
        tag => return Err(DecodeError::Unknown { what: "reason", tag }),
    })
}

fn read_trail<'a>(reader: &mut Reader<'_>) -> Result<Frame<'a>, DecodeError> {
    const WHAT: &str = "a trail";
    let (handle, replica) = (read_handle(reader)?, reader.replica(WHAT)?);
    let counter = |reader: &mut Reader<'_>| reader.varint_max(COUNTER_MAX, WHAT);
    let authorship = match reader.u8(WHAT)? {
        0 => None,
        1 => Some(Authorship { opened: counter(reader)?, spread: counter(reader)? }),
        tag => return Err(DecodeError::Unknown { what: WHAT, tag }),
    };
    let count = reader.count(9, WHAT)?;
    if count > MARKS_MAX {
        return Err(DecodeError::Limit(WHAT));
    }
    let mut marks: Vec<(u64, u64)> = Vec::with_capacity(count);
    for _ in 0..count {
        let mark = (counter(reader)?, reader.u64(WHAT)?);
        if marks.last().is_some_and(|(last, _)| *last >= mark.0) {
            return Err(DecodeError::NotCanonical(WHAT));
        }
        marks.push(mark);
    }
    Ok(Frame::Trail { handle, replica, authorship, marks })
}

fn read_dot(reader: &mut Reader<'_>) -> Result<Dot, DecodeError> {
    let replica = reader.replica("replica")?;
    match reader.varint_max(COUNTER_MAX, "counter")? {
        0 => Err(DecodeError::NotCanonical("counter")),
        counter => Ok(Dot::new(replica, counter)),
    }
}

fn read_digest(reader: &mut Reader<'_>) -> Result<Digest, DecodeError> {
    let low = reader.u64("digest")?;
    let high = reader.u64("digest")?;
    Ok(Digest(u128::from(high) << 64 | u128::from(low)))
}

fn read_handle(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let handle = reader.varint_max(u64::from(u32::MAX), "handle")?;
    u32::try_from(handle).map_err(|_| DecodeError::Limit("handle"))
}

pub(super) fn take_rest<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    reader.bytes(reader.rest().len(), "rest")
}
