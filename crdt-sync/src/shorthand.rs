//! What one end of a link says in fewer bytes because the other has heard it before, on this link.
//!
//! - A delta names each replica by sixteen bytes. So each end numbers those that it has named: 0 is itself, as its hello
//!   says; any other gets the next number with the first delta that names it.
//! - A delta of one transaction begins with the chain hash before it, eight bytes. If the last delta in its document on this
//!   link was the transaction before, the receiver has computed that hash; if there is none before, it is 0.
//!
//! A delta's encoding is made once for all links; only what stands before everything else is made for each.
//!
//! Is an id that was used twice noticed as before? What is left out is put back as it was, from what the link has
//! carried, never from what the receiver holds: so the same numbers are compared, and a receiver that holds another
//! history finds them different.
//!
//! What if a message is lost, or comes twice, as on no sound link? Then a number must not stand for another replica
//! than its sender means, or a transaction would count as somebody else's. So a number is given together with the id,
//! and it is the next one, or the same id had it before: whatever is missing, the receiver knows the number by the same
//! id, or not at all, and closes the link. And a delta still says whose and the how-manieth it is, so one that does not
//! follow the last shows.
//!
//! Deliberately absent: taking a number back. There are as many as a document can have replicas; what is named
//! beyond them is named in full.

use std::collections::BTreeMap;

use crdt_core::codec::{Encode, Reader};
use crdt_core::limits::REPLICAS_MAX;
use crdt_core::{DecodeError, Delta, DeltaLead, Dot, ReplicaId};

use crate::close::CloseReason;
use crate::frame::{self, Lead, Name, ShortDelta};

const TABLE: &str = "a replica table";
const INDEX: &str = "a replica index";

/// What this end has named, and said.
#[derive(Debug)]
pub(crate) struct Spoken {
    numbers: BTreeMap<ReplicaId, usize>,
    ends: Ends,
}

/// What the other end has named, by number, and said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    replicas: Vec<ReplicaId>,
    ends: Ends,
}

/// By handle: where the last delta in a document ended, with the chain hash there, if it was of one replica.
#[derive(Debug, Default)]
struct Ends(BTreeMap<u32, (Dot, u64)>);

/// What a frame says for the first time, once it is on its way.
#[derive(Debug)]
pub(crate) struct News {
    given: Vec<ReplicaId>,
    end: Option<(Dot, u64)>,
}

/// An encoded delta, apart.
struct Apart<'b> {
    lead: DeltaLead,
    table: &'b [[u8; size_of::<ReplicaId>()]],
    rest: &'b [u8],
}

impl Spoken {
    /// Begins with `own`, which goes into the hello.
    pub(crate) fn new(own: ReplicaId) -> Self {
        Self { numbers: BTreeMap::from([(own, 0)]), ends: Ends::default() }
    }

    /// Returns how many replicas have a number.
    pub(crate) fn numbered(&self) -> usize {
        self.numbers.len()
    }

    /// Returns of how many documents it is known where the last delta ended.
    pub(crate) fn ends(&self) -> usize {
        self.ends.0.len()
    }

    /// Makes the frame of a delta that is encoded already, and tells what is to be [`said`](Self::said) with it.
    ///
    /// One that is longer than `at_once_bytes_max` goes in parts, which others overtake: it gives no numbers. Nor does
    /// the next delta build on it, for the sake of those who read along and put no parts together.
    pub(crate) fn delta(
        &self,
        handle: u32,
        delta: &Delta,
        encoded: &[u8],
        at_once_bytes_max: usize,
    ) -> (Vec<u8>, News) {
        let apart = Apart::read(encoded).expect("it was encoded here");
        let mut news = News { given: Vec::new(), end: delta.end() };
        let frame = self.frame(handle, &apart, &mut news.given, REPLICAS_MAX - self.numbered());
        if frame.len() <= at_once_bytes_max {
            return (frame, news);
        }
        (self.frame(handle, &apart, &mut Vec::new(), 0), News { given: Vec::new(), end: None })
    }

    /// Takes note that a frame is on its way.
    pub(crate) fn said(&mut self, handle: u32, news: News) {
        for replica in news.given {
            let next = self.numbered();
            self.numbers.insert(replica, next);
        }
        self.ends.set(handle, news.end);
    }

    /// Gives at most `free` numbers.
    fn frame(&self, handle: u32, apart: &Apart<'_>, given: &mut Vec<ReplicaId>, free: usize) -> Vec<u8> {
        let lead = match apart.lead {
            DeltaLead::Single { chain_after, salt } if self.ends.chain(handle, apart.before()) == Some(chain_after) => {
                Lead::Next { salt }
            }
            lead => Lead::Whole(lead),
        };
        let names = apart.table.iter().map(|id| {
            let replica = ReplicaId::from_bytes(*id);
            match self.numbers.get(&replica) {
                Some(number) => Name::Known(*number),
                None if given.len() < free => {
                    given.push(replica);
                    Name::Given(self.numbered() + given.len() - 1, replica)
                }
                None => Name::Whole(replica),
            }
        });
        frame::delta(handle, lead, names, apart.rest)
    }
}

impl Heard {
    /// The other end has said hello, and who it is.
    pub(crate) fn greeted(&mut self, sender: ReplicaId) {
        *self = Self { replicas: vec![sender], ends: Ends::default() };
    }

    /// Returns how many replicas have a number.
    pub(crate) fn numbered(&self) -> usize {
        self.replicas.len()
    }

    /// Returns of how many documents it is known where the last delta ended.
    pub(crate) fn ends(&self) -> usize {
        self.ends.0.len()
    }

    /// Learns the numbers that a frame gives, as it arrives.
    pub(crate) fn names(&mut self, delta: &ShortDelta<'_>) -> Result<(), CloseReason> {
        delta.names().try_for_each(|name| self.replica(name).map(drop))
    }

    /// Makes the delta that a frame stands for. Comes for each of a document, in order.
    pub(crate) fn delta(&mut self, handle: u32, short: &ShortDelta<'_>) -> Result<Delta, CloseReason> {
        let lead = match short.lead {
            Lead::Whole(lead) => lead,
            Lead::Next { salt } => DeltaLead::Single { chain_after: self.chain(handle, short)?, salt },
        };
        let mut encoded = Vec::with_capacity(short.rest.len() + 64);
        lead.encode(&mut encoded);
        encoded.put_varint(short.names().len() as u64);
        let mut last = None;
        for name in short.names() {
            let replica = self.replica(name)?;
            // So what is made of few bytes is no more than what was named.
            if last.replace(replica).is_some_and(|last| last >= replica) {
                return Err(CloseReason::Malformed(DecodeError::NotCanonical(TABLE)));
            }
            encoded.put_replica(replica);
        }
        encoded.put_bytes(short.rest);
        let delta = Delta::decode(&encoded).map_err(CloseReason::Malformed)?;
        self.ends.set(handle, delta.end());
        Ok(delta)
    }

    /// Returns the chain hash that a frame leaves out.
    fn chain(&mut self, handle: u32, short: &ShortDelta<'_>) -> Result<u64, CloseReason> {
        // In turn: the author's may not be the first of several numbers that are given.
        self.names(short)?;
        let (author, after) = before(short.rest).map_err(CloseReason::Malformed)?;
        let author = short.names().nth(author).ok_or(CloseReason::Malformed(DecodeError::Limit(INDEX)))?;
        let before = Dot::new(self.replica(author)?, after);
        self.ends.chain(handle, before).ok_or(CloseReason::ProtocolViolation("a delta that does not follow"))
    }

    fn replica(&mut self, name: Name) -> Result<ReplicaId, CloseReason> {
        match name {
            Name::Whole(replica) => Ok(replica),
            Name::Known(number) => {
                let known = self.replicas.get(number).copied();
                known.ok_or(CloseReason::ProtocolViolation("a number of a replica that was never given"))
            }
            Name::Given(number, replica) => {
                if number == self.numbered() {
                    self.replicas.push(replica);
                }
                match self.replicas.get(number) {
                    Some(known) if *known == replica => Ok(replica),
                    _ => Err(CloseReason::ProtocolViolation("a number of a replica that is not the next")),
                }
            }
        }
    }
}

impl Ends {
    fn set(&mut self, handle: u32, end: Option<(Dot, u64)>) {
        match end {
            Some(end) => self.0.insert(handle, end),
            None => self.0.remove(&handle),
        };
    }

    /// Returns the chain hash at a dot, if that is where the last delta in a document ended, or before all dots.
    fn chain(&self, handle: u32, dot: Dot) -> Option<u64> {
        if dot.counter == 0 {
            return Some(0);
        }
        self.0.get(&handle).filter(|(end, _)| *end == dot).map(|(_, chain)| *chain)
    }
}

impl<'b> Apart<'b> {
    fn read(encoded: &'b [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(encoded);
        let lead = DeltaLead::read(&mut reader)?;
        let count = reader.count(size_of::<ReplicaId>(), TABLE)?;
        let (table, _) = reader.bytes(count * size_of::<ReplicaId>(), TABLE)?.as_chunks();
        Ok(Self { lead, table, rest: reader.rest() })
    }

    /// Returns the dot before that of a delta of one transaction.
    fn before(&self) -> Dot {
        let (author, after) = before(self.rest).expect("it was encoded here");
        Dot::new(ReplicaId::from_bytes(self.table[author]), after)
    }
}

/// Reads whose a delta of one transaction is, and the counter before it, from what stands behind its table.
fn before(rest: &[u8]) -> Result<(usize, u64), DecodeError> {
    let mut reader = Reader::new(rest);
    let author = usize::try_from(reader.varint(INDEX)?).map_err(|_| DecodeError::Limit(INDEX))?;
    Ok((author, reader.varint("a counter")?))
}

#[cfg(test)]
mod tests;
