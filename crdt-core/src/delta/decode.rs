//! Bytes to a delta, once and for all: what comes out holds every invariant a delta has.
//!
//! Recursion is bounded by the nesting limit, allocation by the bytes left, and every list must be
//! strictly ascending.

use smallvec::SmallVec;

use super::encode::{COALESCED, SINGLE, chain};
use super::{
    ChainedRange, CounterDelta, Delta, DotRange, LeafDelta, MapDelta, NodeDelta, OwnWrite, SetDelta, range_of,
};
use crate::clock::Stamp;
use crate::codec::{DecodeError, Reader};
use crate::id::{COUNTER_MAX, Dot};
use crate::limits::NESTING_MAX;
use crate::path::Kind;
use crate::sorted::SortedMap;
use crate::value::Value;
use crate::wire::{self, ReplicaTable};

impl Delta {
    /// Reads one delta; every byte must belong to it. O(bytes), and allocates in proportion.
    ///
    /// # Errors
    /// [`DecodeError`] for whatever [`encode`](Self::encode) would not have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.u8("a delta")? {
            SINGLE => Self::decode_single(reader),
            COALESCED => Self::decode_coalesced(reader),
            tag => Err(DecodeError::Unknown { what: "delta format", tag }),
        }
    }

    fn decode_single(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let chain_after = reader.u64("a chain hash")?;
        let content = reader.rest();
        let mut table = ReplicaTable::read(&mut reader)?;
        let replica = table.replica(&mut reader)?;
        let after = reader.varint_max(COUNTER_MAX - 1, "a counter")?;
        let range = DotRange { replica, after, through: after + 1 };
        let only = ChainedRange { range, chain_after, chain_through: chain(chain_after, content) };
        Self::decode_body(reader, table, SmallVec::from_buf([only]))
    }

    fn decode_coalesced(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "the ranges of a delta";
        let mut table = ReplicaTable::read(&mut reader)?;
        let mut ranges: SmallVec<[ChainedRange; 1]> = SmallVec::new();
        for _ in 0..reader.count(19, WHAT)? {
            let replica = table.replica(&mut reader)?;
            wire::ascending(ranges.last().map(|last| &last.range.replica), &replica, WHAT)?;
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
        Self::decode_body(reader, table, ranges)
    }

    fn decode_body(
        reader: Reader<'_>,
        table: ReplicaTable,
        ranges: SmallVec<[ChainedRange; 1]>,
    ) -> Result<Self, DecodeError> {
        if ranges.iter().any(|chained| chained.range.after == 0 && chained.chain_after != 0) {
            return Err(DecodeError::NotCanonical("a chain hash before the first transaction"));
        }
        let mut decoder = Decoder { reader, table, ranges: &ranges };
        let body = decoder.map(NESTING_MAX)?;
        let Decoder { reader, table, .. } = decoder;
        reader.finish()?;
        table.finish()?;
        if body.presence.is_some() {
            // The root exists anyway.
            return Err(DecodeError::NotCanonical("a presence mark at the root"));
        }
        let mut delta = Self { ranges, needs: SmallVec::new(), body };
        delta.collect_needs();
        Ok(delta)
    }
}

struct Decoder<'a> {
    reader: Reader<'a>,
    table: ReplicaTable,
    ranges: &'a [ChainedRange],
}

impl Decoder<'_> {
    fn dot_in_range(&mut self) -> Result<Dot, DecodeError> {
        if let [only] = self.ranges
            && only.range.through == only.range.after + 1
        {
            return Ok(Dot::new(only.range.replica, only.range.through));
        }
        let replica = self.table.replica(&mut self.reader)?;
        let range = range_of(self.ranges, replica).ok_or(DecodeError::NotCanonical("a dot outside the ranges"))?;
        let offset = self.reader.varint_max(range.through - range.after - 1, "a dot in a range")?;
        Ok(Dot::new(replica, range.after + 1 + offset))
    }

    fn dot_outside_ranges(&mut self) -> Result<Dot, DecodeError> {
        let replica = self.table.replica(&mut self.reader)?;
        let dot = Dot::new(replica, wire::counter(&mut self.reader)?);
        // Above the range is possible: coalesced for a peer that has more of that replica already.
        if range_of(self.ranges, replica).is_some_and(|range| range.contains(dot.counter)) {
            return Err(DecodeError::NotCanonical("a superseded dot inside the ranges"));
        }
        Ok(dot)
    }

    fn leaf<P>(
        &mut self,
        payload: impl Fn(&mut Reader<'_>) -> Result<P, DecodeError>,
    ) -> Result<LeafDelta<P>, DecodeError> {
        const WHAT: &str = "the dots of an entry";
        let head = self.reader.varint(WHAT)?;
        let mut added = head & 3;
        if added == 3 {
            added = self.reader.varint_max(COUNTER_MAX, WHAT)? + 3;
        }
        let mut leaf = LeafDelta::default();
        for _ in 0..added {
            // Only a single delta's dot takes no byte, and it allows one entry: each round either
            // reads a byte or fails.
            let dot = self.dot_in_range()?;
            // A replica's later write at a place supersedes its earlier one: at most one each.
            wire::ascending(leaf.added.last().map(|(last, _)| &last.replica), &dot.replica, WHAT)?;
            leaf.added.push((dot, payload(&mut self.reader)?));
        }
        for _ in 0..head >> 2 {
            let dot = self.dot_outside_ranges()?;
            wire::ascending(leaf.superseded.last(), &dot, WHAT)?;
            leaf.superseded.push(dot);
        }
        Ok(leaf)
    }

    fn presence(&mut self) -> Result<Option<LeafDelta<()>>, DecodeError> {
        match self.reader.u8("a presence mark")? {
            0 => Ok(None),
            1 => self.leaf(|_| Ok(())).map(Some),
            _ => Err(DecodeError::NotCanonical("a presence mark")),
        }
    }

    /// Reads a map with at most `depth` keys beneath each other.
    fn map(&mut self, depth: usize) -> Result<MapDelta, DecodeError> {
        let mut map = MapDelta { presence: self.presence()?, children: SortedMap::new() };
        for _ in 0..self.reader.count(3, "the keys of a map")? {
            let depth = depth.checked_sub(1).ok_or(DecodeError::Limit("nesting"))?;
            let key = wire::key(&mut self.reader)?;
            wire::ascending(map.children.last_key(), &key, "the keys of a map")?;
            let child = match key.kind {
                Kind::Register => NodeDelta::Register(self.leaf(register_entry)?),
                Kind::Counter => NodeDelta::Counter(self.counter()?),
                Kind::Set => NodeDelta::Set(self.set()?),
                Kind::Map => NodeDelta::Map(self.map(depth)?),
            };
            if child.is_empty() {
                return Err(DecodeError::NotCanonical("a key without changes"));
            }
            map.children.insert(key, child);
        }
        Ok(map)
    }

    fn set(&mut self) -> Result<SetDelta, DecodeError> {
        let mut set = SetDelta { presence: self.presence()?, elements: SortedMap::new() };
        for _ in 0..self.reader.count(2, "the elements of a set")? {
            let element = wire::value(&mut self.reader)?;
            wire::ascending(set.elements.last_key(), &element, "the elements of a set")?;
            let leaf = self.leaf(|_| Ok(()))?;
            set.elements.insert(element, leaf);
        }
        Ok(set)
    }

    fn counter(&mut self) -> Result<CounterDelta, DecodeError> {
        let mut counter = CounterDelta::default();
        for _ in 0..self.reader.count(1, "the writes of a counter")? {
            let dot = self.dot_in_range()?;
            wire::ascending(counter.writes.last_key(), &dot.replica, "the writes of a counter")?;
            let write = self.own_write(dot)?;
            counter.writes.insert(dot.replica, (dot.counter, write));
        }
        for _ in 0..self.reader.count(3, "the resets of a counter")? {
            let owner = self.table.replica(&mut self.reader)?;
            wire::ascending(counter.resets.last_key(), &owner, "the resets of a counter")?;
            let through = wire::counter(&mut self.reader)?;
            counter.resets.insert(owner, (through, self.reader.signed("a counter's total")?));
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

fn register_entry(reader: &mut Reader<'_>) -> Result<(Stamp, Value), DecodeError> {
    let stamp = Stamp::from_u64(reader.u64("a stamp")?);
    Ok((stamp, wire::value(reader)?))
}
