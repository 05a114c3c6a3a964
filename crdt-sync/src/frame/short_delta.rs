//! A delta as a frame says it: with names of replicas that are the link's, and otherwise as it is encoded everywhere.
//!
//! What a name stands for only those know who have heard all that was said on the link before; so names are checked
//! for their form here, and what they come to is the business of [`shorthand`](crate::shorthand).

use std::num::NonZeroU64;

use crdt_core::codec::{Encode, Reader};
use crdt_core::limits::REPLICAS_MAX;
use crdt_core::{DecodeError, DeltaLead, ReplicaId};

use super::decode::take_rest;
use super::encode::with_handle;
use super::kind;

/// Of a form: the chain hash before it is left out.
const NEXT: u64 = 1;
/// Of a form: it has a salt.
const SALTED: u64 = 2;
/// The form of several transactions.
const COALESCED: u64 = 4;
/// Forms are below this: the rest of their number counts the names.
const FORMS: u64 = 8;

/// What a frame calls a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The one that was given this number.
    Known(usize),
    /// It has this number from now on.
    Given(usize, ReplicaId),
    /// It gets no number.
    Whole(ReplicaId),
}

/// What stands before everything else in a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lead {
    /// As it is encoded.
    Whole(DeltaLead),
    /// One transaction; the link tells the chain hash before it.
    Next { salt: Option<NonZeroU64> },
}

/// A delta, but for what the link tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShortDelta<'a> {
    pub(crate) lead: Lead,
    /// How many names follow.
    count: usize,
    /// Checked: so many can be read.
    names: &'a [u8],
    /// What stands behind the table of replicas.
    pub(crate) rest: &'a [u8],
}

/// Makes the frame of a delta.
pub(crate) fn delta(handle: u32, lead: Lead, names: impl ExactSizeIterator<Item = Name>, rest: &[u8]) -> Vec<u8> {
    let mut out = with_handle(kind::DELTA, handle);
    out.reserve(rest.len() + 32);
    let (form, chain_after, salt) = match lead {
        Lead::Whole(DeltaLead::Single { chain_after, salt }) => (0, Some(chain_after), salt),
        Lead::Next { salt } => (NEXT, None, salt),
        Lead::Whole(DeltaLead::Coalesced) => (COALESCED, None, None),
    };
    let form = form | salt.map_or(0, |_| SALTED);
    out.put_varint(names.len() as u64 * FORMS + form);
    names.for_each(|name| name.encode(&mut out));
    chain_after.into_iter().chain(salt.map(NonZeroU64::get)).for_each(|number| out.put_u64(number));
    out.put_bytes(rest);
    out
}

impl<'a> ShortDelta<'a> {
    /// Reads what follows the handle.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let head = reader.varint("the form of a delta")?;
        let count = usize::try_from(head / FORMS).ok().filter(|count| *count <= REPLICAS_MAX);
        let count = count.ok_or(DecodeError::Limit("names"))?;
        let names = reader.rest();
        for _ in 0..count {
            Name::read(reader)?;
        }
        let names = &names[..names.len() - reader.rest().len()];
        let lead = Lead::read(head % FORMS, reader)?;
        Ok(Self { lead, count, names, rest: take_rest(reader)? })
    }

    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = Name> + use<'a> {
        let mut reader = Reader::new(self.names);
        (0..self.count).map(move |_| Name::read(&mut reader).expect("checked when it was read"))
    }
}

impl Lead {
    fn read(form: u64, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const SALT: &str = "a salt";
        if form == COALESCED {
            return Ok(Self::Whole(DeltaLead::Coalesced));
        }
        if form > COALESCED {
            return Err(DecodeError::Unknown { what: "form of a delta", tag: form as u8 });
        }
        let chain_after = if form & NEXT == 0 { Some(reader.u64("a chain hash")?) } else { None };
        let salt = match form & SALTED {
            0 => None,
            _ => Some(NonZeroU64::new(reader.u64(SALT)?).ok_or(DecodeError::NotCanonical(SALT))?),
        };
        Ok(match chain_after {
            Some(chain_after) => Self::Whole(DeltaLead::Single { chain_after, salt }),
            None => Self::Next { salt },
        })
    }
}

impl Name {
    fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Whole(replica) => {
                out.put_varint(0);
                out.put_replica(replica);
            }
            Self::Known(number) => out.put_varint(2 * number as u64 + 1),
            Self::Given(number, replica) => {
                out.put_varint(2 * number as u64 + 2);
                out.put_replica(replica);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "a name";
        // The last number is one less than there are.
        let said = reader.varint_max(2 * REPLICAS_MAX as u64, WHAT)? as usize;
        Ok(match said {
            0 => Self::Whole(reader.replica(WHAT)?),
            known if known % 2 == 1 => Self::Known(known / 2),
            given => Self::Given(given / 2 - 1, reader.replica(WHAT)?),
        })
    }
}
