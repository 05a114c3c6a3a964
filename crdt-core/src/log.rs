//! The deltas of one document, in the order in which they were applied here.
//!
//! That order is a linear extension of causality, so whoever receives the log from any point at
//! which it stands, in order, can apply each delta in turn (Invariant 3). A log is cut at its old
//! end; a peer that stands below the cut, the *floor*, needs a snapshot instead of a part.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;
use thiserror::Error;

use crate::delta::Delta;
use crate::frontier::{Frontier, Tip};
use crate::id::{Dot, ReplicaId};
use crate::planted::{Bug, is_planted};
use crate::version::VersionVector;

/// Deltas in local application order, behind a floor.
#[derive(Clone, Debug, Default)]
pub struct DeltaLog {
    floor: VersionVector,
    /// Floor and all deltas.
    version: VersionVector,
    deltas: VecDeque<Logged>,
    /// The position of the first delta kept.
    start: u64,
    /// The sum of the deltas' size hints.
    bytes: usize,
}

/// A delta, and where the log stood when it came.
#[derive(Clone, Debug)]
struct Logged {
    delta: Arc<Delta>,
    /// By range of the delta: the counter up to which the log had that replica's transactions before.
    stood: SmallVec<[u64; 2]>,
}

/// A delta does not continue the log: one before it is missing, or it is in already. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the delta starts after transaction {after} of {replica}, the log ends at {have}")]
pub struct LogError {
    /// Whose transactions do not meet.
    pub replica: ReplicaId,
    /// Where the log ends.
    pub have: u64,
    /// Where the delta starts.
    pub after: u64,
}

/// The log has been cut above the version asked for. Send a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the log has been cut above that version: a snapshot is needed")]
pub struct BelowFloor;

impl DeltaLog {
    /// Starts an empty log of a document that stands at `floor`.
    #[must_use]
    pub fn new(floor: VersionVector) -> Self {
        Self { version: floor.clone(), floor, ..Self::default() }
    }

    /// Starts an empty log at a position: that of a document whose earlier log is gone, and whose
    /// positions others may still hold.
    #[must_use]
    pub fn starting_at(position: u64, floor: VersionVector) -> Self {
        Self { start: position, ..Self::new(floor) }
    }

    /// Returns the version below which no peer can be served.
    #[must_use]
    pub fn floor(&self) -> &VersionVector {
        &self.floor
    }

    /// Returns the version at the end of the log: the document's.
    #[must_use]
    pub fn version(&self) -> &VersionVector {
        &self.version
    }

    /// Returns the position of the first delta kept. Positions only grow; cutting renumbers nothing.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Returns the position behind the last delta.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start + self.deltas.len() as u64
    }

    /// Returns how many deltas are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.deltas.len()
    }

    /// Tells whether no delta is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deltas.is_empty()
    }

    /// Returns roughly how many bytes the deltas kept would encode to.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a delta that the document has just applied, and returns its position. A coalesced
    /// one may overlap what is in the log already, as it may overlap what the document had.
    ///
    /// # Errors
    /// [`LogError`] if it leaves a gap or brings nothing new.
    pub fn push(&mut self, delta: Arc<Delta>) -> Result<u64, LogError> {
        let gap = delta.ranges().find(|range| range.after > self.version.counter(range.replica));
        let nothing = delta.is_covered_by(&self.version).then(|| delta.ranges().next()).flatten();
        if let Some(range) = gap.or(nothing) {
            let have = self.version.counter(range.replica);
            return Err(LogError { replica: range.replica, have, after: range.after });
        }
        if let Some(need) = delta.needs.iter().find(|need| !self.version.covers(**need)) {
            let have = self.version.counter(need.replica);
            return Err(LogError { replica: need.replica, have, after: need.counter });
        }
        let stood = delta.ranges().map(|range| self.version.counter(range.replica)).collect();
        delta.advance(&mut self.version);
        self.bytes += delta.size_hint();
        self.deltas.push_back(Logged { delta, stood });
        Ok(self.end() - 1)
    }

    /// Returns the delta at a position; `None` if it was cut off or is not there yet.
    #[must_use]
    pub fn at(&self, position: u64) -> Option<&Arc<Delta>> {
        let offset = position.checked_sub(self.start)?;
        self.deltas.get(usize::try_from(offset).ok()?).map(|logged| &logged.delta)
    }

    /// Tells whether a peer that stands at `version` can be served.
    #[must_use]
    pub fn serves(&self, version: &VersionVector) -> bool {
        version.covers_all(&self.floor)
    }

    /// Returns the position before which a peer at `version`, if it can be served, has everything.
    /// O(replicas + deltas behind it).
    #[must_use]
    pub fn first_lacking(&self, version: &VersionVector) -> u64 {
        let mut stands: BTreeMap<ReplicaId, u64> = self.version.iter().collect();
        let is_ahead = |replica: ReplicaId, counter: u64| counter > version.counter(replica);
        let mut ahead = stands.iter().filter(|(replica, counter)| is_ahead(**replica, **counter)).count();
        let mut position = self.end();
        for Logged { delta, stood } in self.deltas.iter().rev() {
            if ahead == 0 {
                break;
            }
            position -= 1;
            for (range, stood) in delta.ranges().zip(stood) {
                let stands = stands.entry(range.replica).or_default();
                ahead -= usize::from(is_ahead(range.replica, *stands) && !is_ahead(range.replica, *stood));
                *stands = *stood;
            }
        }
        position
    }

    /// Yields what a peer at `version` lacks, in order, with positions. O(replicas + deltas behind the
    /// [first that it lacks](Self::first_lacking)).
    ///
    /// # Errors
    /// [`BelowFloor`] if part of it has been cut off.
    pub fn since<'a>(
        &'a self,
        version: &'a VersionVector,
    ) -> Result<impl Iterator<Item = (u64, &'a Arc<Delta>)> + 'a, BelowFloor> {
        if !self.serves(version) {
            return Err(BelowFloor);
        }
        let first = self.first_lacking(version);
        let behind = self.deltas.range((first - self.start) as usize..).map(|logged| &logged.delta);
        Ok((first..).zip(behind).filter(|(_, delta)| !delta.is_covered_by(version)))
    }

    /// Looks for a transaction that this log and a peer's frontier name alike and mean differently:
    /// the chain hash in the log, where the peer stands, is not the peer's. O(deltas kept).
    ///
    /// [`Frontier::conflict_with`] sees only replicas at which both stand level; this sees those
    /// at which the peer lags as well, unless the place has been cut off or lies inside a
    /// coalesced delta. Ask before serving a peer: one that takes in a later part of another
    /// history cannot tell any more.
    #[must_use]
    pub fn conflict_with(&self, peer: &Frontier) -> Option<Dot> {
        let ranges = self.deltas.iter().flat_map(|logged| &logged.delta.ranges);
        let mut conflicts = ranges.filter_map(|chained| {
            let Tip { counter, chain, .. } = peer.tip(chained.range.replica)?;
            let here = match counter {
                _ if counter == chained.range.after => chained.chain_after,
                _ if counter == chained.range.through => chained.chain_through,
                _ => chain,
            };
            (here != chain).then_some(Dot::new(chained.range.replica, counter))
        });
        conflicts.next()
    }

    /// Returns what this log knows of the history of a replica: (counter, chain hash) where its deltas begin and end,
    /// ascending. If these are more than `marks_max`, it is the latest of them, those next to the counter `around`, and
    /// some of the others, evenly. O(deltas kept).
    ///
    /// Where two writers have used one id, comparing their trails shows where their histories part.
    #[must_use]
    pub fn trail(&self, replica: ReplicaId, around: u64, marks_max: usize) -> Vec<(u64, u64)> {
        let ranges = self.deltas.iter().flat_map(|logged| &logged.delta.ranges);
        let own = ranges.filter(|chained| chained.range.replica == replica);
        let ends = own.flat_map(|chained| {
            [(chained.range.after, chained.chain_after), (chained.range.through, chained.chain_through)]
        });
        // A log that reaches back to the beginning knows that nothing was there.
        let beginning = (self.floor.counter(replica) == 0).then_some((0, 0));
        let mut marks: Vec<(u64, u64)> = beginning.into_iter().chain(ends).collect();
        marks.sort_unstable();
        marks.dedup();
        if marks.len() > marks_max { thinned(&marks, around, marks_max) } else { marks }
    }

    /// Cuts the oldest deltas off until at most `bytes_max` are kept.
    pub fn truncate_to_bytes(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            self.cut_first();
        }
        if is_planted(Bug::TruncateOneTooFar) && self.deltas.pop_front().is_some() {
            self.start += 1;
        }
    }

    /// Cuts the oldest deltas off until at most `bytes_max` are kept, or one is met that is not held by everybody who
    /// may ask for it.
    pub fn truncate_held(&mut self, bytes_max: usize, is_held: impl Fn(&Delta) -> bool) {
        while self.bytes > bytes_max && self.deltas.front().is_some_and(|logged| is_held(&logged.delta)) {
            self.cut_first();
        }
    }

    /// Follows a document that has merged a snapshot at `version`: raises the floor to it and drops
    /// what it covers. The rest stays: applied on top of the snapshot, in order, it is still complete.
    pub fn rebase(&mut self, version: &VersionVector) {
        if !is_planted(Bug::RebaseKeepsFloor) {
            self.floor.merge(version);
        }
        self.version.merge(version);
        // Positions may go up, never down: whoever holds one comes across every delta behind it
        // again, and skips what it has had already.
        let end = self.end();
        let floor = &self.floor;
        self.deltas.retain(|logged| !logged.delta.is_covered_by(floor));
        self.start = end - self.deltas.len() as u64;
        self.bytes = self.deltas.iter().map(|logged| logged.delta.size_hint()).sum();
    }

    fn cut_first(&mut self) {
        if let Some(Logged { delta, .. }) = self.deltas.pop_front() {
            if !is_planted(Bug::FloorStays) {
                delta.advance(&mut self.floor);
            }
            self.bytes -= delta.size_hint();
            self.start += 1;
        } else {
            self.bytes = 0;
        }
    }
}

/// Leaves out marks until at most `max` are left: half of them lie evenly over all, a quarter lies around one counter,
/// the others are the latest.
fn thinned(marks: &[(u64, u64)], around: u64, max: usize) -> Vec<(u64, u64)> {
    let len = marks.len();
    let (evenly, around_it) = (max / 2, max / 4);
    let latest = len - (max - evenly - around_it)..len;
    let middle = marks.partition_point(|(counter, _)| *counter <= around);
    let around_it = middle.saturating_sub(around_it.div_ceil(2))..(middle + around_it / 2).min(len);
    let evenly = (0..evenly).map(|number| number * len / evenly);
    let kept: BTreeSet<usize> = evenly.chain(around_it).chain(latest).collect();
    kept.into_iter().map(|index| marks[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    const A: ReplicaId = ReplicaId::from_u128(1);
    const B: ReplicaId = ReplicaId::from_u128(2);

    fn written(document: &mut Document) -> Arc<Delta> {
        let mut tx = document.transact(0);
        tx.counter("n").add(1).expect("small");
        Arc::new(tx.commit().expect("written").delta)
    }

    #[test]
    fn a_gap_and_a_repetition_are_refused() {
        let mut document = Document::new(A);
        let (first, second) = (written(&mut document), written(&mut document));
        let mut log = DeltaLog::default();
        assert_eq!(log.push(second.clone()), Err(LogError { replica: A, have: 0, after: 1 }));
        assert_eq!(log.push(first.clone()), Ok(0));
        assert_eq!(log.push(second), Ok(1));
        assert_eq!(log.push(first), Err(LogError { replica: A, have: 2, after: 0 }));
    }

    #[test]
    fn a_peer_below_the_floor_needs_a_snapshot() {
        let mut document = Document::new(A);
        let mut log = DeltaLog::default();
        for _ in 0..3 {
            log.push(written(&mut document)).expect("in order");
        }
        let held = VersionVector::from_iter([(A, 2)]);
        log.truncate_held(log.bytes(), |delta| delta.is_covered_by(&held));
        assert_eq!(log.len(), 3, "there is room");
        log.truncate_held(0, |delta| delta.is_covered_by(&held));
        assert_eq!((log.start(), log.len(), log.floor().counter(A)), (2, 1, 2));
        let behind = VersionVector::from_iter([(A, 1)]);
        assert!(log.since(&behind).is_err());
        let level = VersionVector::from_iter([(A, 2)]);
        assert_eq!(log.since(&level).expect("at the floor").map(|(at, _)| at).collect::<Vec<_>>(), [2]);
        log.truncate_to_bytes(0);
        assert_eq!((log.len(), log.floor().counter(A), log.bytes()), (0, 3, 0));
    }

    #[test]
    fn what_a_peer_lacks_is_found_also_behind_a_delta_that_overlaps() {
        let (mut a, mut b) = (Document::new(A), Document::new(B));
        let [first, second, third] = [written(&mut a), written(&mut a), written(&mut a)];
        let mut all = Delta::clone(&second);
        all.coalesce(&third).expect("consecutive");
        for delta in [&first, &second] {
            b.apply(delta).expect("in order");
        }
        // Builds on the second, and comes before what covers the second and the third.
        let answer = written(&mut b);
        let mut log = DeltaLog::default();
        for delta in [first, second, answer, Arc::new(all)] {
            log.push(delta).expect("in order");
        }
        let lacks = |version: &[(ReplicaId, u64)]| -> Vec<u64> {
            let version = version.iter().copied().collect();
            let lacking: Vec<u64> = log.since(&version).expect("nothing is cut off").map(|(at, _)| at).collect();
            assert_eq!(lacking.first().copied().unwrap_or(log.end()), log.first_lacking(&version));
            lacking
        };
        assert_eq!(lacks(&[]), [0, 1, 2, 3]);
        assert_eq!(lacks(&[(A, 1)]), [1, 2, 3]);
        assert_eq!(lacks(&[(A, 2)]), [2, 3]);
        assert_eq!(lacks(&[(A, 2), (B, 1)]), [3]);
        assert_eq!(lacks(&[(A, 3)]), [2]);
        assert_eq!(lacks(&[(A, 3), (B, 1)]), [0; 0]);
    }

    #[test]
    fn a_trail_shows_where_two_histories_of_one_replica_part() {
        let mut document = Document::new(A);
        let mut log = DeltaLog::default();
        log.push(written(&mut document)).expect("in order");
        let (mut twin, mut twin_log) = (Document::from_snapshot(A, document.snapshot()), log.clone());
        for _ in 0..2 {
            log.push(written(&mut document)).expect("in order");
        }
        let mut tx = twin.transact(0);
        tx.register("r").set("another life").expect("small");
        twin_log.push(Arc::new(tx.commit().expect("written").delta)).expect("in order");

        let (ours, theirs) = (log.trail(A, 0, 9), twin_log.trail(A, 0, 9));
        assert_eq!(ours.iter().map(|(counter, _)| *counter).collect::<Vec<_>>(), [0, 1, 2, 3]);
        let common: Vec<u64> = ours.iter().filter(|mark| theirs.contains(mark)).map(|(counter, _)| *counter).collect();
        assert_eq!(common, [0, 1]);
        assert_eq!(log.trail(B, 0, 9), [(0, 0)]);
    }

    #[test]
    fn a_long_trail_keeps_its_ends_what_is_asked_for_and_some_of_the_rest() {
        let mut document = Document::new(A);
        let mut log = DeltaLog::default();
        for _ in 0..1_000 {
            log.push(written(&mut document)).expect("in order");
        }
        let counters = |around: u64, max: usize| -> Vec<u64> {
            log.trail(A, around, max).iter().map(|(counter, _)| *counter).collect()
        };
        let kept = counters(500, 40);
        assert!(kept.is_sorted() && kept.len() <= 40 && kept.len() > 35, "{kept:?}");
        assert_eq!(kept.first(), Some(&0));
        assert!((991..=1_000).chain(497..=504).all(|counter| kept.contains(&counter)), "{kept:?}");
        assert!(kept.windows(2).all(|pair| pair[1] - pair[0] <= 51), "{kept:?}");
        assert_eq!(counters(500, 1_001).len(), 1_001);
        for max in 0..=9 {
            for around in [0, 500, 1_000, u64::MAX] {
                assert!(counters(around, max).len() <= max);
            }
        }
        assert_eq!(counters(0, 1), [1_000]);
    }

    #[test]
    fn rebasing_keeps_what_the_snapshot_lacks() {
        let (mut a, mut b) = (Document::new(A), Document::new(B));
        let mut log = DeltaLog::default();
        log.push(written(&mut a)).expect("in order");
        let theirs = written(&mut b);
        a.merge(&b.snapshot()).expect("no conflict");
        log.rebase(&b.version());
        assert_eq!(log.floor().counter(B), 1);
        assert_eq!((log.start(), log.len()), (0, 1));
        assert!(log.push(theirs).is_err());
        b.apply(log.since(&b.version()).expect("served").next().expect("one").1).expect("complete");
        assert_eq!(a, b);
    }
}
