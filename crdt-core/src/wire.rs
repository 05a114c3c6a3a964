//! How keys, values and replica tables look in bytes; shared by deltas and snapshots.
//!
//! Byte for byte in docs/protocol.md. Each has one form only: what no encoder writes is refused.

use smallvec::SmallVec;

use crate::codec::{DecodeError, Encode, Reader};
use crate::id::{COUNTER_MAX, Dot, ReplicaId};
use crate::limits::{KEY_BYTES_MAX, REPLICAS_MAX, VALUE_BYTES_MAX};
use crate::path::{Key, KeyRef, Kind};
use crate::value::{Float, Value, ValueRef};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;
const BYTES: u8 = 6;
/// Text of 0 to 239 bytes: one byte for both the kind and the length.
const SHORT_TEXT: u8 = 16;
const SHORT_TEXT_MAX: usize = (u8::MAX - SHORT_TEXT) as usize;

/// The number a kind has in bytes and in path hashes.
pub(crate) const fn kind_tag(kind: Kind) -> u8 {
    match kind {
        Kind::Map => 1,
        Kind::Set => 2,
        Kind::Register => 3,
        Kind::Counter => 4,
    }
}

pub(crate) fn put_key(out: &mut Vec<u8>, key: &Key) {
    out.put_u8(kind_tag(key.kind));
    out.put_blob(key.name.as_bytes());
}

#[inline]
pub(crate) fn key<'b>(reader: &mut Reader<'b>) -> Result<KeyRef<'b>, DecodeError> {
    let kind = match reader.u8("a key's kind")? {
        1 => Kind::Map,
        2 => Kind::Set,
        3 => Kind::Register,
        4 => Kind::Counter,
        tag => {
            return Err(DecodeError::Unknown { what: "kind of data", tag });
        }
    };
    Ok(KeyRef { name: reader.text(KEY_BYTES_MAX, "a key's name")?, kind })
}

pub(crate) fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.put_u8(NULL),
        Value::Bool(false) => out.put_u8(FALSE),
        Value::Bool(true) => out.put_u8(TRUE),
        Value::Int(number) => {
            out.put_u8(INT);
            out.put_signed(*number);
        }
        Value::Float(number) => {
            out.put_u8(FLOAT);
            out.put_u64(number.to_bits());
        }
        Value::Text(text) if text.len() <= SHORT_TEXT_MAX => {
            out.put_u8(SHORT_TEXT + text.len() as u8);
            out.put_bytes(text.as_bytes());
        }
        Value::Text(text) => {
            out.put_u8(TEXT);
            out.put_blob(text.as_bytes());
        }
        Value::Bytes(bytes) => {
            out.put_u8(BYTES);
            out.put_blob(bytes);
        }
    }
}

#[inline]
pub(crate) fn value<'b>(reader: &mut Reader<'b>) -> Result<ValueRef<'b>, DecodeError> {
    Ok(match reader.u8("a value")? {
        short if short >= SHORT_TEXT => {
            let bytes = reader.bytes(usize::from(short - SHORT_TEXT), "a text value")?;
            let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8("a text value"))?;
            ValueRef::Text(text)
        }
        NULL => ValueRef::Null,
        FALSE => ValueRef::False,
        TRUE => ValueRef::True,
        INT => ValueRef::Int(reader.signed("a whole number")?),
        FLOAT => {
            let bits = reader.u64("a float")?;
            let float = Float::from(f64::from_bits(bits));
            if float.to_bits() != bits {
                return Err(DecodeError::NotCanonical("a float"));
            }
            ValueRef::Float(float)
        }
        TEXT => {
            let text = reader.text(VALUE_BYTES_MAX, "a text value")?;
            if text.len() <= SHORT_TEXT_MAX {
                return Err(DecodeError::NotCanonical("a text value"));
            }
            ValueRef::Text(text)
        }
        BYTES => ValueRef::Bytes(reader.blob(VALUE_BYTES_MAX, "a bytes value")?),
        tag => {
            return Err(DecodeError::Unknown { what: "kind of value", tag });
        }
    })
}

/// Writes a replica table: ascending ids, to which indices refer from then on.
pub(crate) fn put_replicas(out: &mut Vec<u8>, replicas: &[ReplicaId]) {
    out.put_varint(replicas.len() as u64);
    replicas.iter().for_each(|replica| out.put_replica(*replica));
}

/// A replica table as read, which notes what is referred to: a table with an idle entry would be a
/// second way to write the same content.
pub(crate) struct ReplicaTable<'b> {
    ids: &'b [[u8; 16]],
    /// By index: `None` until it is referred to; then the highest counter superseded, 0 if none is.
    uses: SmallVec<[Option<u64>; 2]>,
}

impl<'b> ReplicaTable<'b> {
    /// Reads a table. Allocates as much as it takes in the bytes.
    pub(crate) fn read(reader: &mut Reader<'b>) -> Result<Self, DecodeError> {
        const WHAT: &str = "a replica table";
        let count = reader.count(16, WHAT)?;
        if count > REPLICAS_MAX {
            return Err(DecodeError::Limit(WHAT));
        }
        let (ids, _) = reader.bytes(count * 16, WHAT)?.as_chunks();
        if !ids.is_sorted_by(|last, next| last < next) {
            return Err(DecodeError::NotCanonical(WHAT));
        }
        Ok(Self { ids, uses: SmallVec::from_elem(None, count) })
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Reads an index and returns the replica at it.
    pub(crate) fn replica(&mut self, reader: &mut Reader<'_>) -> Result<ReplicaId, DecodeError> {
        self.used(reader).map(|(id, _)| id)
    }

    /// Reads a dot that is superseded.
    pub(crate) fn superseded_dot(&mut self, reader: &mut Reader<'_>) -> Result<Dot, DecodeError> {
        let (replica, highest) = self.used(reader)?;
        let counter = counter(reader)?;
        *highest = counter.max(*highest);
        Ok(Dot::new(replica, counter))
    }

    /// Yields the highest dot superseded of each replica that has one, in replica order.
    pub(crate) fn superseded(&self) -> impl Iterator<Item = Dot> + Clone {
        let highest = self.uses.iter().map(|highest| highest.unwrap_or(0));
        let dots = self.ids.iter().zip(highest).map(|(id, highest)| Dot::new(ReplicaId::from_bytes(*id), highest));
        dots.filter(|dot| dot.counter > 0)
    }

    /// Ends the reading of what refers to the table.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.uses.iter().all(Option::is_some) { Ok(()) } else { Err(DecodeError::NotCanonical("a replica table")) }
    }

    /// Reads an index; returns the replica at it and what is known of its use.
    fn used(&mut self, reader: &mut Reader<'_>) -> Result<(ReplicaId, &mut u64), DecodeError> {
        const WHAT: &str = "a replica index";
        let at = usize::try_from(reader.varint(WHAT)?).map_err(|_| DecodeError::Limit(WHAT))?;
        let id = self.ids.get(at).ok_or(DecodeError::Limit(WHAT))?;
        Ok((ReplicaId::from_bytes(*id), self.uses[at].get_or_insert(0)))
    }
}

/// Reads the counter of a dot: 1 to [`COUNTER_MAX`].
#[inline]
pub(crate) fn counter(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    match reader.varint_max(COUNTER_MAX, "a counter")? {
        0 => Err(DecodeError::NotCanonical("a counter")),
        counter => Ok(counter),
    }
}

/// Checks that a list is strictly ascending, so that it has one order and no duplicates: `next`
/// comes after `last` and takes its place.
#[inline]
pub(crate) fn ascending<T: Ord>(last: &mut Option<T>, next: T, what: &'static str) -> Result<(), DecodeError> {
    if last.as_ref().is_some_and(|last| *last >= next) {
        return Err(DecodeError::NotCanonical(what));
    }
    *last = Some(next);
    Ok(())
}
