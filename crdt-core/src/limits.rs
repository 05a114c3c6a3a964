//! Every limit that a document enforces, in one place.
//!
//! A transaction that would pass one is refused with an
//! [`EditError`](crate::EditError); bytes that claim to have passed one are refused with a
//! [`DecodeError`](crate::DecodeError). So no document can hold what its peers cannot take.

/// Containers within containers: at most 64 keys on the way from the root to an entry.
pub const NESTING_MAX: usize = 64;

/// A map key's name, in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 1024;

/// A text or bytes value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// Replicas that have ever written to one document.
pub const REPLICAS_MAX: usize = 16_384;
