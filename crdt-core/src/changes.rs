//! What an apply, a merge or a commit changed, for user interfaces.

use crate::path::Path;
use crate::value::Value;

/// Places that changed and what they hold now; empty if nothing visible changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(pub(crate) Vec<Change>);

impl Changes {
    /// Yields the changes. Each place of a delta comes at most once; their order means nothing.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Change> {
        self.0.iter()
    }

    /// Tells whether nothing visible changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many places changed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl IntoIterator for Changes {
    type Item = Change;
    type IntoIter = std::vec::IntoIter<Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// One place that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where: the keys to the register, counter, set or map.
    pub path: Path,
    /// What is there now.
    pub what: Changed,
}

/// What a place holds after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Changed {
    /// A register holds this.
    Register {
        /// The winner; `None` when the register is gone.
        value: Option<Value>,
        /// How many values stand side by side; more than one is a conflict.
        values: usize,
    },
    /// A counter has this sum; `None` when it is gone.
    Counter(Option<i128>),
    /// A set has gained this element.
    Inserted(Value),
    /// A set has lost this element.
    Removed(Value),
    /// A map or set has been created explicitly: it exists even while empty.
    Created,
    /// A map or set is no longer marked as created; it exists only while it holds something.
    Cleared,
}
