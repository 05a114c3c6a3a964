//! Commands about links: laying and cutting them, holding messages up, and speaking for a stranger.

use crdt_sync::{Input, LinkId};

use super::command::Name;
use super::stage::Stage;
use super::wire::{Parcel, State, Wire};
use super::{Failure, lines};

impl Stage {
    /// Lays a link, of which only the end that dials knows yet.
    pub(super) fn dial(&mut self, from: Name, to: Name) -> Result<(), Failure> {
        self.start(from)?;
        self.start(to)?;
        self.wires_laid += 1;
        let wire = self.wires_laid;
        let number = 1 + self.wires.values().filter(|wire| wire.joins(from, to)).count() as u64;
        // `find` goes back from these numbers to the link and its end.
        let ends = [(from, LinkId(2 * wire - 1)), (to, LinkId(2 * wire))];
        self.wires.insert(wire, Wire::new(ends[0], ends[1], number));
        self.bring_up(wire, 0)
    }

    /// Tells the end that was dialled of the last link that it does not know.
    pub(super) fn answer(&mut self, from: Name, to: Name) -> Result<(), Failure> {
        let unanswered =
            |wire: &Wire| wire.joins(from, to) && wire.ends[0].name == from && wire.ends[1].state == State::Waiting;
        let wire = self.wires.iter().rev().find(|(_, wire)| unanswered(wire)).map(|(number, _)| *number);
        self.bring_up(wire.ok_or_else(|| format!("{from} has not dialled {to}"))?, 1)
    }

    fn bring_up(&mut self, wire: u64, end: usize) -> Result<(), Failure> {
        let it = self.wires.get_mut(&wire).ok_or("no such link")?;
        it.ends[end].state = State::Open;
        let (name, link) = (it.ends[end].name, it.ends[end].link);
        if name.is_stranger() {
            return Ok(());
        }
        self.nonces += 1;
        let nonce = self.nonces;
        self.tell(name, Input::LinkUp { link, nonce })
    }

    pub(super) fn deliver(&mut self, from: Name, to: Name, link: Option<u64>, count: usize) -> Result<(), Failure> {
        for _ in 0..count {
            let (wire, end) = self.way(from, to, link, |wire, end| !wire.ends[end].towards.is_empty())?;
            if !self.arrive(wire, end)? {
                return Err(format!("nothing can arrive from {from} at {to}").into());
            }
        }
        Ok(())
    }

    pub(super) fn pause(&mut self, from: Name, to: Name) -> Result<(), Failure> {
        self.set_paused(from, to, Flow::Stopped)
    }

    pub(super) fn resume(&mut self, from: Name, to: Name) -> Result<(), Failure> {
        self.set_paused(from, to, Flow::Free)
    }

    fn set_paused(&mut self, from: Name, to: Name, flow: Flow) -> Result<(), Failure> {
        let (wire, end) = self.way(from, to, None, |wire, _| wire.is_live())?;
        let it = self.wires.get_mut(&wire).ok_or("no such link")?;
        it.ends[end].is_paused = matches!(flow, Flow::Stopped);
        Ok(())
    }

    pub(super) fn lose(&mut self, from: Name, to: Name) -> Result<(), Failure> {
        let (wire, end) = self.way(from, to, None, |wire, end| !wire.ends[end].towards.is_empty())?;
        let it = self.wires.get_mut(&wire).ok_or("no such link")?;
        let lost = it.ends[end].towards.pop_front();
        let arrow = it.arrow(1 - end, "->");
        self.lost(&arrow, lost);
        Ok(())
    }

    /// Ends a link at both ends at once.
    pub(super) fn cut(&mut self, from: Name, to: Name, link: Option<u64>) -> Result<(), Failure> {
        let (wire, _) = self.way(from, to, link, |wire, _| wire.is_live())?;
        for end in [0, 1] {
            let it = self.wires.get_mut(&wire).ok_or("no such link")?;
            let arrow = it.arrow(1 - end, "->");
            for parcel in std::mem::take(&mut it.ends[end].towards) {
                self.lost(&arrow, Some(parcel));
            }
        }
        for end in [0, 1] {
            let it = self.wires.get_mut(&wire).ok_or("no such link")?;
            let was = std::mem::replace(&mut it.ends[end].state, State::Closed);
            let (name, link, arrow) = (it.ends[end].name, it.ends[end].link, it.arrow(end, "<-"));
            if was == State::Open {
                self.line(&format!("{arrow}  cut"));
                if !name.is_stranger() {
                    self.tell(name, Input::LinkDown { link })?;
                }
            }
        }
        Ok(())
    }

    /// Puts bytes on a link in somebody's name.
    pub(super) fn raw(&mut self, from: Name, to: Name, bytes: &[u8]) -> Result<(), Failure> {
        let (wire, end) = self.way(from, to, None, |wire, _| wire.is_live())?;
        self.put(wire, 1 - end, bytes.to_vec());
        Ok(())
    }

    /// Finds the first link between two that fits, and the end at which what `from` sends arrives.
    fn way(
        &self,
        from: Name,
        to: Name,
        number: Option<u64>,
        fits: impl Fn(&Wire, usize) -> bool,
    ) -> Result<(u64, usize), Failure> {
        let mut ways = self.wires.iter().filter(|(_, wire)| wire.joins(from, to));
        let way =
            ways.find(|(_, wire)| number.is_none_or(|number| wire.number == number) && fits(wire, wire.end_from(from)));
        way.map(|(key, wire)| (*key, wire.end_from(from)))
            .ok_or_else(|| format!("no such link from {from} to {to}").into())
    }

    fn lost(&mut self, arrow: &str, parcel: Option<Parcel>) {
        if let Some(Parcel::Message(_, shown)) = parcel {
            self.line(&format!("{arrow}  lost: {}", lines::message_again(&shown)));
        }
    }
}

/// Whether messages arrive at an end.
#[derive(Clone, Copy)]
enum Flow {
    Free,
    Stopped,
}
