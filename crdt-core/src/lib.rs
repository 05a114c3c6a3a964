//! Conflict-free replicated data types, documents and deltas: the core that decides what merging means.
//! In reading order:
//!
//! 1. [`ReplicaId`] names a writer, [`Dot`] one committed transaction of it, [`VersionVector`] which
//!    transactions have been applied. [`HybridClock`] gives the timestamps that break ties.
//! 2. A [`Document`] is a root map of registers, counters, sets and maps. It changes by a
//!    [`Transaction`], which yields a [`Delta`]: the only thing that travels live.
//! 3. Another replica takes the delta in with [`Document::apply`]; one that lags gets several,
//!    [coalesced](Delta::coalesce), from a [`DeltaLog`]; one that lags far behind gets a [`Snapshot`] and
//!    takes it in with [`Document::merge`]. All three roads end in the same state.
//! 4. [`Changes`] tell a user interface what changed; [`MapRef`] reads.
//!
//! The plain types do the same for a single value, without a document. Their mutators return deltas;
//! `apply` takes one in, `merge` a whole copy.
//!
//! | Type | Concurrent writes | Deltas may arrive |
//! |---|---|---|
//! | [`GCounter`], [`PnCounter`] | add up | in any order, any number of times |
//! | [`LwwRegister`] | the later stamp wins | in any order, any number of times |
//! | [`MvRegister`] | all stay, until a write that saw them | in causal order, any number of times |
//! | [`OrSet`] | an insert beats a remove | in causal order, any number of times |
//! | [`LwwMap`] | of one key: all stay, readers get the later stamp, a write beats a remove | in causal order, any number of times |
//! | [`CounterMap`] | add up; a remove takes back what it has seen | in causal order, any number of times |
//!
//! There is no IO here, no clock, no thread: time and identity enter as arguments, so one seed can
//! replay a whole network. One random number a process seeds the hash of its tables, against floods
//! of keys that collide; it reaches no bytes.

pub mod codec;
pub mod json;
pub mod limits;
#[doc(hidden)]
pub mod planted;

mod changes;
mod clock;
mod context;
mod delta;
mod digest;
mod document;
mod dots;
mod elements;
mod frontier;
mod head;
mod id;
mod log;
mod node;
mod pass;
mod path;
mod read;
mod snapshot;
mod sorted;
mod state;
mod table;
mod text;
mod transaction;
mod types;
mod value;
mod version;
mod wire;

pub use changes::{Change, Changed, Changes};
pub use clock::{ABSORB_MS_MAX, HybridClock, Stamp};
pub use codec::DecodeError;
pub use context::TooManyReplicas;
pub use delta::{CoalesceError, Delta, DeltaLead, DotRange};
pub use digest::Digest;
pub use document::{ApplyError, Document, MergeError};
pub use frontier::Frontier;
pub use head::Head;
pub use id::{COUNTER_MAX, Dot, ReplicaId};
pub use json::ImportError;
pub use log::{BelowFloor, DeltaLog, LogError};
pub use path::{Key, Kind, Path};
pub use read::{Conflict, EntryRef, MapRef, RegisterRef, SetRef};
pub use snapshot::Snapshot;
pub use state::ReissueError;
pub use text::Text;
pub use transaction::{Committed, CounterMut, EditError, MapMut, RegisterMut, SetMut, Transaction};
pub use types::{
    CountError, CounterMap, CounterMapDelta, CounterOverflow, DeltaError, GCounter, GCounterDelta, LwwMap, LwwMapDelta,
    LwwRegister, LwwRegisterDelta, MvRegister, MvRegisterDelta, OrSet, OrSetDelta, PnCounter, PnCounterDelta,
    StampExhausted, WriteError,
};
pub use value::{Float, Value};
pub use version::{BadCounter, Causality, VersionVector};
