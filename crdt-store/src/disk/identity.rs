//! Whether a store may go on under its id.
//!
//! Two writers with one id spend the same dots for different changes. So an id is kept only if it is proven that this
//! file, here, is the one that was written last; whatever speaks against it costs a new id, which loses nothing: all
//! that the former id wrote stays, and goes on to the peers.
//!
//! What cannot be seen from here: a whole machine set back to an earlier image, and a folder whose files were all
//! overwritten in place with those of an earlier copy of it. Peers notice both by the hash chain of the id.

use std::fmt;

use crdt_core::ReplicaId;
use xxhash_rust::xxh3::xxh3_64;

use super::row::IdentityRow;
use super::witness::{Place, Witness};

/// Who writes to a store, and who has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// Whose dots are spent from here on.
    pub replica: ReplicaId,
    /// The ids before that one, oldest first: one for each copy or restoration in the store's ancestry, and for each
    /// time that another writer turned out to use the id. All are kept; each is in the version vectors for good as
    /// well.
    pub former: Vec<ReplicaId>,
    /// Why this opening took a new id, if it did.
    pub renewed: Option<Renewal>,
    /// What spoke against keeping the id on this opening, if it was kept because an operator
    /// [vouched](crate::Continuity::Vouched) for it.
    pub vouched: Option<Renewal>,
}

/// What spoke against keeping the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renewal {
    /// There is no witness beside the store, or it cannot be read: the file came here alone.
    NoWitness,
    /// The witness was written on another machine: the folder was copied or carried here.
    OtherMachine,
    /// The witness was written beside another file: the folder was copied, or the file replaced.
    OtherFile,
    /// The store is none that the witness knows: a copy made before the last opening was put back, or the file of
    /// another store.
    OtherSeal,
    /// The store has fewer commits than the witness has seen: a copy made since the last opening was put back.
    RolledBack,
    /// The store comes from a backup.
    Restored,
}

impl Renewal {
    /// Tells whether an operator may [vouch](crate::Continuity::Vouched) against it. Only against what moving a store
    /// brings about. Where the witness tells that it is another, or an earlier one, something may have been written
    /// under the id that this file does not know.
    #[must_use]
    pub fn is_doubt(self) -> bool {
        matches!(self, Self::NoWitness | Self::OtherMachine | Self::OtherFile)
    }
}

impl fmt::Display for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoWitness => "no witness lies beside the store",
            Self::OtherMachine => "the store was written on another machine",
            Self::OtherFile => "the store is another file than it was",
            Self::OtherSeal => "the store is none that its witness knows",
            Self::RolledBack => "the store was set back to an earlier state",
            Self::Restored => "the store comes from a backup",
        })
    }
}

/// How the id of a store goes on from one opening to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continued {
    /// Nothing speaks against it.
    Proven,
    /// It is kept, whatever spoke against it.
    Vouched(Renewal),
    /// Another takes its place.
    Renewed(Renewal),
}

/// Finds what speaks against keeping the id.
pub(super) fn judge(witness: Option<&Witness>, row: &IdentityRow, commits: u64, here: Place) -> Option<Renewal> {
    if row.is_backup {
        return Some(Renewal::Restored);
    }
    let Some(witness) = witness else { return Some(Renewal::NoWitness) };
    let there = witness.record().place;
    // What no move brings about comes first: an earlier copy that was put back as another file is not vouched for.
    if !witness.record().seals.contains(&row.seal) {
        Some(Renewal::OtherSeal)
    } else if commits < witness.commits() {
        Some(Renewal::RolledBack)
    } else if there.machine != here.machine {
        Some(Renewal::OtherMachine)
    } else if there.file != here.file {
        Some(Renewal::OtherFile)
    } else {
        None
    }
}

/// Returns a hash of what names this machine: not the name itself, which is nobody else's business. 0 where the system
/// has none.
pub(super) fn machine() -> u64 {
    let id = ["/etc/machine-id", "/var/lib/dbus/machine-id"].iter().find_map(|path| std::fs::read(path).ok());
    let id = id.filter(|id| !id.trim_ascii().is_empty());
    id.map_or(0, |id| xxh3_64(&[b"crdt-store machine ".as_slice(), id.trim_ascii()].concat()).max(1))
}
