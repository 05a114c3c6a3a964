//! The name under which replicas share a document.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Names a document: 1 to [`DocumentId::BYTES_MAX`] bytes of UTF-8. Cheap to clone.
///
/// Replicas that open a document of the same name share it. Ordered by its bytes.
///
/// ```
/// use crdt_sync::DocumentId;
///
/// let cart = DocumentId::new("carts/42")?;
/// assert_eq!(cart.as_str(), "carts/42");
/// assert!(DocumentId::new("").is_err());
/// # Ok::<(), crdt_sync::DocumentIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Arc<str>", into = "Arc<str>")]
pub struct DocumentId(Arc<str>);

impl DocumentId {
    /// The longest name, in bytes of UTF-8.
    pub const BYTES_MAX: usize = 1024;

    /// Takes a name that an application or a peer has chosen.
    ///
    /// # Errors
    /// [`DocumentIdError`] if it is empty or longer than [`Self::BYTES_MAX`].
    pub fn new(name: impl Into<Arc<str>>) -> Result<Self, DocumentIdError> {
        let name = name.into();
        match name.len() {
            0 => Err(DocumentIdError::Empty),
            bytes if bytes > Self::BYTES_MAX => Err(DocumentIdError::TooLong { bytes }),
            _ => Ok(Self(name)),
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name that no document can have. Choose another; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DocumentIdError {
    /// The name has no bytes.
    #[error("a document's name must not be empty")]
    Empty,
    /// The name is too long.
    #[error("a document's name has {bytes} bytes, at most {} are allowed", DocumentId::BYTES_MAX)]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

impl TryFrom<Arc<str>> for DocumentId {
    type Error = DocumentIdError;

    fn try_from(name: Arc<str>) -> Result<Self, Self::Error> {
        Self::new(name)
    }
}

impl From<DocumentId> for Arc<str> {
    fn from(id: DocumentId) -> Self {
        id.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_longest_length_passes_and_one_byte_more_does_not() {
        assert!(DocumentId::new("x".repeat(DocumentId::BYTES_MAX)).is_ok());
        let bytes = DocumentId::BYTES_MAX + 1;
        assert_eq!(DocumentId::new("x".repeat(bytes)), Err(DocumentIdError::TooLong { bytes }));
    }
}
