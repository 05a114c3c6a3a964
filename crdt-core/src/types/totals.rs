//! Totals per replica: the state of the counters.
//!
//! Each replica raises only its own totals, so the greater of two is the newer, and merging takes
//! the maximum. Two sorted arrays instead of a map: copies that know the same replicas, nearly all
//! of them, then merge without a search.

use thiserror::Error;

use crate::id::ReplicaId;

/// The replica's total would pass 2⁶⁴ − 1. The counter is unchanged; count under a new replica id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the replica's total would pass 2^64 - 1")]
pub struct CounterOverflow;

/// `N` totals for each replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Totals<const N: usize> {
    /// Ascending.
    ids: Vec<ReplicaId>,
    /// By position in `ids`; never all zero, which is the same as absent.
    totals: Vec<[u64; N]>,
}

impl<const N: usize> Totals<N> {
    pub(super) const fn new() -> Self {
        Self { ids: Vec::new(), totals: Vec::new() }
    }

    /// Returns the replica's totals. O(log n).
    pub(super) fn of(&self, replica: ReplicaId) -> [u64; N] {
        self.ids.binary_search(&replica).map_or([0; N], |position| self.totals[position])
    }

    /// Yields replicas and their totals, ascending by replica.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (ReplicaId, [u64; N])> + '_ {
        self.ids.iter().copied().zip(self.totals.iter().copied())
    }

    /// Raises the replica's totals to at least these; tells whether any was lower.
    pub(super) fn raise(&mut self, replica: ReplicaId, totals: [u64; N]) -> bool {
        match self.ids.binary_search(&replica) {
            Ok(position) => {
                let before = self.totals[position];
                self.totals[position] = greater(before, totals);
                self.totals[position] != before
            }
            Err(position) => {
                let is_new = totals != [0; N];
                if is_new {
                    self.ids.insert(position, replica);
                    self.totals.insert(position, totals);
                }
                is_new
            }
        }
    }

    /// Takes the maximum of each total. O(replicas of both).
    pub(super) fn merge(&mut self, other: &Self) {
        if self.ids == other.ids {
            for (mine, theirs) in self.totals.iter_mut().zip(&other.totals) {
                *mine = greater(*mine, *theirs);
            }
            return;
        }
        let mut merged = Self::new();
        let (mut mine, mut theirs) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let (replica, totals) = match (mine.peek().copied(), theirs.peek().copied()) {
                (Some(a), Some(b)) if a.0 == b.0 => {
                    mine.next();
                    theirs.next();
                    (a.0, greater(a.1, b.1))
                }
                (Some(a), b) if b.is_none_or(|b| a.0 < b.0) => {
                    mine.next();
                    a
                }
                (_, Some(b)) => {
                    theirs.next();
                    b
                }
                (_, None) => break,
            };
            merged.ids.push(replica);
            merged.totals.push(totals);
        }
        drop((mine, theirs));
        *self = merged;
    }
}

/// From totals in any order, as they are deserialised: the greatest of each replica.
impl<const N: usize> FromIterator<(ReplicaId, [u64; N])> for Totals<N> {
    fn from_iter<I: IntoIterator<Item = (ReplicaId, [u64; N])>>(totals: I) -> Self {
        let mut all = Self::new();
        for (replica, totals) in totals {
            all.raise(replica, totals);
        }
        all
    }
}

fn greater<const N: usize>(mine: [u64; N], theirs: [u64; N]) -> [u64; N] {
    std::array::from_fn(|index| mine[index].max(theirs[index]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(rows: &[(u128, u64)]) -> Totals<1> {
        rows.iter().map(|(replica, total)| (ReplicaId::from_u128(*replica), [*total])).collect()
    }

    #[test]
    fn merging_interleaves_replicas_and_takes_maxima() {
        let mut mine = totals(&[(1, 5), (3, 1), (4, 9)]);
        mine.merge(&totals(&[(2, 2), (3, 7), (4, 8), (5, 1)]));
        assert_eq!(mine, totals(&[(1, 5), (2, 2), (3, 7), (4, 9), (5, 1)]));
        mine.merge(&totals(&[(1, 9), (2, 1), (3, 7), (4, 10), (5, 1)]));
        assert_eq!(mine, totals(&[(1, 9), (2, 2), (3, 7), (4, 10), (5, 1)]));
    }

    #[test]
    fn zero_and_absent_are_one_state() {
        assert_eq!(totals(&[(1, 0)]), Totals::new());
    }
}
