//! The primitives of the binary encoding, shared by deltas, snapshots and protocol frames.
//!
//! How does a decoder stay safe on hostile bytes? It never trusts a length: [`Reader::count`]
//! takes the least size of one item and refuses a count that the bytes left could not hold, so
//! nothing is allocated that the input does not pay for. Integers have one encoding only, so equal
//! values have equal bytes and a hash over bytes is a hash over content.
//!
//! Integers are LEB128 varints (seven bits a byte, least significant first, no superfluous zero
//! byte); signed ones are zigzag coded first.

use thiserror::Error;

use crate::id::ReplicaId;

/// Why bytes were refused. The sender is at fault (or the medium); nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end in the middle of an item. Ask for the whole message again.
    #[error("the bytes end in the middle of {0}")]
    Truncated(&'static str),
    /// A count or length cannot fit in the bytes that are left.
    #[error("{0} claims more than the bytes that are left")]
    Length(&'static str),
    /// An item has a form that no encoder writes: unsorted, duplicate, padded or out of range.
    #[error("{0} is not in canonical form")]
    NotCanonical(&'static str),
    /// A limit of [`limits`](crate::limits) is passed.
    #[error("{0} passes its limit")]
    Limit(&'static str),
    /// The format or kind byte is none that this version knows. Update this side.
    #[error("unknown {what} {tag}: written by a newer version, update this one")]
    Unknown {
        /// What carries the tag.
        what: &'static str,
        /// The tag found.
        tag: u8,
    },
    /// Text is not UTF-8.
    #[error("{0} is not UTF-8")]
    Utf8(&'static str),
    /// The content does not have the digest it came with: the bytes were damaged.
    #[error("the content does not have the digest it came with")]
    Digest,
    /// Bytes are left over behind the last item.
    #[error("{0} bytes are left over at the end")]
    Trailing(usize),
}

/// Appends primitives to a byte buffer. Cannot fail.
pub trait Encode {
    /// Appends one byte.
    fn put_u8(&mut self, byte: u8);
    /// Appends bytes as they are.
    fn put_bytes(&mut self, bytes: &[u8]);

    /// Appends an unsigned varint: 1 to 10 bytes.
    fn put_varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.put_u8((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.put_u8(number as u8);
    }

    /// Appends a signed number: zigzag, then varint.
    fn put_signed(&mut self, number: i64) {
        self.put_varint(((number << 1) ^ (number >> 63)) as u64);
    }

    /// Appends eight bytes, least significant first.
    fn put_u64(&mut self, number: u64) {
        self.put_bytes(&number.to_le_bytes());
    }

    /// Appends a length and that many bytes.
    fn put_blob(&mut self, bytes: &[u8]) {
        self.put_varint(bytes.len() as u64);
        self.put_bytes(bytes);
    }

    /// Appends the sixteen bytes of a replica id.
    fn put_replica(&mut self, replica: ReplicaId) {
        self.put_bytes(&replica.to_bytes());
    }
}

impl Encode for Vec<u8> {
    fn put_u8(&mut self, byte: u8) {
        self.push(byte);
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Reads primitives from a byte slice, and never beyond it.
///
/// Every method takes the name of the item it reads, for the error.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns the bytes not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] if bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    #[inline]
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        let (first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(*first)
    }

    /// Reads `len` bytes without copying them.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    #[inline]
    pub fn bytes(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// Reads an unsigned varint.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`]; [`DecodeError::NotCanonical`] if it is padded or above 64 bits.
    #[inline]
    pub fn varint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        // Nearly all numbers are small.
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint(what)
    }

    fn long_varint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::NotCanonical(what));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                let padded = byte == 0 && shift > 0;
                return if padded { Err(DecodeError::NotCanonical(what)) } else { Ok(number) };
            }
        }
        Err(DecodeError::NotCanonical(what))
    }

    /// Reads an unsigned varint of at most `max`.
    ///
    /// # Errors
    /// As [`varint`](Self::varint); [`DecodeError::Limit`] above `max`.
    #[inline]
    pub fn varint_max(&mut self, max: u64, what: &'static str) -> Result<u64, DecodeError> {
        let number = self.varint(what)?;
        if number > max { Err(DecodeError::Limit(what)) } else { Ok(number) }
    }

    /// Reads a signed number.
    ///
    /// # Errors
    /// As [`varint`](Self::varint).
    #[inline]
    pub fn signed(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        let number = self.varint(what)?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Reads eight bytes, least significant first.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    #[inline]
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// Reads how many items follow, each of at least `item_bytes_min` bytes.
    ///
    /// # Errors
    /// As [`varint`](Self::varint); [`DecodeError::Length`] if that many cannot follow.
    #[inline]
    pub fn count(&mut self, item_bytes_min: usize, what: &'static str) -> Result<usize, DecodeError> {
        let count = self.varint(what)?;
        self.holds(count, item_bytes_min, what)
    }

    /// Checks that so many items may follow, each of at least `item_bytes_min` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Length`] if they cannot.
    #[inline]
    pub fn holds(&self, count: u64, item_bytes_min: usize, what: &'static str) -> Result<usize, DecodeError> {
        let bytes_min = count.saturating_mul((item_bytes_min as u64).max(1));
        if bytes_min > self.rest.len() as u64 { Err(DecodeError::Length(what)) } else { Ok(count as usize) }
    }

    /// Reads a length of at most `len_max` and that many bytes, without copying them.
    ///
    /// # Errors
    /// As [`varint`](Self::varint); [`DecodeError::Length`], [`DecodeError::Limit`].
    #[inline]
    pub fn blob(&mut self, len_max: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = self.count(1, what)?;
        if len > len_max {
            return Err(DecodeError::Limit(what));
        }
        self.bytes(len, what)
    }

    /// Reads a length of at most `len_max` and that many bytes of UTF-8.
    ///
    /// # Errors
    /// As [`blob`](Self::blob); [`DecodeError::Utf8`].
    #[inline]
    pub fn text(&mut self, len_max: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.blob(len_max, what)?).map_err(|_| DecodeError::Utf8(what))
    }

    /// Reads the sixteen bytes of a replica id.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    #[inline]
    pub fn replica(&mut self, what: &'static str) -> Result<ReplicaId, DecodeError> {
        self.array(what).map(ReplicaId::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back_at_every_width() {
        for number in (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            bytes.put_varint(number);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint("n"), Ok(number));
            assert_eq!(reader.finish(), Ok(()));
            let signed = number as i64;
            let mut bytes = Vec::new();
            bytes.put_signed(signed);
            assert_eq!(Reader::new(&bytes).signed("n"), Ok(signed));
        }
    }

    #[test]
    fn a_padded_or_overlong_varint_is_refused() {
        assert_eq!(Reader::new(&[0x80, 0x00]).varint("n"), Err(DecodeError::NotCanonical("n")));
        assert_eq!(Reader::new(&[0xff; 11]).varint("n"), Err(DecodeError::NotCanonical("n")));
        let above = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(Reader::new(&above).varint("n"), Err(DecodeError::NotCanonical("n")));
    }

    #[test]
    fn a_count_is_refused_when_the_rest_cannot_hold_it() {
        assert_eq!(Reader::new(&[3, 0, 0, 0, 0, 0, 0]).count(2, "n"), Ok(3));
        assert_eq!(Reader::new(&[4, 0, 0, 0, 0, 0, 0]).count(2, "n"), Err(DecodeError::Length("n")));
    }
}
