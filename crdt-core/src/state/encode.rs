//! A whole state as bytes: canonical, so that equal documents have equal bytes on every machine.
//!
//! Everything is sorted here and only here; tables have no order of their own. The digest closes
//! the bytes: decoding recomputes it, so damaged bytes are refused instead of becoming data.

use smallvec::SmallVec;

use super::State;
use super::recorder::Recorder;
use crate::clock::Stamp;
use crate::codec::{DecodeError, Encode, Reader};
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

/// First byte of a snapshot.
const SNAPSHOT: u8 = 3;

impl State {
    /// Returns the canonical bytes. O(n log n).
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u8(SNAPSHOT);
        let frontier = self.frontier();
        frontier.encode(&mut out);
        // Bytes number the replicas by id; replicas that are numbered but have written nothing have no dots.
        let mut ranks = vec![0; self.context.len()];
        for (rank, (replica, ..)) in frontier.iter().enumerate() {
            let index = self.context.index(replica).expect("a frontier lists replicas of the context");
            ranks[index.position()] = rank as u64;
        }
        let mut encoder = Encoder { out: &mut out, ranks: &ranks };
        encoder.map(&self.root);
        out.put_bytes(&self.digest.0.to_le_bytes());
        out
    }

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

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    /// By replica index: its place among the replicas sorted by id.
    ranks: &'a [u64],
}

impl Encoder<'_> {
    fn dot(&mut self, dot: LocalDot) {
        self.out.put_varint(self.ranks[dot.replica().position()]);
        self.out.put_varint(dot.counter());
    }

    fn rank(&self, dot: LocalDot) -> (u64, u64) {
        (self.ranks[dot.replica().position()], dot.counter())
    }

    fn dots(&mut self, dots: &Dots) {
        self.out.put_varint(dots.iter().len() as u64);
        let mut sorted: SmallVec<[LocalDot; 4]> = dots.iter().collect();
        sorted.sort_unstable_by_key(|dot| self.rank(*dot));
        sorted.into_iter().for_each(|dot| self.dot(dot));
    }

    fn map(&mut self, map: &MapNode) {
        self.dots(&map.presence);
        let mut children: Vec<(&Key, &Node)> = map.children.iter().collect();
        children.sort_unstable_by_key(|(key, _)| *key);
        self.out.put_varint(children.len() as u64);
        for (key, child) in children {
            wire::put_key(self.out, key);
            match child {
                Node::Register(register) => self.register(register),
                Node::Counter(counter) => self.counter(counter),
                Node::Set(set) => self.set(set),
                Node::Map(map) => self.map(map),
            }
        }
    }

    fn set(&mut self, set: &SetNode) {
        self.dots(&set.presence);
        let mut elements: Vec<(&Value, &Dots)> = set.elements.iter().collect();
        elements.sort_unstable_by_key(|(element, _)| *element);
        self.out.put_varint(elements.len() as u64);
        for (element, dots) in elements {
            wire::put_value(self.out, element);
            self.dots(dots);
        }
    }

    fn register(&mut self, register: &RegisterNode) {
        let mut entries: SmallVec<[&RegisterEntry; 4]> = register.entries.iter().collect();
        entries.sort_unstable_by_key(|entry| self.rank(entry.dot));
        self.out.put_varint(entries.len() as u64);
        for entry in entries {
            self.dot(entry.dot);
            self.out.put_u64(entry.stamp.as_u64());
            wire::put_value(self.out, &entry.value);
        }
    }

    fn counter(&mut self, counter: &CounterNode) {
        let mut entries: SmallVec<[&CounterEntry; 4]> = counter.entries.iter().collect();
        entries.sort_unstable_by_key(|entry| self.rank(entry.dot));
        self.out.put_varint(entries.len() as u64);
        for entry in entries {
            self.dot(entry.dot);
            self.out.put_signed(entry.total);
            self.out.put_varint(entry.dot.counter() - entry.base);
            self.out.put_signed(entry.base_total);
        }
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
