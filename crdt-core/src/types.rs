//! The plain types: each is one value, usable alone, without a document and without a network.
//!
//! How do copies agree? Every mutator returns a *delta*; other copies [`apply`](OrSet::apply) it, or
//! take in a whole copy with [`merge`](OrSet::merge). Both give the same value, in whatever order
//! copies meet.
//!
//! The crate's front page has them in a table: what concurrent writes become, and in which order deltas
//! may arrive.
//!
//! Who writes is an argument, never part of a value: a clone is another copy of the value, not a
//! second writer with the same name. Deliberately absent: operations without deltas; tombstones, but for what a removed
//! counter leaves until its owner writes again.

mod counter_map;
mod few;
mod g_counter;
mod lww_map;
mod lww_register;
mod mv_register;
mod or_map;
mod or_set;
mod pn_counter;
mod totals;

use thiserror::Error;

pub use counter_map::{CountError, CounterMap, CounterMapDelta};
pub use g_counter::{GCounter, GCounterDelta};
pub use lww_map::{LwwMap, LwwMapDelta};
pub use lww_register::{LwwRegister, LwwRegisterDelta, StampExhausted};
pub use mv_register::{MvRegister, MvRegisterDelta};
pub use or_set::{OrSet, OrSetDelta};
pub use pn_counter::{PnCounter, PnCounterDelta};
pub use totals::CounterOverflow;

use crate::context::{Context, LocalDot, TooManyReplicas};
use crate::id::{COUNTER_MAX, Dot, ReplicaId};

/// Why a delta was refused. The value is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// The delta builds on one that has not been applied. Nobody is at fault: apply that one first,
    /// or merge a whole copy.
    #[error("the delta of {missing} has to be applied first")]
    Gap {
        /// A transaction that is missing; there may be more.
        missing: Dot,
    },
    /// The delta's writer would be one too many.
    #[error(transparent)]
    TooManyReplicas(#[from] TooManyReplicas),
}

/// Why a write was refused. The value is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The replica has spent all its dots, or somebody forged a version that says so. Write under
    /// a new replica id.
    #[error("the replica has made {COUNTER_MAX} transactions: write under a new id")]
    CounterExhausted,
    /// The writer would be one too many.
    #[error(transparent)]
    TooManyReplicas(#[from] TooManyReplicas),
}

/// Tells whether deserialised dots could have been spent: counters in range, strictly ascending.
fn are_valid(dots: &[Dot]) -> bool {
    dots.iter().all(|dot| (1..=COUNTER_MAX).contains(&dot.counter)) && dots.is_sorted_by(|a, b| a < b)
}

/// Tells whether an honest replica could have superseded these in the transaction `by`: counters in range, one of each
/// replica, ascending, and its own before this one.
fn are_superseded(dots: &[Dot], by: Dot) -> bool {
    are_valid(dots)
        && dots.is_sorted_by(|a, b| a.replica < b.replica)
        && dots.iter().all(|dot| dot.replica != by.replica || dot.counter < by.counter)
}

/// Returns the name of a replica's next transaction, in full and by its number. Whoever makes it covers it.
fn next(context: &mut Context, replica: ReplicaId) -> Result<(Dot, LocalDot), WriteError> {
    let index = context.intern(replica)?;
    let counter = context.counter(index) + 1;
    if counter > COUNTER_MAX {
        return Err(WriteError::CounterExhausted);
    }
    Ok((Dot::new(replica, counter), LocalDot::new(index, counter)))
}

/// Checks whether the delta `dot`, which supersedes these, may be applied; returns its local name, or `None` if it is
/// covered. Whoever applies it covers it.
fn admit(
    context: &mut Context,
    dot: Dot,
    mut superseded: impl Iterator<Item = Dot>,
) -> Result<Option<LocalDot>, DeltaError> {
    let known = context.index(dot.replica);
    let seen = known.map_or(0, |index| context.counter(index));
    if dot.counter <= seen {
        return Ok(None);
    }
    if dot.counter != seen + 1 {
        return Err(DeltaError::Gap { missing: Dot::new(dot.replica, seen + 1) });
    }
    if let Some(missing) = superseded.find(|dot| context.counter_of(dot.replica) < dot.counter) {
        return Err(DeltaError::Gap { missing });
    }
    let index = known.map_or_else(|| context.intern(dot.replica), Ok)?;
    Ok(Some(LocalDot::new(index, dot.counter)))
}
