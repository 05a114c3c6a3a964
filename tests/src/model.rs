//! The naive reference: what a document must contain, by definition and with no cleverness.
//!
//! A history is a list of events, one a transaction, each with the events it had seen. A replica's
//! state is a *set of events*, nothing more. Its content: an entry that an event wrote is live
//! unless an edit in the state that has seen the event clears it. Merging is set union, so every
//! law of merging holds for the model at a glance; the documents have to earn theirs.
//!
//! O(n²) over all edits, on purpose. Absent: version vectors, dots per entry, baselines, deltas.

use crdt_core::{Dot, Stamp, VersionVector};

use crate::op::{Edit, Entry, Item, Op, Scope};
use crate::view::View;

/// A set of events of one [`Model`], which has at most 128.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventSet(u128);

impl EventSet {
    /// Tells whether the event with this number is in the set.
    #[must_use]
    pub fn contains(self, event: usize) -> bool {
        self.0 >> event & 1 == 1
    }

    /// Returns the set with one more event.
    #[must_use]
    pub fn with(self, event: usize) -> Self {
        assert!(event < 128, "a model holds at most 128 events");
        Self(self.0 | 1 << event)
    }

    /// Returns all that is in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Tells whether all of `other` is in this set.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }
}

/// One transaction: who, what, and what it had seen.
#[derive(Clone, Debug)]
pub struct Event {
    /// The transaction's name.
    pub dot: Dot,
    /// What its replica had seen before it, its own earlier events included.
    pub past: EventSet,
    /// Its edits in order; a later one has seen the earlier ones.
    pub ops: Vec<Op>,
    /// The stamp of each edit that writes a register, as read from the document that made it.
    pub stamps: Vec<Option<Stamp>>,
    /// Its replica has crashed before it was durable: it has never happened.
    pub lost: bool,
}

/// All events of a network.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// By number; an event's past has lower numbers only.
    pub events: Vec<Event>,
}

/// One edit of one event.
#[derive(Clone, Copy)]
struct Place {
    event: usize,
    op: usize,
}

impl Model {
    /// Begins an event; returns its number.
    pub fn begin(&mut self, dot: Dot, past: EventSet) -> usize {
        self.events.push(Event { dot, past, ops: Vec::new(), stamps: Vec::new(), lost: false });
        self.events.len() - 1
    }

    /// Adds an edit to the event begun last.
    pub fn push(&mut self, op: Op) {
        let event = self.events.last_mut().expect("an event was begun");
        event.ops.push(op);
        event.stamps.push(None);
    }

    /// Takes the event begun last back: its transaction was rolled back or changed nothing.
    pub fn abandon(&mut self) {
        self.events.pop();
    }

    /// A crash has taken an event: no state may ever contain it again.
    pub fn lose(&mut self, event: usize) {
        self.events[event].lost = true;
    }

    /// Reads the stamps of an event's register writes off the document that it was made in.
    pub fn read_stamps(&mut self, event: usize, after: &View) {
        let Event { dot, ops, stamps, .. } = &mut self.events[event];
        for (op, stamp) in ops.iter().zip(stamps) {
            let Edit::Write(_) = op.edit else { continue };
            let values = after.at(&op.map).and_then(|map| map.registers.get(op.name));
            // Nothing is found if a later edit of the event has taken it out again.
            let written = values.into_iter().flatten().find(|written| written.dot == *dot);
            *stamp = written.map(|written| written.stamp);
        }
    }

    /// Returns the number of the event that spent `dot`.
    #[must_use]
    pub fn event(&self, dot: Dot) -> Option<usize> {
        self.events.iter().position(|event| event.dot == dot && !event.lost)
    }

    /// Returns the set of all events.
    #[must_use]
    pub fn all(&self) -> EventSet {
        let counts = (0..self.events.len()).filter(|event| !self.events[*event].lost);
        counts.fold(EventSet::default(), EventSet::with)
    }

    /// Tells whether `state` holds the past of everything in it.
    #[must_use]
    pub fn is_closed(&self, state: EventSet) -> bool {
        let mut held = self.events.iter().enumerate().filter(|(event, _)| state.contains(*event));
        held.all(|(_, event)| state.includes(event.past))
    }

    /// Returns the version of a replica that has seen `state`.
    #[must_use]
    pub fn version(&self, state: EventSet) -> VersionVector {
        let seen = (0..self.events.len()).filter(|event| state.contains(*event));
        seen.map(|event| (self.events[event].dot.replica, self.events[event].dot.counter)).collect()
    }

    /// Returns the content of a replica that has seen `state`.
    #[must_use]
    pub fn view(&self, state: EventSet) -> View {
        let mut view = View::default();
        for (place, entry) in self.live(state) {
            let event = &self.events[place.event];
            view.put(&entry, event.dot, event.stamps[place.op].unwrap_or_default());
        }
        view
    }

    /// Tells whether a replica that has seen `state` has a live entry within `scope`.
    #[must_use]
    pub fn any_live(&self, state: EventSet, scope: &Scope) -> bool {
        self.live(state).iter().any(|(_, entry)| scope.covers(entry))
    }

    /// Lists the register writes of `event` that are live in `state`: number of the edit and entry.
    #[must_use]
    pub fn register_writes(&self, event: usize, state: EventSet) -> Vec<(usize, Entry)> {
        let live = self.live(state).into_iter();
        live.filter(|(place, entry)| place.event == event && matches!(entry.item, Item::Value(_)))
            .map(|(place, entry)| (place.op, entry))
            .collect()
    }

    /// Tells whether the last edits of `event` leave a mark: something written that is still live,
    /// or something taken out that was there before.
    #[must_use]
    pub fn changes_anything(&self, event: usize) -> bool {
        let past = self.events[event].past;
        let before: Vec<Place> = self.live(past).into_iter().map(|(place, _)| place).collect();
        let after: Vec<Place> = self.live(past.with(event)).into_iter().map(|(place, _)| place).collect();
        let added = after.iter().any(|place| place.event == event);
        added || after.len() != before.len()
    }

    fn live(&self, state: EventSet) -> Vec<(Place, Entry)> {
        let places = self.places(state);
        let clears: Vec<(Place, Scope)> =
            places.iter().filter_map(|place| Some((*place, self.op(*place).clears()?))).collect();
        let writes = places.iter().filter_map(|place| Some((*place, self.op(*place).writes()?)));
        writes
            .filter(|(place, entry)| {
                !clears.iter().any(|(by, scope)| self.has_seen(*by, *place) && scope.covers(entry))
            })
            .collect()
    }

    fn places(&self, state: EventSet) -> Vec<Place> {
        let events = (0..self.events.len()).filter(|event| state.contains(*event));
        events.flat_map(|event| (0..self.events[event].ops.len()).map(move |op| Place { event, op })).collect()
    }

    fn op(&self, place: Place) -> &Op {
        &self.events[place.event].ops[place.op]
    }

    /// Tells whether the edit at `later` had seen the one at `earlier`.
    fn has_seen(&self, later: Place, earlier: Place) -> bool {
        let same_event = later.event == earlier.event && earlier.op < later.op;
        same_event || self.events[later.event].past.contains(earlier.event)
    }
}
