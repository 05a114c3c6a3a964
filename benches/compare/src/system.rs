//! The rows of every table.

use std::fmt;

/// One row: a library, one of our two ways to hold a value, or a limit of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum System {
    /// Our plain types.
    CrdtCore,
    /// Our documents, with their log and the changes they report.
    CrdtCoreDocument,
    /// The crate `crdts`.
    Crdts,
    /// The crate `crdt-kit`.
    CrdtKit,
    /// The crate `dson`.
    Dson,
    /// The crate `automerge`.
    Automerge,
    /// The crate `yrs`.
    Yrs,
    /// The crate `loro`.
    Loro,
    /// The same keys in bare hash tables, each with a random seed of its own; no CRDT at all.
    Limit,
    /// The same with one seed for all tables: what replicas may do that agree on a hash function.
    LimitSameSeed,
    /// [`Limit`](Self::Limit) with keys that lie in the table, as ours do.
    LimitText,
}

impl System {
    /// All of them, in the order of the tables.
    pub(crate) const ALL: [Self; 11] = [
        Self::CrdtCore,
        Self::CrdtCoreDocument,
        Self::Crdts,
        Self::CrdtKit,
        Self::Dson,
        Self::Automerge,
        Self::Yrs,
        Self::Loro,
        Self::Limit,
        Self::LimitSameSeed,
        Self::LimitText,
    ];

    /// Returns the name in tables and JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CrdtCore => "crdt-core",
            Self::CrdtCoreDocument => "crdt-core-document",
            Self::Crdts => "crdts",
            Self::CrdtKit => "crdt-kit",
            Self::Dson => "dson",
            Self::Automerge => "automerge",
            Self::Yrs => "yrs",
            Self::Loro => "loro",
            Self::Limit => "limit",
            Self::LimitSameSeed => "limit-same-seed",
            Self::LimitText => "limit-text",
        }
    }

    /// Tells whether it is one of ours.
    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::CrdtCore | Self::CrdtCoreDocument)
    }

    /// Tells whether it is a limit, not a library.
    pub(crate) const fn is_limit(self) -> bool {
        matches!(self, Self::Limit | Self::LimitSameSeed | Self::LimitText)
    }

    /// Tells whether it is another library.
    pub(crate) const fn is_rival(self) -> bool {
        !self.is_ours() && !self.is_limit()
    }
}

impl fmt::Display for System {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
