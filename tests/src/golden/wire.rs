//! One link: first in, first out, both ways, until one end closes it or it is cut.

use std::collections::VecDeque;

use crdt_sync::{FrameReader, LinkId};

use super::command::Name;

/// A link between two on stage; end 0 has dialled.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) ends: [End; 2],
    /// The how-manieth between these two.
    pub(super) number: u64,
}

/// One end of a link.
#[derive(Debug)]
pub(super) struct End {
    pub(super) name: Name,
    pub(super) link: LinkId,
    pub(super) state: State,
    /// Nothing arrives here for the time being.
    pub(super) is_paused: bool,
    /// Reads what it says.
    pub(super) reader: FrameReader,
    /// What is on its way here.
    pub(super) towards: VecDeque<Parcel>,
}

/// What a link is to the endpoint at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has not been told of it yet.
    Waiting,
    Open,
    /// It has closed it or heard that it is closed, or is no more.
    Closed,
}

/// What a link carries.
#[derive(Debug)]
pub(super) enum Parcel {
    /// Its bytes, and how it was shown.
    Message(Vec<u8>, String),
    /// The other end has closed the link.
    Close,
}

impl Wire {
    pub(super) fn new(from: (Name, LinkId), to: (Name, LinkId), number: u64) -> Self {
        let end = |(name, link)| End {
            name,
            link,
            state: State::Waiting,
            is_paused: false,
            reader: FrameReader::default(),
            towards: VecDeque::new(),
        };
        Self { ends: [end(from), end(to)], number }
    }

    pub(super) fn joins(&self, one: Name, other: Name) -> bool {
        let [first, second] = [self.ends[0].name, self.ends[1].name];
        (first, second) == (one, other) || (first, second) == (other, one)
    }

    /// Tells whether either end still knows of it.
    pub(super) fn is_live(&self) -> bool {
        self.ends.iter().any(|end| end.state != State::Closed)
    }

    /// Finds the end at which what `from` sends arrives.
    pub(super) fn end_from(&self, from: Name) -> usize {
        if self.ends[0].name == from { 1 } else { 0 }
    }

    /// Shows one end's way to the other: `A -> B`, with `/2` for a second link.
    pub(super) fn arrow(&self, end: usize, arrow: &str) -> String {
        format!("{} {arrow} {}", self.ends[end].name, self.far(end))
    }

    /// Shows what one end has at the other: `B`, or `B/2` on a second link.
    pub(super) fn far(&self, end: usize) -> String {
        match self.number {
            1 => self.ends[1 - end].name.to_string(),
            number => format!("{}/{number}", self.ends[1 - end].name),
        }
    }
}
