//! What one end of a link says in fewer bytes because the other has heard it before, on this link.
//!
//! A delta names each replica by sixteen bytes. So each end numbers those that it has named: 0 is itself, as
//! its hello says; any other gets the next number with the first delta that names it. A delta's encoding is made
//! once for all links; only what stands before everything else is made for each.
//!
//! What if a message is lost, or comes twice, as on no sound link? Then a number must not stand for another replica
//! than its sender means, or a transaction would count as somebody else's. So a number is given together with
//! the id, and it is the next one, or the same id had it before: whatever is missing, the receiver
//! knows the number by the same id, or not at all, and closes the link.
//!
//! Deliberately absent: taking a number back. There are as many as a document can have replicas; what is named
//! beyond them is named in full.

use std::collections::BTreeMap;

use crdt_core::codec::{Encode, Reader};
use crdt_core::limits::REPLICAS_MAX;
use crdt_core::{DecodeError, Delta, DeltaLead, ReplicaId};

use crate::close::CloseReason;
use crate::frame::{self, Name, ShortDelta};

/// How this end goes by what it has named.
#[derive(Debug)]
pub(crate) struct Spoken {
    numbers: BTreeMap<ReplicaId, usize>,
}

/// What the other end has named, by number.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    replicas: Vec<ReplicaId>,
}

/// An encoded delta, apart.
struct Apart<'b> {
    lead: DeltaLead,
    replicas: Vec<ReplicaId>,
    rest: &'b [u8],
}

impl Spoken {
    /// Begins with `own`, which goes into the hello.
    pub(crate) fn new(own: ReplicaId) -> Self {
        Self { numbers: BTreeMap::from([(own, 0)]) }
    }

    /// Returns how many replicas have a number.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Makes the frame of an encoded delta. It gives numbers, which count once it is [`said`](Self::said).
    pub(crate) fn delta(&self, handle: u32, encoded: &[u8]) -> Vec<u8> {
        self.frame(handle, encoded, REPLICAS_MAX - self.len())
    }

    /// Makes the frame of an encoded delta that goes in parts: others overtake it, so it gives no numbers.
    pub(crate) fn delta_in_parts(&self, handle: u32, encoded: &[u8]) -> Vec<u8> {
        self.frame(handle, encoded, 0)
    }

    /// Takes note that the frame of an encoded delta, as [`delta`](Self::delta) makes it, is on its way.
    pub(crate) fn said(&mut self, encoded: &[u8]) {
        for replica in Apart::of(encoded).replicas {
            let next = self.len();
            if next < REPLICAS_MAX {
                self.numbers.entry(replica).or_insert(next);
            }
        }
    }

    /// `free` tells how many numbers it may give.
    fn frame(&self, handle: u32, encoded: &[u8], free: usize) -> Vec<u8> {
        let Apart { lead, replicas, rest } = Apart::of(encoded);
        let mut given = 0;
        let names = replicas.iter().map(|replica| match self.numbers.get(replica) {
            Some(number) => Name::Known(*number),
            None if given < free => {
                given += 1;
                Name::Given(self.len() + given - 1, *replica)
            }
            None => Name::Whole(*replica),
        });
        frame::delta(handle, lead, names, rest)
    }
}

impl Heard {
    /// The other end has said hello, and who it is.
    pub(crate) fn greeted(&mut self, sender: ReplicaId) {
        self.replicas = vec![sender];
    }

    /// Returns how many replicas have a number.
    pub(crate) fn len(&self) -> usize {
        self.replicas.len()
    }

    /// Learns the numbers that a frame gives, as it arrives.
    pub(crate) fn names(&mut self, delta: &ShortDelta<'_>) -> Result<(), CloseReason> {
        delta.names().try_for_each(|name| self.replica(name).map(drop))
    }

    /// Makes the delta that a frame stands for.
    pub(crate) fn delta(&mut self, short: &ShortDelta<'_>) -> Result<Delta, CloseReason> {
        const WHAT: &str = "a replica table";
        let mut encoded = Vec::with_capacity(short.rest.len() + 64);
        short.lead.encode(&mut encoded);
        encoded.put_varint(short.names().len() as u64);
        let mut last = None;
        for name in short.names() {
            let replica = self.replica(name)?;
            // So what is made of few bytes is no more than what was named.
            if last.replace(replica).is_some_and(|last| last >= replica) {
                return Err(CloseReason::Malformed(DecodeError::NotCanonical(WHAT)));
            }
            encoded.put_replica(replica);
        }
        encoded.put_bytes(short.rest);
        Delta::decode(&encoded).map_err(CloseReason::Malformed)
    }

    fn replica(&mut self, name: Name) -> Result<ReplicaId, CloseReason> {
        match name {
            Name::Whole(replica) => Ok(replica),
            Name::Known(number) => {
                let known = self.replicas.get(number).copied();
                known.ok_or(CloseReason::ProtocolViolation("a number of a replica that was never given"))
            }
            Name::Given(number, replica) => {
                if number == self.len() {
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

impl<'b> Apart<'b> {
    fn of(encoded: &'b [u8]) -> Self {
        Self::read(encoded).expect("it was encoded here")
    }

    fn read(encoded: &'b [u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "a replica table";
        let mut reader = Reader::new(encoded);
        let lead = DeltaLead::read(&mut reader)?;
        let count = reader.count(size_of::<ReplicaId>(), WHAT)?;
        let replicas = (0..count).map(|_| reader.replica(WHAT)).collect::<Result<_, _>>()?;
        Ok(Self { lead, replicas, rest: reader.rest() })
    }
}

#[cfg(test)]
mod tests;
