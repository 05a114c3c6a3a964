//! Last-writer-wins register: one value, and of concurrent writes the later stamp wins.
//!
//! What if a clock runs ahead and its write is overwritten by one who saw it? A local write always
//! takes a stamp above the one it overwrites, so it wins everywhere, whatever its clock says.
//! Only truly concurrent writes are decided by clocks; equal stamps by the greater replica id.
//!
//! Source: Johnson, Thomas, "The maintenance of duplicate databases" (RFC 677, 1975); differs in:
//! hybrid stamps, and the rule above.
//!
//! The losing write is lost: where that matters, use [`MvRegister`](crate::MvRegister), or a register
//! in a document, which keeps it readable. Deliberately absent: reading any clock.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::clock::Stamp;
use crate::id::ReplicaId;

/// The register's stamp is the greatest there is, so no write can follow it. The clocks of this
/// library never give it: somebody forged it. The register is unchanged; start a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the register carries the greatest stamp there is: no write can follow")]
pub struct StampExhausted;

/// A register in which the last write wins.
///
/// ```
/// use crdt_core::{HybridClock, LwwRegister, ReplicaId};
///
/// let (a, b) = (ReplicaId::from_u128(1), ReplicaId::from_u128(2));
/// let mut fast = HybridClock::new();
/// let mut left = LwwRegister::new();
/// let mut right = LwwRegister::new();
/// let delta = left.write(a, fast.stamp(9_000), "from a clock that runs ahead")?;
/// right.apply(&delta);
/// let delta = right.write(b, HybridClock::new().stamp(1_000), "by one who saw it")?;
/// left.apply(&delta);
/// assert_eq!(left.get(), Some(&"by one who saw it"));
/// # Ok::<(), crdt_core::StampExhausted>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LwwRegister<T> {
    last: Option<Written<T>>,
}

/// What one [`LwwRegister::write`] changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[must_use = "other copies learn of the change only by its delta"]
pub struct LwwRegisterDelta<T> {
    written: Written<T>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Written<T> {
    stamp: Stamp,
    replica: ReplicaId,
    value: T,
}

impl<T> LwwRegister<T> {
    /// Returns a register that nobody has written.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: None }
    }

    /// Returns the value that won; `None` before the first write.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.last.as_ref().map(|written| &written.value)
    }

    /// Returns the stamp and the writer of the value, for a clock to
    /// [`observe`](crate::HybridClock::observe).
    #[must_use]
    pub fn last_write(&self) -> Option<(Stamp, ReplicaId)> {
        self.last.as_ref().map(Written::rank)
    }
}

impl<T: Clone> LwwRegister<T> {
    /// Writes as `replica`, at `stamp` or right above the present value's stamp if that is later.
    ///
    /// # Errors
    /// [`StampExhausted`] if there is no stamp above the present one; nothing has changed.
    pub fn write(&mut self, replica: ReplicaId, stamp: Stamp, value: T) -> Result<LwwRegisterDelta<T>, StampExhausted> {
        let stamp = match &self.last {
            Some(last) if last.stamp.successor() == last.stamp => return Err(StampExhausted),
            Some(last) => stamp.max(last.stamp.successor()),
            None => stamp,
        };
        let written = Written { stamp, replica, value };
        self.last = Some(written.clone());
        Ok(LwwRegisterDelta { written })
    }

    /// Takes in a delta; tells whether its write wins. Order and repetition do not matter. O(1).
    pub fn apply(&mut self, delta: &LwwRegisterDelta<T>) -> bool {
        self.take(&delta.written)
    }

    /// Takes in another copy: the later write wins. O(1).
    pub fn merge(&mut self, other: &Self) {
        if let Some(last) = &other.last {
            self.take(last);
        }
    }

    fn take(&mut self, written: &Written<T>) -> bool {
        let wins = self.last.as_ref().is_none_or(|last| last.rank() < written.rank());
        if wins {
            self.last = Some(written.clone());
        }
        wins
    }
}

impl<T> LwwRegisterDelta<T> {
    /// Returns the stamp of the write, for a clock to [`observe`](crate::HybridClock::observe).
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.written.stamp
    }
}

impl<T> Written<T> {
    /// What decides between two writes. One replica never gives a stamp twice.
    fn rank(&self) -> (Stamp, ReplicaId) {
        (self.stamp, self.replica)
    }
}

impl<T> Default for LwwRegister<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplicaId = ReplicaId::from_u128(1);
    const B: ReplicaId = ReplicaId::from_u128(2);

    fn stamp(number: u64) -> Stamp {
        Stamp::from_u64(number)
    }

    #[test]
    fn equal_stamps_have_the_same_winner_everywhere() {
        let (mut left, mut right) = (LwwRegister::new(), LwwRegister::new());
        let from_a = left.write(A, stamp(7), 'a').unwrap();
        let from_b = right.write(B, stamp(7), 'b').unwrap();
        assert!(left.apply(&from_b));
        assert!(!right.apply(&from_a));
        assert_eq!((left.get(), right.get()), (Some(&'b'), Some(&'b')));
    }

    #[test]
    fn a_write_that_saw_a_far_future_stamp_replaces_it_everywhere() {
        let (mut left, mut right) = (LwwRegister::new(), LwwRegister::new());
        let far = left.write(B, stamp(u64::MAX - 1), 'x').unwrap();
        right.apply(&far);
        let over = right.write(A, stamp(1), 'y').unwrap();
        assert!(left.apply(&over));
        assert!(!left.apply(&far));
        assert_eq!(left.get(), Some(&'y'));
    }

    #[test]
    fn no_write_follows_the_greatest_stamp() {
        let mut register = LwwRegister::new();
        let _ = register.write(A, stamp(u64::MAX), 'x').unwrap();
        assert_eq!(register.write(B, stamp(1), 'y'), Err(StampExhausted));
        assert_eq!(register.get(), Some(&'x'));
    }

    #[test]
    fn two_local_writes_with_one_stamp_keep_their_order() {
        let mut author = LwwRegister::new();
        let first = author.write(A, stamp(5), 1).unwrap();
        let second = author.write(A, stamp(5), 2).unwrap();
        let mut other = LwwRegister::new();
        other.apply(&second);
        other.apply(&first);
        assert_eq!(other, author);
    }
}
