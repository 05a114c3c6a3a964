//! A transaction: a delta under construction.
//!
//! How can dropping it undo everything? Nothing was done: edits gather in a delta, and reading
//! through the transaction looks into the delta first, then into the document. Committing seals
//! the delta and applies it by the same road that a delta of another replica takes.
//!
//! An edit takes out what it has seen at its place, whole, so a place that the delta touches is
//! read from the delta alone.

use std::num::NonZeroU64;

use smallvec::{SmallVec, smallvec};
use thiserror::Error;

use crate::changes::Changes;
use crate::clock::Stamp;
use crate::context::{Context, LocalDot, ReplicaIndex, TooManyReplicas};
use crate::delta::{ChainedRange, Delta, DotRange, MapDelta, NodeDelta};
use crate::document::Document;
use crate::id::{COUNTER_MAX, Dot};
use crate::limits::{KEY_BYTES_MAX, NESTING_MAX, REPLICAS_MAX, VALUE_BYTES_MAX};
use crate::node::OwnWrite;
use crate::path::Path;
use crate::value::Value;

mod counter;
mod erase;
mod map;
mod register;
mod set;

pub use counter::CounterMut;
pub use map::MapMut;
pub use register::RegisterMut;
pub use set::SetMut;

/// Edits of one document that will take effect together, or not at all.
#[must_use = "a transaction that is dropped has changed nothing"]
#[derive(Debug)]
pub struct Transaction<'d> {
    document: &'d mut Document,
    dot: Dot,
    stamp: Stamp,
    salt: Option<NonZeroU64>,
    body: MapDelta,
}

/// What a commit yields.
#[must_use = "a delta that is dropped never reaches another replica"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// What to send to the other replicas, in the order of commits.
    pub delta: Delta,
    /// What to show.
    pub changes: Changes,
}

/// Why an edit was refused. The transaction is as before it and can go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EditError {
    /// More than [`NESTING_MAX`] keys beneath each other.
    #[error("the entry would lie more than {NESTING_MAX} keys deep")]
    TooDeep,
    /// A key's name is longer than [`KEY_BYTES_MAX`].
    #[error("the key has {bytes} bytes, the limit is {KEY_BYTES_MAX}")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A value is longer than [`VALUE_BYTES_MAX`]. Split it.
    #[error("the value has {bytes} bytes, the limit is {VALUE_BYTES_MAX}")]
    ValueTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// This replica's running total would leave the range of `i64`. Reset the counter first.
    #[error("this replica's total of the counter would leave the range of i64")]
    CounterOverflow,
    /// This replica has made [`COUNTER_MAX`] transactions. Go on under a new id.
    #[error("this replica has made {COUNTER_MAX} transactions, no more can be named")]
    Exhausted,
    /// This replica would be one too many to write to the document.
    #[error(transparent)]
    TooManyReplicas(#[from] TooManyReplicas),
}

/// What an edit needs to know of its transaction.
#[derive(Clone, Copy, Debug)]
struct Scope<'t> {
    /// The document's replicas and version.
    context: &'t Context,
    /// The dot that the transaction will spend.
    dot: Dot,
    stamp: Stamp,
    /// This replica's number, if it has written before.
    own: Option<ReplicaIndex>,
    /// The first thing wrong on the way here; edits fail with it.
    refused: Option<Refusal>,
}

/// Why no edit is possible at a place: an [`EditError`] that can be copied down the path.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    TooDeep,
    KeyTooLong { bytes: usize },
    Exhausted,
    TooManyReplicas,
}

impl<'d> Transaction<'d> {
    pub(crate) fn begin(document: &'d mut Document, wall_ms: u64) -> Self {
        let replica = document.replica();
        let dot = Dot::new(replica, document.state.context.counter_of(replica) + 1);
        let stamp = document.clock.stamp(wall_ms);
        Self { document, dot, stamp, salt: None, body: MapDelta::default() }
    }

    /// Sets the transaction apart from any that does the same after the same history, for eight bytes more.
    ///
    /// Two processes may come to write under one replica id, from a copy of a store that nobody has noticed. Chain
    /// hashes tell their histories apart from the first transaction in which they differ; without a salt, those before
    /// it that are the same (one counter, one amount) are taken for one. So each process draws a random number when it
    /// starts, and salts the first transaction that it commits to each document.
    pub fn salted(mut self, salt: NonZeroU64) -> Self {
        self.salt = Some(salt);
        self
    }

    /// Returns the root map, for reading and editing.
    pub fn root(&mut self) -> MapMut<'_> {
        let state = &self.document.state;
        let scope = Scope {
            context: &state.context,
            dot: self.dot,
            stamp: self.stamp,
            own: state.context.index(self.dot.replica),
            refused: self.refusal(),
        };
        MapMut::new(scope, Some(&state.root), &mut self.body, 0)
    }

    /// Returns what is wrong with every edit, wherever it is made.
    fn refusal(&self) -> Option<Refusal> {
        let context = &self.document.state.context;
        let stranger = context.index(self.dot.replica).is_none();
        if self.dot.counter > COUNTER_MAX {
            Some(Refusal::Exhausted)
        } else if stranger && context.len() >= REPLICAS_MAX {
            Some(Refusal::TooManyReplicas)
        } else {
            None
        }
    }

    /// Returns a map under the root.
    pub fn map(&mut self, name: &str) -> MapMut<'_> {
        self.root().into_map(name)
    }

    /// Returns a counter under the root.
    pub fn counter(&mut self, name: &str) -> CounterMut<'_> {
        self.root().into_counter(name)
    }

    /// Returns a set under the root.
    pub fn set(&mut self, name: &str) -> SetMut<'_> {
        self.root().into_set(name)
    }

    /// Returns a register under the root.
    pub fn register(&mut self, name: &str) -> RegisterMut<'_> {
        self.root().into_register(name)
    }

    /// Makes all edits take effect at once. O(edits × log n), and what it takes to clear away this
    /// replica's own entries of counters that others have reset since its last transaction.
    ///
    /// `None` if there were none: then no dot is spent and there is nothing to send.
    #[must_use = "a delta that is dropped never reaches another replica"]
    pub fn commit(mut self) -> Option<Committed> {
        self.body.prune();
        if self.body.is_empty() {
            return None;
        }
        for path in std::mem::take(&mut self.document.own_resets) {
            drop_own_entry(&mut self.body, &path, self.dot);
        }
        let Self { document, dot, salt, body, .. } = self;
        let range = DotRange { replica: dot.replica, after: dot.counter - 1, through: dot.counter };
        let chain_after = document.state.chain_of(dot.replica);
        let ranges = smallvec![ChainedRange { range, chain_after, chain_through: 0 }];
        let mut delta = Delta { ranges, salt, needs: SmallVec::new(), body };
        delta.collect_needs();
        delta.seal();
        let effects = document.state.apply(&delta, Some(dot.replica));
        let changes = document.absorb(effects);
        Some(Committed { delta, changes })
    }
}

/// Takes our own entry out of a counter in which it has been reset as a whole, unless the
/// transaction has begun a new count there.
fn drop_own_entry(body: &mut MapDelta, path: &Path, dot: Dot) {
    let mut map = body;
    for key in path.keys() {
        let child = map.children.get_or_insert_with(key.clone(), || NodeDelta::new(key.kind));
        match child {
            NodeDelta::Map(next) => map = next,
            NodeDelta::Counter(counter) => {
                counter.writes.get_or_insert_with(dot.replica, || (dot.counter, OwnWrite::Dropped));
                return;
            }
            NodeDelta::Register(_) | NodeDelta::Set(_) => {
                unreachable!("own_resets holds paths of counters")
            }
        }
    }
}

impl Scope<'_> {
    /// Fails if nothing can be edited here.
    fn check(&self) -> Result<(), EditError> {
        match self.refused {
            None => Ok(()),
            Some(Refusal::TooDeep) => Err(EditError::TooDeep),
            Some(Refusal::KeyTooLong { bytes }) => Err(EditError::KeyTooLong { bytes }),
            Some(Refusal::Exhausted) => Err(EditError::Exhausted),
            Some(Refusal::TooManyReplicas) => Err(EditError::TooManyReplicas(TooManyReplicas)),
        }
    }

    fn check_value(&self, value: &Value) -> Result<(), EditError> {
        self.check()?;
        let bytes = value.payload_len();
        if bytes > VALUE_BYTES_MAX { Err(EditError::ValueTooLarge { bytes }) } else { Ok(()) }
    }

    /// Returns the scope one key further down, at `depth` keys from the root.
    fn below(mut self, name: &str, depth: usize) -> Self {
        let bytes = name.len();
        let refusal = if bytes > KEY_BYTES_MAX {
            Some(Refusal::KeyTooLong { bytes })
        } else {
            (depth > NESTING_MAX).then_some(Refusal::TooDeep)
        };
        self.refused = self.refused.or(refusal);
        self
    }

    /// Names dots as deltas do: full ids, sorted.
    fn names(&self, dots: &[LocalDot]) -> SmallVec<[Dot; 1]> {
        let mut names: SmallVec<[Dot; 1]> = dots.iter().map(|dot| self.context.dot(*dot)).collect();
        names.sort_unstable();
        names
    }
}
