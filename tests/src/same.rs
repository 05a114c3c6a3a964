//! When two documents count as the same: in every way that can be told from outside.

use crdt_core::{Document, Snapshot};

use crate::view::View;

/// Encodes and decodes a snapshot.
///
/// # Panics
/// If that changes anything.
#[must_use]
pub fn through_bytes(snapshot: &Snapshot) -> Snapshot {
    let bytes = snapshot.encode();
    let decoded = Snapshot::decode(&bytes).expect("an encoded snapshot can be decoded");
    assert_eq!(decoded.digest(), snapshot.digest(), "the digest is that of the content");
    assert_eq!(decoded.frontier(), snapshot.frontier());
    assert!(decoded == *snapshot, "equal by ==");
    assert_eq!(decoded.encode(), bytes, "one content has one encoding");
    decoded
}

/// Asserts that two documents hold the same replicated state.
///
/// # Panics
/// If they do not.
pub fn assert_same(left: &Document, right: &Document) {
    assert_eq!(left.version(), right.version());
    let (left_bytes, right_bytes) = (left.snapshot().encode(), right.snapshot().encode());
    if left_bytes != right_bytes {
        assert_eq!(View::of(left.root()), View::of(right.root()), "equal content");
    }
    assert_eq!(left_bytes, right_bytes, "equal bytes");
    assert_eq!(left.digest(), right.digest());
    assert_eq!(left.frontier(), right.frontier());
    assert!(left == right, "equal by ==");
}

/// Asserts that a document is in the very state in which the snapshot was taken.
///
/// # Panics
/// If it is not.
pub fn assert_unchanged(document: &Document, before: &Snapshot) {
    assert_eq!(document.digest(), before.digest());
    assert_eq!(document.frontier(), before.frontier());
    assert_eq!(document.snapshot().encode(), before.encode());
}
