//! Bytes to a state: what comes out holds every invariant a state has.
//!
//! The content is walked twice, first to check and then to build (see [`pass`](crate::pass)). The
//! first walk also computes the digest, so damaged bytes are refused instead of becoming data.

use smallvec::SmallVec;

use super::State;
use super::encode::SNAPSHOT;
use crate::clock::Stamp;
use crate::codec::{DecodeError, Reader};
use crate::context::{LocalDot, ReplicaIndex};
use crate::digest::{Digest, PRESENCE, PathHash, counter_payload, value_payload};
use crate::dots::Dots;
use crate::elements::{self, Elements};
use crate::frontier::{Frontier, Tip};
use crate::id::Dot;
use crate::limits::NESTING_MAX;
use crate::node::{CounterEntry, CounterNode, MapNode, Node, RegisterEntry, RegisterNode, SetNode};
use crate::pass::{Build, Check, Pass};
use crate::path::Kind;
use crate::table::Builder;
use crate::wire;

impl State {
    /// Reads a state back. O(bytes). Bytes that are refused make it allocate at most twice their
    /// length; otherwise that is allowed on top of twice the state itself.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.u8("a snapshot")? {
            SNAPSHOT => {}
            tag => {
                return Err(DecodeError::Unknown { what: "snapshot format", tag });
            }
        }
        let frontier = Frontier::decode(&mut reader)?;
        let (digest, ()) = Decoder::new(reader.clone(), &frontier).content::<Check>()?;
        let (_, root) = Decoder::new(reader, &frontier).content::<Build>()?;
        Ok(Self::of(&frontier, root, digest))
    }
}

struct Decoder<'b, 'f> {
    reader: Reader<'b>,
    /// The version: no entry may have a dot beyond it. Dots number the replicas by their places here.
    tips: &'f [Tip],
    /// Of what has been read; stays 0 in a walk that does not sum it up.
    digest: Digest,
}

impl<'b, 'f> Decoder<'b, 'f> {
    fn new(reader: Reader<'b>, frontier: &'f Frontier) -> Self {
        Self { reader, tips: frontier.tips(), digest: Digest::default() }
    }

    /// Reads everything behind the frontier; also returns the digest, if the walk sums it up.
    fn content<P: Pass>(mut self) -> Result<(Digest, P::Kept<MapNode>), DecodeError> {
        let root = self.map::<P>(NESTING_MAX, PathHash::default())?;
        let claimed = self.reader.bytes(16, "a digest")?;
        self.reader.finish()?;
        if P::DIGESTS && claimed != self.digest.0.to_le_bytes() {
            return Err(DecodeError::Digest);
        }
        Ok((self.digest, root))
    }

    /// Adds an entry to the digest.
    fn record<P: Pass>(&mut self, at: PathHash, dot: LocalDot, payload: impl FnOnce() -> u64) {
        if P::DIGESTS {
            let dot = Dot::new(self.tips[dot.replica().position()].replica, dot.counter());
            self.digest.add(at.entry(dot, payload()));
        }
    }

    fn dot(&mut self) -> Result<LocalDot, DecodeError> {
        const WHAT: &str = "a dot";
        let rank = usize::try_from(self.reader.varint(WHAT)?).map_err(|_| DecodeError::Limit(WHAT))?;
        let tip = self.tips.get(rank).ok_or(DecodeError::Limit(WHAT))?;
        let counter = wire::counter(&mut self.reader)?;
        if counter > tip.counter {
            return Err(DecodeError::Limit("a dot beyond the version"));
        }
        Ok(LocalDot::new(ReplicaIndex::new(rank), counter))
    }

    /// Reads the dots of an entry with this content; also tells how many there are.
    fn dots<P: Pass>(&mut self, at: PathHash, payload: u64) -> Result<(usize, P::Kept<Dots>), DecodeError> {
        const WHAT: &str = "the dots of an entry";
        let count = self.reader.count(2, WHAT)?;
        if count == 1 {
            let dot = self.dot()?;
            self.record::<P>(at, dot, || payload);
            return Ok((1, P::keep(|| dot.into())));
        }
        let mut dots = P::keep(|| SmallVec::with_capacity(count));
        let mut last = None;
        for _ in 0..count {
            let dot = self.dot()?;
            // A replica's later write at a place supersedes its earlier one: at most one each.
            wire::ascending(&mut last, dot.replica(), WHAT)?;
            self.record::<P>(at, dot, || payload);
            P::put(&mut dots, P::keep(|| dot), SmallVec::push);
        }
        Ok((count, P::map(dots, Dots::from_sorted)))
    }

    /// Reads a map with at most `depth` keys beneath each other; the root, if as many as there may be.
    fn map<P: Pass>(&mut self, depth: usize, at: PathHash) -> Result<P::Kept<MapNode>, DecodeError> {
        const WHAT: &str = "the keys of a map";
        let (marks, presence) = self.dots::<P>(at, PRESENCE)?;
        let count = self.reader.count(3, WHAT)?;
        if depth < NESTING_MAX {
            occupied(marks, count)?;
        } else if marks > 0 {
            // The root exists anyway.
            return Err(DecodeError::NotCanonical("a presence mark at the root"));
        }
        let mut map = P::map(presence, |presence| (presence, Builder::with_capacity(count)));
        let mut last = None;
        for _ in 0..count {
            let depth = depth.checked_sub(1).ok_or(DecodeError::Limit("nesting"))?;
            let key = wire::key(&mut self.reader)?;
            wire::ascending(&mut last, key, WHAT)?;
            let at = if P::DIGESTS { at.child(key) } else { at };
            let child = match key.kind {
                Kind::Register => P::map(self.register::<P>(at)?, Node::Register),
                Kind::Counter => P::map(self.counter::<P>(at)?, Node::Counter),
                Kind::Set => P::map(self.set::<P>(at)?, Node::Set),
                Kind::Map => P::map(self.map::<P>(depth, at)?, Node::Map),
            };
            P::put(&mut map, child, |(_, children): &mut (Dots, Builder<_, _>), child| {
                children.push(key.to_key(), child)
            });
        }
        Ok(P::map(map, |(presence, children)| MapNode { presence, children: children.finish() }))
    }

    fn set<P: Pass>(&mut self, at: PathHash) -> Result<P::Kept<SetNode>, DecodeError> {
        const WHAT: &str = "the elements of a set";
        let (marks, presence) = self.dots::<P>(at, PRESENCE)?;
        let count = self.reader.count(4, WHAT)?;
        occupied(marks, count)?;
        let mut set = P::map(presence, |presence| (presence, Elements::builder(count)));
        let mut last = None;
        for _ in 0..count {
            let element = wire::value(&mut self.reader)?;
            wire::ascending(&mut last, element, WHAT)?;
            let payload = if P::DIGESTS { value_payload(element, 0) } else { 0 };
            let (dot_count, dots) = self.dots::<P>(at, payload)?;
            if dot_count == 0 {
                return Err(DecodeError::NotCanonical("an element without dots"));
            }
            P::put(&mut set, dots, |(_, elements): &mut (Dots, elements::Builder<_>), dots| {
                elements.push(element.to_value(), dots)
            });
        }
        Ok(P::map(set, |(presence, elements)| SetNode { presence, elements: Elements::built(elements) }))
    }

    fn register<P: Pass>(&mut self, at: PathHash) -> Result<P::Kept<RegisterNode>, DecodeError> {
        const WHAT: &str = "the values of a register";
        let count = self.reader.count(11, WHAT)?;
        occupied(0, count)?;
        let mut register = P::keep(|| RegisterNode { entries: SmallVec::with_capacity(count) });
        let mut last = None;
        for _ in 0..count {
            let dot = self.dot()?;
            wire::ascending(&mut last, dot.replica(), WHAT)?;
            let stamp = Stamp::from_u64(self.reader.u64("a stamp")?);
            let value = wire::value(&mut self.reader)?;
            self.record::<P>(at, dot, || value_payload(value, stamp.as_u64()));
            let entry = P::keep(|| RegisterEntry { dot, stamp, value: value.to_value() });
            P::put(&mut register, entry, |register: &mut RegisterNode, entry| register.entries.push(entry));
        }
        Ok(register)
    }

    fn counter<P: Pass>(&mut self, at: PathHash) -> Result<P::Kept<CounterNode>, DecodeError> {
        const WHAT: &str = "the entries of a counter";
        let count = self.reader.count(5, WHAT)?;
        occupied(0, count)?;
        let mut entries = P::keep(|| SmallVec::with_capacity(count));
        let mut last = None;
        for _ in 0..count {
            let dot = self.dot()?;
            wire::ascending(&mut last, dot.replica(), WHAT)?;
            let total = self.reader.signed("a counter's total")?;
            let since = self.reader.varint_max(dot.counter(), "a counter's base")?;
            let base_total = self.reader.signed("a counter's base")?;
            let entry = CounterEntry { dot, total, base: dot.counter() - since, base_total };
            self.record::<P>(at, dot, || counter_payload(total, entry.base, base_total));
            P::put(&mut entries, P::keep(|| entry), SmallVec::push);
        }
        Ok(P::map(entries, CounterNode::from_sorted))
    }
}

/// Refuses a key that leads to nothing.
fn occupied(marks: usize, entries: usize) -> Result<(), DecodeError> {
    if marks + entries > 0 { Ok(()) } else { Err(DecodeError::NotCanonical("a key without entries")) }
}
