//! The promises, and how a broken one is told.

use thiserror::Error;

/// What was found to be broken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{at_ms} ms: {check}: {detail}")]
pub struct Violation {
    /// When, in milliseconds since the start.
    pub at_ms: u64,
    /// Which promise.
    pub check: Check,
    /// Who and what.
    pub detail: String,
}

/// The promises that are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Check {
    /// Invariant 1.
    #[error("no dot has two contents")]
    OneContent,
    /// Invariant 2.
    #[error("versions never regress")]
    NoRegress,
    /// Invariant 2.
    #[error("versions cover only what was written and applied")]
    NoInvention,
    /// Invariant 4, for what is received.
    #[error("nothing is visible to others before it is durable")]
    DurableFirst,
    /// Invariant 4, for what is acknowledged.
    #[error("what is acknowledged is durable")]
    AckedIsDurable,
    /// Invariant 4, for credit.
    #[error("credit is returned only for what is taken in")]
    CreditLast,
    /// Invariants 1 and 5.
    #[error("equal versions mean equal states")]
    EqualStates,
    /// The naive model.
    #[error("documents hold what the model says")]
    Model,
    /// The changes that applications follow.
    #[error("reported changes add up to the content")]
    Reports,
    /// Stores and restarts.
    #[error("a replica opens with exactly what its store holds")]
    Reopens,
    /// Limits.
    #[error("every output and queue is bounded")]
    Bounds,
    /// No false alarm.
    #[error("honest replicas never blame each other")]
    NoBlame,
    /// The protocol.
    #[error("what is sent is well-formed")]
    WellFormed,
    /// The mesh.
    #[error("nothing is sent to a peer that is known to have it")]
    NoEcho,
    /// The hybrid clock.
    #[error("stamps of one replica ascend")]
    StampsAscend,
    /// Liveness.
    #[error("once nothing breaks any more, links stay")]
    LinksStay,
    /// Liveness.
    #[error("once nothing breaks any more, all replicas become equal")]
    Converges,
    /// Durability.
    #[error("no durable write is lost")]
    NothingLost,
    /// Our own bugs.
    #[error("nothing panics")]
    NoPanic,
}

/// A check that failed, and how; the world adds when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which promise.
    pub check: Check,
    /// How it was broken.
    pub detail: String,
}

/// Says that a check has failed.
///
/// # Errors
/// Always.
pub fn broken(check: Check, detail: String) -> Result<(), Broken> {
    Err(Broken { check, detail })
}
