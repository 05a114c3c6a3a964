//! Bugs planted on purpose, to prove that the simulator finds them.
//!
//! How does none of them get into a program? [`is_planted`] is a constant `false` unless the crate is
//! compiled with `--cfg planted_bugs`, which is no feature, so no dependency can turn it on, and which
//! an optimised build without debug assertions refuses to compile with. Where a bug is planted the code
//! reads `is_planted(Bug::…)`; the compiler takes it out.
//!
//! Not part of the public interface: `crdt-sync` and the tests use it, nobody else should.

#[cfg(all(planted_bugs, not(debug_assertions)))]
compile_error!("planted bugs are for tests with debug assertions only");

macro_rules! bugs {
    ($($(#[doc = $doc:literal])* $bug:ident,)*) => {
        /// What can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $doc])* $bug,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$bug),*];

            /// Tells what it does.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$bug => concat!($($doc),*),)*
                }
            }
        }
    };
}

bugs! {
    /// A delta is applied although earlier ones are missing.
    SkipGapCheck,
    /// A delta that names what it takes out takes nothing out.
    ForgetSuperseded,
    /// What was written and taken out within a coalesced delta is not taken out.
    ForgetRange,
    /// What the version covers is added again by a coalesced delta.
    ResurrectCovered,
    /// Coalescing forgets an entry that was written and taken out again.
    ForgetTouched,
    /// A merge brings back what this side has removed.
    MergeResurrects,
    /// A merge drops what the other side has not seen.
    MergeDropsNews,
    /// Of concurrent writes the one that arrived last wins.
    TieByArrival,
    /// A reset takes out what it has not seen.
    ResetUnseen,
    /// A counter that was reset goes on from its old total.
    ForgetReset,
    /// The digest keeps what was taken out.
    DigestForgetsRemoval,
    /// The clock follows wall time backwards.
    ClockFollowsWall,
    /// A removed element is not reported to the application.
    UnreportedRemoval,
    /// Cutting the log cuts one delta too many.
    TruncateOneTooFar,
    /// Cutting the log leaves its floor where it was.
    FloorStays,
    /// A log that was rebased on a snapshot still claims to serve everybody.
    RebaseKeepsFloor,
    /// A delta is sent before it is durable.
    SendBeforeDurable,
    /// A delta is acknowledged before it is durable.
    AckBeforeDurable,
    /// A document is offered before it is durable.
    OfferBeforeDurable,
    /// A snapshot is sent before it is durable.
    SnapshotBeforeDurable,
    /// When one write is durable, all that were asked for count as durable.
    PersistedMeansAll,
    /// A dot is spent again after a restart.
    RespendAfterRestart,
    /// What was sent counts as arrived.
    SentMeansAcked,
    /// What a peer was known to have on one link is believed on the next.
    StateOutlivesLink,
    /// A version that a peer has only claimed is taken for one's own.
    TrustClaimedVersion,
    /// What came from one peer is not passed on to another.
    DropRelayed,
    /// What came from a peer is sent back to it.
    EchoToSender,
    /// A peer below the floor gets the part of the log that is left.
    PartOfLog,
    /// The credit of a delta that was known already is never returned.
    LeakCredit,
    /// More is sent than there is credit for.
    IgnoreWindow,
    /// A delta of one transaction is applied, and neither logged nor stored.
    ApplyWithoutWrite,
    /// A document that has become durable is not looked at again.
    LostWakeup,
    /// Digests are compared whatever the versions are.
    CompareAnyDigest,
    /// A link without a sign of life is never given up.
    NeverGiveUp,
    /// A document that is opened later is not offered.
    LateDocument,
    /// A link does not notice that the log was cut in front of it.
    CutUnnoticed,
    /// A log is never cut.
    LogNeverCut,
    /// A log that is longer in the store than it may be is not cut when it is opened.
    LogOpensUncut,
    /// A message in parts is kept after it has been taken in.
    PartsKept,
    /// A document that waits for credit is queued again each time it changes.
    QueuedTwice,
    /// The timer of a link that has ended is kept.
    TimerOutlivesLink,
    /// A document leaves memory before all of it is durable.
    RestBeforeDurable,
    /// A log that is loaded again counts its positions from zero.
    LogStartsAnew,
    /// A document that is loaded again has forgotten which stamps it has given.
    ForgetClock,
    /// A document that should be loaded starts empty instead.
    EmptyInsteadOfLoaded,
    /// A frame whose document is not in memory is dropped.
    DropWaiting,
    /// The credit of a frame that waits for its document is returned.
    CreditBeforeLoad,
    /// A peer that waits for a document is not served when it is loaded.
    LoadWakesNobody,
    /// A frame that has waited for its document counts as waiting for ever.
    WaitingNeverEnds,
    /// Frames that wait for a document outlive the link they came on.
    WaitingOutlivesLink,
    /// The credit of parts is kept back although nothing waits.
    PartsWithheld,
}

#[cfg(planted_bugs)]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        /// One simulated network runs in one thread.
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug in everything that this thread runs from now on, or takes it out again.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Tells whether a bug is planted.
    #[must_use]
    pub fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(planted_bugs)]
pub use switch::{is_planted, plant};

/// Tells whether a bug is planted: never, in this build.
#[cfg(not(planted_bugs))]
#[must_use]
pub const fn is_planted(_: Bug) -> bool {
    false
}
