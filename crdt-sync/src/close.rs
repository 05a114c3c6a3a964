//! Why a link was closed, by blame.

use crdt_core::DecodeError;
use thiserror::Error;

/// Why the endpoint closes a link. Nothing that was applied is lost; a new link starts afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// Nobody's fault: the link leads back to this endpoint. Do not dial this address again.
    #[error("the link leads back to ourselves")]
    SelfLink,
    /// Nobody's fault: both ends dialled, and the other link is kept.
    #[error("another link to the same replica is kept")]
    DuplicateLink,
    /// The operator's fault, or a peer that has restarted before its last link was known dead:
    /// another process with this identity is linked already. Dial again later.
    #[error("another process with the same replica id is linked")]
    DuplicateIdentity,
    /// Nobody's fault: this end goes on under another id, or has given its own transactions other names. Dial again
    /// at once.
    #[error("the replica goes on under another id")]
    Renewed,
    /// Nobody's fault: no common protocol version. Update the older side.
    #[error("no common protocol version: they speak {min} to {max}")]
    UnsupportedVersion {
        /// The lowest that the peer speaks.
        min: u64,
        /// The highest that the peer speaks.
        max: u64,
    },
    /// The peer's fault, or the network's: no hello in time.
    #[error("no hello within the deadline")]
    HelloTimeout,
    /// The peer's fault, or the network's: no byte for [`Config::dead_after_ms`](crate::Config::dead_after_ms).
    #[error("no sign of life")]
    Dead,
    /// The peer is too slow: data in flight, and none of it was taken for
    /// [`Config::stalled_after_ms`](crate::Config::stalled_after_ms).
    #[error("the peer takes no data")]
    Stalled,
    /// The peer's fault: bytes that are no frame, or a delta or snapshot that is none.
    #[error("malformed bytes: {0}")]
    Malformed(DecodeError),
    /// The peer's fault: a well-formed frame where the protocol has no place for it.
    #[error("protocol violation: {0}")]
    ProtocolViolation(&'static str),
    /// The peer's fault: a message is larger than this side has said that it takes.
    #[error("a message of {bytes} bytes, more than was agreed")]
    TooLarge {
        /// How large.
        bytes: u64,
    },
    /// The peer's fault: a delta whose predecessor or cause it has not sent.
    #[error("a delta came before what it depends on")]
    Gap,
    /// The peer's fault, or the network's: a message in parts arrived with another hash than it left.
    #[error("a message in parts does not have the hash it was announced with")]
    HashMismatch,
}

impl CloseReason {
    /// Returns the WebSocket close code: a registered one where it fits, else one of 4000 to 4999.
    ///
    /// ```
    /// assert_eq!(crdt_sync::CloseReason::Stalled.code(), 1013);
    /// ```
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::HashMismatch => 1007,
            Self::ProtocolViolation(_) => 1002,
            Self::TooLarge { .. } => 1009,
            Self::Stalled => 1013,
            Self::SelfLink => 4000,
            Self::DuplicateLink => 4001,
            Self::DuplicateIdentity => 4002,
            Self::UnsupportedVersion { .. } => 4003,
            Self::HelloTimeout => 4004,
            Self::Dead => 4005,
            Self::Gap => 4006,
            Self::Renewed => 4007,
        }
    }
}
