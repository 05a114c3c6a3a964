//! How the bytes of a delta begin, for links, which say in fewer bytes what their two ends know already.
//!
//! What follows is the table of replicas, and then everything that refers to it: neither depends on the link.

use std::num::NonZeroU64;

use super::encode::{COALESCED, SALTED, SINGLE};
use crate::codec::{DecodeError, Encode, Reader};

/// What stands in the bytes of a delta before its table of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaLead {
    /// One transaction.
    Single {
        /// The chain hash of its replica before it.
        chain_after: u64,
        /// Its salt, if it has one.
        salt: Option<NonZeroU64>,
    },
    /// Several, coalesced.
    Coalesced,
}

impl DeltaLead {
    /// Reads the first bytes of a delta.
    ///
    /// # Errors
    /// [`DecodeError`] if no delta begins like that.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const SALT: &str = "a salt";
        let tag = reader.u8("a delta")?;
        if tag == COALESCED {
            return Ok(Self::Coalesced);
        }
        if tag != SINGLE && tag != SALTED {
            return Err(DecodeError::Unknown { what: "delta format", tag });
        }
        let chain_after = reader.u64("a chain hash")?;
        let salt = match tag {
            SALTED => Some(NonZeroU64::new(reader.u64(SALT)?).ok_or(DecodeError::NotCanonical(SALT))?),
            _ => None,
        };
        Ok(Self::Single { chain_after, salt })
    }

    /// Appends the first bytes of a delta.
    pub fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Single { chain_after, salt } => {
                out.put_u8(if salt.is_some() { SALTED } else { SINGLE });
                out.put_u64(chain_after);
                if let Some(salt) = salt {
                    out.put_u64(salt.get());
                }
            }
            Self::Coalesced => out.put_u8(COALESCED),
        }
    }
}
