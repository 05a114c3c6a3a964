//! What a register or a set element holds.
//!
//! Values are compared and ordered totally, floats included, because they serve as set elements
//! and their order reaches bytes. Short text lies in the value; longer text and bytes are shared, so
//! that copying a value copies a pointer.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text::{self, Text};

/// One scalar: what a register holds and a set consists of.
///
/// `Int(1)` and `Float(1.0)` are different values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Value {
    /// Nothing; not the same as an absent register.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number, totally ordered.
    Float(Float),
    /// Unicode text; at most [`VALUE_BYTES_MAX`](crate::limits::VALUE_BYTES_MAX) in a document.
    Text(Text),
    /// Bytes; at most [`VALUE_BYTES_MAX`](crate::limits::VALUE_BYTES_MAX) in a document.
    Bytes(Arc<[u8]>),
}

impl Value {
    /// Returns the text, if this is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the whole number, if this is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the truth value, if this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the floating-point number, if this is one.
    #[must_use]
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(number.to_f64()),
            _ => None,
        }
    }

    /// Returns the bytes, if these are bytes.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns the length of text or bytes; 0 for the rest.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// Returns a number that is never less than that of a lesser value.
    pub(crate) fn rank(&self) -> u128 {
        let (kind, within): (u128, u128) = match self {
            Self::Null => (0, 0),
            Self::Bool(value) => (1, u128::from(*value)),
            // The sign bit turned over, so that negative numbers come first.
            Self::Int(number) => (2, u128::from(number.cast_unsigned() ^ 1 << 63)),
            Self::Float(number) => (3, u128::from(number.rank())),
            Self::Text(text) => (4, text::rank(text.as_bytes()) >> 8),
            Self::Bytes(bytes) => (5, text::rank(bytes) >> 8),
        };
        kind << 120 | within
    }

    pub(crate) fn borrowed(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Bool(false) => ValueRef::False,
            Self::Bool(true) => ValueRef::True,
            Self::Int(number) => ValueRef::Int(*number),
            Self::Float(number) => ValueRef::Float(*number),
            Self::Text(text) => ValueRef::Text(text),
            Self::Bytes(bytes) => ValueRef::Bytes(bytes),
        }
    }
}

/// A value whose text or bytes lie elsewhere, such as in bytes that are being read. Ordered as
/// [`Value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ValueRef<'a> {
    Null,
    // Two, as a byte beside the tag would have to be copied with every value, whatever it holds.
    False,
    True,
    Int(i64),
    Float(Float),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl ValueRef<'_> {
    pub(crate) fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::False => Value::Bool(false),
            Self::True => Value::Bool(true),
            Self::Int(number) => Value::Int(number),
            Self::Float(number) => Value::Float(number),
            Self::Text(text) => Value::from(text),
            Self::Bytes(bytes) => Value::from(bytes),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.to_f64().fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::Bytes(value) => {
                f.write_str("0x")?;
                value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// A 64-bit float with a total order and one NaN, so that equal values have equal bytes.
///
/// Ordered as IEEE 754 totalOrder: −0.0 below 0.0, NaN above infinity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "f64", into = "f64")]
pub struct Float {
    /// The bits of the number; every NaN has become [`Float::NAN`].
    bits: u64,
}

impl Float {
    /// The one NaN: quiet, positive, no payload.
    const NAN: u64 = 0x7ff8_0000_0000_0000;

    /// Returns the number.
    #[must_use]
    pub const fn to_f64(self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// Returns the canonical bits, as they are encoded.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.bits
    }

    /// Returns a number that orders as the float does.
    const fn rank(self) -> u64 {
        if self.bits >> 63 == 0 { self.bits ^ 1 << 63 } else { !self.bits }
    }
}

impl From<f64> for Float {
    fn from(number: f64) -> Self {
        Self { bits: if number.is_nan() { Self::NAN } else { number.to_bits() } }
    }
}

impl From<Float> for f64 {
    fn from(float: Float) -> Self {
        float.to_f64()
    }
}

impl Ord for Float {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.to_f64().total_cmp(&other.to_f64())
    }
}

impl PartialOrd for Float {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_f64().fmt(f)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.into())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_twenty_four_bytes() {
        assert_eq!(size_of::<Value>(), 24);
    }

    #[test]
    fn every_nan_is_one_value_and_the_zeros_are_two() {
        let quiet = Value::from(f64::NAN);
        let payload = Value::from(f64::from_bits(0xfff8_0000_0000_0123));
        assert_eq!(quiet, payload);
        assert_ne!(Value::from(0.0), Value::from(-0.0));
    }

    #[test]
    fn borrowed_values_are_ordered_as_owned_ones() {
        let numbers = [f64::NEG_INFINITY, -0.0, 0.0, 1.0, f64::NAN];
        let mut values = vec![Value::Null, Value::from(false), Value::from(true)];
        values.extend([i64::MIN, -1, 0, 1, i64::MAX].map(Value::from));
        values.extend(numbers.map(Value::from));
        values.extend(["", "a", "aa", "b", "é"].map(Value::from));
        values.extend([&[] as &[u8], &[0], &[0, 0], &[255]].map(Value::from));
        assert!(values.is_sorted_by(|left, right| left < right));
        for (left, right) in values.iter().flat_map(|left| values.iter().map(move |right| (left, right))) {
            assert_eq!(left.borrowed().cmp(&right.borrowed()), left.cmp(right));
            assert_eq!(left.borrowed().to_value(), *left);
            assert!(left > right || left.rank() <= right.rank());
        }
    }

    #[test]
    fn floats_are_totally_ordered() {
        let mut numbers: Vec<Float> = [f64::NAN, 1.0, -0.0, f64::NEG_INFINITY, 0.0].map(Float::from).to_vec();
        numbers.sort();
        let sorted: Vec<String> = numbers.iter().map(|n| format!("{n:?}")).collect();
        assert_eq!(sorted, ["-inf", "-0.0", "0.0", "1.0", "NaN"]);
    }
}
