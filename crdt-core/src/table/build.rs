//! Making a table of entries that are all there, as where a state is read.
//!
//! Entries come in any order, and each belongs into one of thousands of shards. Put there at once, each would miss the
//! cache several times. So they are kept as they come, and what is sorted are their *places*, eight bytes each, first
//! by shard and then within it. Each shard is allocated once.

use std::hash::Hash;
use std::sync::Arc;

use super::shard::Shard;
use super::{Directory, LOAD, SINGLE_MAX, Shards, Spread, Table};

/// For how many entries more a shard of a large table has room: most would have to grow at their next insert.
const ROOM: usize = 7;

/// A table to be.
pub(crate) struct Builder<K, V> {
    /// As they came; taken out as shards are made.
    entries: Vec<Option<(K, V)>>,
    places: Vec<Place>,
}

/// Where an entry belongs, and where it is: its spread above its position. So places sort by spread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64);

impl Place {
    fn new(spread: Spread, position: usize) -> Self {
        Self(u64::from(spread.0) << 32 | position as u64)
    }

    fn spread(self) -> Spread {
        Spread((self.0 >> 32) as u32)
    }

    fn position(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }
}

impl<K: Eq + Hash, V> Builder<K, V> {
    /// Begins a table of about `len` entries.
    pub(crate) fn with_capacity(len: usize) -> Self {
        Self { entries: Vec::with_capacity(len), places: Vec::with_capacity(len) }
    }

    /// Adds an entry, whose key must be none of those that are there. O(1).
    pub(crate) fn push(&mut self, key: K, value: V) {
        self.places.push(Place::new(Spread::of(&key), self.entries.len()));
        self.entries.push(Some((key, value)));
    }

    /// Returns the key that was added last.
    pub(crate) fn last(&self) -> Option<&K> {
        self.entries.last().and_then(Option::as_ref).map(|(key, _)| key)
    }

    /// Returns the table. O(n).
    pub(crate) fn finish(mut self) -> Table<K, V> {
        let len = self.places.len();
        debug_assert!(u32::try_from(len).is_ok(), "a message is not that long");
        let shards = match len {
            0 => Shards::Empty,
            1..=SINGLE_MAX => Shards::One(Arc::new(shard(&mut self.entries, &mut self.places, 0))),
            _ => {
                let (mut places, ends) = by_shard(&self.places, len.div_ceil(LOAD));
                let mut rest = &mut places[..];
                let mut begin = 0;
                let shards = ends.into_iter().map(|end| {
                    let (of_shard, others) = std::mem::take(&mut rest).split_at_mut(end - begin);
                    (rest, begin) = (others, end);
                    Arc::new(shard(&mut self.entries, of_shard, ROOM))
                });
                Shards::Many(Box::new(Directory { len, shards: shards.collect() }))
            }
        };
        Table { shards }
    }
}

/// Sorts places by shard; also returns where each shard ends among them.
fn by_shard(places: &[Place], count: usize) -> (Vec<Place>, Vec<usize>) {
    let mut next = vec![0; count];
    for place in places {
        next[place.spread().shard(count)] += 1;
    }
    let mut begin = 0;
    for next in &mut next {
        begin += std::mem::replace(next, begin);
    }
    let mut sorted = vec![Place(0); places.len()];
    for place in places {
        let next = &mut next[place.spread().shard(count)];
        sorted[*next] = *place;
        *next += 1;
    }
    // By now each stands where the one behind it began.
    (sorted, next)
}

/// Makes a shard of the entries at these places, with room for some more.
fn shard<K, V>(entries: &mut [Option<(K, V)>], places: &mut [Place], room: usize) -> Shard<K, V> {
    places.sort_unstable();
    let mut shard = Shard::with_capacity(places.len() + room);
    for place in places {
        shard.push(place.spread(), entries[place.position()].take().expect("each has one place"));
    }
    shard
}
