//! Bytes to a state: what comes out holds every invariant a state has.
//!
//! The digest is computed again, so damaged bytes are refused instead of becoming data.

use smallvec::SmallVec;

use super::State;
use super::encode::SNAPSHOT;
use super::recorder::Recorder;
use crate::clock::Stamp;
use crate::codec::{DecodeError, Reader};
use crate::context::{Context, LocalDot, ReplicaIndex};
use crate::digest::PathHash;
use crate::dots::Dots;
use crate::elements::Elements;
use crate::frontier::Frontier;
use crate::limits::NESTING_MAX;
use crate::node::{CounterEntry, CounterNode, MapNode, Node, RegisterEntry, RegisterNode, SetNode};
use crate::path::{Key, Kind};
use crate::table::Table;
use crate::value::Value;
use crate::wire;

impl State {
    /// Reads a state back. O(bytes), and allocates in proportion.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.u8("a snapshot")? {
            SNAPSHOT => {}
            tag => {
                return Err(DecodeError::Unknown { what: "snapshot format", tag });
            }
        }
        let frontier = Frontier::decode(&mut reader)?;
        let mut state = Self::default();
        for (replica, counter, chain) in frontier.iter() {
            let index = state.intern(replica).map_err(|_| DecodeError::Limit("a frontier"))?;
            state.advance(index, counter, chain);
        }
        let recorder = Recorder::digesting(&state.context, &mut state.digest);
        let mut decoder = Decoder { reader, context: &state.context, recorder };
        let root = decoder.map(NESTING_MAX, PathHash::default())?;
        let mut reader = decoder.reader;
        state.root = root;
        let claimed = reader.bytes(16, "a digest")?;
        reader.finish()?;
        if !state.root.presence.is_empty() {
            // The root exists anyway.
            return Err(DecodeError::NotCanonical("a presence mark at the root"));
        }
        if claimed != state.digest.0.to_le_bytes() {
            return Err(DecodeError::Digest);
        }
        Ok(state)
    }
}

struct Decoder<'b, 'a> {
    reader: Reader<'b>,
    /// The version: no entry may have a dot beyond it.
    context: &'a Context,
    recorder: Recorder<'a>,
}

impl Decoder<'_, '_> {
    fn dot(&mut self) -> Result<LocalDot, DecodeError> {
        const WHAT: &str = "a dot";
        let rank = self.reader.varint(WHAT)?;
        let position = usize::try_from(rank).ok().filter(|rank| *rank < self.context.len());
        let replica = ReplicaIndex::new(position.ok_or(DecodeError::Limit(WHAT))?);
        let dot = LocalDot::new(replica, wire::counter(&mut self.reader)?);
        if self.context.covers(dot) { Ok(dot) } else { Err(DecodeError::Limit("a dot beyond the version")) }
    }

    fn dots(&mut self) -> Result<Dots, DecodeError> {
        const WHAT: &str = "the dots of an entry";
        let mut dots: SmallVec<[LocalDot; 2]> = SmallVec::new();
        for _ in 0..self.reader.count(2, WHAT)? {
            let dot = self.dot()?;
            // A replica's later write at a place supersedes its earlier one: at most one each.
            wire::ascending(dots.last().map(|last| last.replica()).as_ref(), &dot.replica(), WHAT)?;
            dots.push(dot);
        }
        Ok(dots.into_iter().collect())
    }

    fn presence(&mut self, at: PathHash) -> Result<Dots, DecodeError> {
        let presence = self.dots()?;
        self.recorder.presence(at, &Dots::default(), &presence);
        Ok(presence)
    }

    /// Reads a map with at most `depth` keys beneath each other.
    fn map(&mut self, depth: usize, at: PathHash) -> Result<MapNode, DecodeError> {
        const WHAT: &str = "the keys of a map";
        let mut map = MapNode { presence: self.presence(at)?, children: Table::new() };
        let mut last: Option<Key> = None;
        for _ in 0..self.reader.count(3, WHAT)? {
            let depth = depth.checked_sub(1).ok_or(DecodeError::Limit("nesting"))?;
            let key = wire::key(&mut self.reader)?;
            wire::ascending(last.as_ref(), &key, WHAT)?;
            let at = at.child(&key);
            let child = match key.kind {
                Kind::Register => Node::Register(self.register(at)?),
                Kind::Counter => Node::Counter(self.counter(at)?),
                Kind::Set => Node::Set(self.set(at)?),
                Kind::Map => Node::Map(self.map(depth, at)?),
            };
            if child.is_vacant() {
                return Err(DecodeError::NotCanonical("a key without entries"));
            }
            map.children.insert(key.clone(), child);
            last = Some(key);
        }
        Ok(map)
    }

    fn set(&mut self, at: PathHash) -> Result<SetNode, DecodeError> {
        const WHAT: &str = "the elements of a set";
        let mut set = SetNode { presence: self.presence(at)?, elements: Elements::new() };
        let mut last: Option<Value> = None;
        for _ in 0..self.reader.count(4, WHAT)? {
            let element = wire::value(&mut self.reader)?;
            wire::ascending(last.as_ref(), &element, WHAT)?;
            let dots = self.dots()?;
            if dots.is_empty() {
                return Err(DecodeError::NotCanonical("an element without dots"));
            }
            self.recorder.element(at, &element, &Dots::default(), &dots);
            set.elements.insert(element.clone(), dots);
            last = Some(element);
        }
        Ok(set)
    }

    fn register(&mut self, at: PathHash) -> Result<RegisterNode, DecodeError> {
        const WHAT: &str = "the values of a register";
        let mut register = RegisterNode::default();
        for _ in 0..self.reader.count(11, WHAT)? {
            let dot = self.dot()?;
            wire::ascending(register.entries.last().map(|last| last.dot.replica()).as_ref(), &dot.replica(), WHAT)?;
            let stamp = Stamp::from_u64(self.reader.u64("a stamp")?);
            register.entries.push(RegisterEntry { dot, stamp, value: wire::value(&mut self.reader)? });
        }
        self.recorder.register(at, &[], &register);
        Ok(register)
    }

    fn counter(&mut self, at: PathHash) -> Result<CounterNode, DecodeError> {
        const WHAT: &str = "the entries of a counter";
        let mut counter = CounterNode::default();
        for _ in 0..self.reader.count(5, WHAT)? {
            let dot = self.dot()?;
            let owner = dot.replica();
            wire::ascending(counter.entries.last().map(|last| last.dot.replica()).as_ref(), &owner, WHAT)?;
            let total = self.reader.signed("a counter's total")?;
            let since = self.reader.varint_max(dot.counter(), "a counter's base")?;
            let base_total = self.reader.signed("a counter's base")?;
            let entry = CounterEntry { dot, total, base: dot.counter() - since, base_total };
            self.recorder.counter_entry(at, None, Some(&entry));
            counter.entries.push(entry);
        }
        Ok(counter)
    }
}
