//! Bytes to a delta, once and for all: what comes out holds every invariant a delta has.
//!
//! The body is walked twice, first to check and then to build (see [`pass`](crate::pass)). Recursion
//! is bounded by the nesting limit, and every list must be strictly ascending.

use std::num::NonZeroU64;

use smallvec::SmallVec;

use super::encode::{CONTENT_AT, chain};
use super::{
    ChainedRange, CounterDelta, Delta, DeltaLead, DotRange, LeafDelta, MapDelta, NodeDelta, SetDelta, needs_of,
    range_of,
};
use crate::clock::Stamp;
use crate::codec::{DecodeError, Reader};
use crate::id::{COUNTER_MAX, Dot};
use crate::limits::NESTING_MAX;
use crate::node::OwnWrite;
use crate::pass::{Build, Check, Pass};
use crate::path::Kind;
use crate::sorted::SortedMap;
use crate::value::Value;
use crate::wire::{self, ReplicaTable};

impl Delta {
    /// Reads one delta; every byte must belong to it. O(bytes).
    ///
    /// Bytes that are refused make it allocate at most twice their length; otherwise that is allowed
    /// on top of the delta itself.
    ///
    /// # Errors
    /// [`DecodeError`] for whatever [`encode`](Self::encode) would not have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        match DeltaLead::read(&mut reader)? {
            DeltaLead::Single { chain_after, salt } => {
                Self::decode_single(reader, &bytes[CONTENT_AT..], chain_after, salt)
            }
            DeltaLead::Coalesced => Self::decode_coalesced(reader),
        }
    }

    fn decode_single(
        mut reader: Reader<'_>,
        content: &[u8],
        chain_after: u64,
        salt: Option<NonZeroU64>,
    ) -> Result<Self, DecodeError> {
        let mut table = ReplicaTable::read(&mut reader)?;
        let replica = table.replica(&mut reader)?;
        let after = reader.varint_max(COUNTER_MAX - 1, "a counter")?;
        let range = DotRange { replica, after, through: after + 1 };
        let only = ChainedRange { range, chain_after, chain_through: chain(chain_after, content) };
        Self::decode_body(reader, table, SmallVec::from_buf([only]), salt)
    }

    fn decode_coalesced(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "the ranges of a delta";
        let mut table = ReplicaTable::read(&mut reader)?;
        let count = reader.count(19, WHAT)?;
        // A count above the table's is refused below, at the latest where the table ends.
        let mut ranges: SmallVec<[ChainedRange; 1]> = SmallVec::with_capacity(count.min(table.len()));
        let mut last = None;
        for _ in 0..count {
            let replica = table.replica(&mut reader)?;
            wire::ascending(&mut last, replica, WHAT)?;
            let after = reader.varint_max(COUNTER_MAX - 1, "a counter")?;
            let count = reader.varint_max(COUNTER_MAX - after, WHAT)?;
            if count == 0 {
                return Err(DecodeError::NotCanonical(WHAT));
            }
            let range = DotRange { replica, after, through: after + count };
            let (chain_after, chain_through) = (reader.u64("a chain hash")?, reader.u64("a chain hash")?);
            ranges.push(ChainedRange { range, chain_after, chain_through });
        }
        let transactions = ranges.iter().map(|chained| chained.range.through - chained.range.after);
        if transactions.take(2).sum::<u64>() < 2 {
            // Nothing at all, or one transaction in the longer form.
            return Err(DecodeError::NotCanonical(WHAT));
        }
        Self::decode_body(reader, table, ranges, None)
    }

    fn decode_body<'b>(
        reader: Reader<'b>,
        mut table: ReplicaTable<'b>,
        ranges: SmallVec<[ChainedRange; 1]>,
        salt: Option<NonZeroU64>,
    ) -> Result<Self, DecodeError> {
        if ranges.iter().any(|chained| chained.range.after == 0 && chained.chain_after != 0) {
            return Err(DecodeError::NotCanonical("a chain hash before the first transaction"));
        }
        Decoder { reader: reader.clone(), table: &mut table, ranges: &ranges }.body::<Check>()?;
        let body = Decoder { reader, table: &mut table, ranges: &ranges }.body::<Build>()?;
        let needs = needs_of(&ranges, table.superseded());
        Ok(Self { ranges, salt, needs, body })
    }
}

type Presence = Option<Box<LeafDelta<()>>>;

struct Decoder<'b, 'a> {
    reader: Reader<'b>,
    table: &'a mut ReplicaTable<'b>,
    ranges: &'a [ChainedRange],
}

impl<'b> Decoder<'b, '_> {
    /// Reads everything behind the ranges.
    fn body<P: Pass>(mut self) -> Result<P::Kept<MapDelta>, DecodeError> {
        let root = self.map::<P>(NESTING_MAX)?;
        self.reader.finish()?;
        self.table.finish()?;
        Ok(root)
    }

    fn dot_in_range(&mut self) -> Result<Dot, DecodeError> {
        let range = match self.ranges {
            [only] if only.range.through == only.range.after + 1 => {
                return Ok(Dot::new(only.range.replica, only.range.through));
            }
            [only] => only.range,
            _ => {
                let replica = self.table.replica(&mut self.reader)?;
                range_of(self.ranges, replica).ok_or(DecodeError::NotCanonical("a dot outside the ranges"))?
            }
        };
        let offset = self.reader.varint_max(range.through - range.after - 1, "a dot in a range")?;
        Ok(Dot::new(range.replica, range.after + 1 + offset))
    }

    fn dot_outside_ranges(&mut self) -> Result<Dot, DecodeError> {
        let dot = self.table.superseded_dot(&mut self.reader)?;
        // Above the range is possible: coalesced for a peer that has more of that replica already.
        if range_of(self.ranges, dot.replica).is_some_and(|range| range.contains(dot.counter)) {
            return Err(DecodeError::NotCanonical("a superseded dot inside the ranges"));
        }
        Ok(dot)
    }

    fn leaf<P: Pass, T>(
        &mut self,
        payload: impl Fn(&mut Reader<'b>) -> Result<P::Kept<T>, DecodeError>,
    ) -> Result<P::Kept<LeafDelta<T>>, DecodeError> {
        const WHAT: &str = "the dots of an entry";
        let head = self.reader.varint(WHAT)?;
        let (mut added, superseded) = (head & 3, head >> 2);
        if added == 3 {
            added = self.reader.varint_max(COUNTER_MAX, WHAT)? + 3;
        }
        let mut leaf = P::keep(|| LeafDelta {
            added: SmallVec::with_capacity(added as usize),
            superseded: SmallVec::with_capacity(superseded as usize),
        });
        let mut last = None;
        for _ in 0..added {
            // Only a single delta's dot takes no byte, and it allows one entry: each round either
            // reads a byte or fails.
            let dot = self.dot_in_range()?;
            // A replica's later write at a place supersedes its earlier one: at most one each.
            wire::ascending(&mut last, dot.replica, WHAT)?;
            let payload = payload(&mut self.reader)?;
            P::put(&mut leaf, payload, |leaf: &mut LeafDelta<T>, payload| leaf.added.push((dot, payload)));
        }
        let mut last = None;
        for _ in 0..superseded {
            let dot = self.dot_outside_ranges()?;
            wire::ascending(&mut last, dot, WHAT)?;
            P::put(&mut leaf, P::keep(|| dot), |leaf: &mut LeafDelta<T>, dot| leaf.superseded.push(dot));
        }
        Ok(leaf)
    }

    /// Reads an entry without content.
    fn mark<P: Pass>(&mut self) -> Result<P::Kept<LeafDelta<()>>, DecodeError> {
        self.leaf::<P, ()>(|_| Ok(P::keep(|| ())))
    }

    /// Reads how much a map or set lists, of at least so many bytes each, and its presence; also tells whether that is
    /// there.
    fn container<P: Pass>(
        &mut self,
        entry_bytes_min: usize,
        what: &'static str,
    ) -> Result<(usize, bool, P::Kept<Presence>), DecodeError> {
        let head = self.reader.varint(what)?;
        let count = self.reader.holds(head >> 1, entry_bytes_min, what)?;
        match head & 1 {
            0 => Ok((count, false, P::keep(|| None))),
            _ => Ok((count, true, P::map(self.mark::<P>()?, |leaf| Some(Box::new(leaf))))),
        }
    }

    /// Reads a map with at most `depth` keys beneath each other; the root, if as many as there may be.
    fn map<P: Pass>(&mut self, depth: usize) -> Result<P::Kept<MapDelta>, DecodeError> {
        const WHAT: &str = "the keys of a map";
        let (count, marked, presence) = self.container::<P>(3, WHAT)?;
        if depth < NESTING_MAX {
            touched(marked, count)?;
        } else if marked {
            // The root exists anyway.
            return Err(DecodeError::NotCanonical("a presence mark at the root"));
        }
        let mut map = P::map(presence, |presence| MapDelta { presence, children: SortedMap::with_capacity(count) });
        let mut last = None;
        for _ in 0..count {
            let depth = depth.checked_sub(1).ok_or(DecodeError::Limit("nesting"))?;
            let key = wire::key(&mut self.reader)?;
            wire::ascending(&mut last, key, WHAT)?;
            let child = match key.kind {
                Kind::Register => P::map(self.leaf::<P, _>(register_entry::<P>)?, NodeDelta::Register),
                Kind::Counter => P::map(self.counter::<P>()?, NodeDelta::Counter),
                Kind::Set => P::map(self.set::<P>()?, NodeDelta::Set),
                Kind::Map => P::map(self.map::<P>(depth)?, |map| NodeDelta::Map(Box::new(map))),
            };
            P::put(&mut map, child, |map: &mut MapDelta, child| map.children.push(key.to_key(), child));
        }
        Ok(map)
    }

    fn set<P: Pass>(&mut self) -> Result<P::Kept<SetDelta>, DecodeError> {
        const WHAT: &str = "the elements of a set";
        let (count, marked, presence) = self.container::<P>(2, WHAT)?;
        touched(marked, count)?;
        let mut set = P::map(presence, |presence| SetDelta { presence, elements: SortedMap::with_capacity(count) });
        let mut last = None;
        for _ in 0..count {
            let element = wire::value(&mut self.reader)?;
            wire::ascending(&mut last, element, WHAT)?;
            let leaf = self.mark::<P>()?;
            P::put(&mut set, leaf, |set: &mut SetDelta, leaf| set.elements.push(element.to_value(), leaf));
        }
        Ok(set)
    }

    fn counter<P: Pass>(&mut self) -> Result<P::Kept<CounterDelta>, DecodeError> {
        const WRITES: &str = "the writes of a counter";
        const RESETS: &str = "the resets of a counter";
        let count = self.reader.count(1, WRITES)?;
        let mut writes = P::keep(|| SortedMap::with_capacity(count));
        let mut last = None;
        for _ in 0..count {
            let dot = self.dot_in_range()?;
            wire::ascending(&mut last, dot.replica, WRITES)?;
            let write = self.own_write(dot)?;
            P::put(&mut writes, P::keep(|| (dot.counter, write)), |writes: &mut SortedMap<_, _>, write| {
                writes.push(dot.replica, write);
            });
        }
        let resets_count = self.reader.count(3, RESETS)?;
        touched(count > 0, resets_count)?;
        let mut counter =
            P::map(writes, |writes| CounterDelta { writes, resets: SortedMap::with_capacity(resets_count) });
        let mut last = None;
        for _ in 0..resets_count {
            let through = self.table.superseded_dot(&mut self.reader)?;
            wire::ascending(&mut last, through.replica, RESETS)?;
            let total = self.reader.signed("a counter's total")?;
            P::put(&mut counter, P::keep(|| (through.counter, total)), |counter: &mut CounterDelta, reset| {
                counter.resets.push(through.replica, reset);
            });
        }
        Ok(counter)
    }

    fn own_write(&mut self, dot: Dot) -> Result<OwnWrite, DecodeError> {
        match self.reader.u8("a write of a counter")? {
            0 => Ok(OwnWrite::Dropped),
            1 => Ok(OwnWrite::Total { total: self.reader.signed("a counter's total")?, since: None }),
            2 => {
                let total = self.reader.signed("a counter's total")?;
                let ago = self.reader.varint_max(dot.counter - 1, "the start of a count")?;
                Ok(OwnWrite::Total { total, since: Some(dot.counter - 1 - ago) })
            }
            tag => Err(DecodeError::Unknown { what: "write of a counter", tag }),
        }
    }
}

fn register_entry<P: Pass>(reader: &mut Reader<'_>) -> Result<P::Kept<(Stamp, Value)>, DecodeError> {
    let stamp = Stamp::from_u64(reader.u64("a stamp")?);
    let value = wire::value(reader)?;
    Ok(P::keep(|| (stamp, value.to_value())))
}

/// Refuses a key beneath which nothing is touched.
fn touched(marked: bool, entries: usize) -> Result<(), DecodeError> {
    if marked || entries > 0 { Ok(()) } else { Err(DecodeError::NotCanonical("a key without changes")) }
}
