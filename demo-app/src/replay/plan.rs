//! Who writes which row, and who is away when: both fixed by the seed.
//!
//! Two sequences, so that who writes does not depend on whether anybody goes away: a replay that goes on
//! may do so with other absences.

use std::num::NonZeroU64;

use crate::splitmix::SplitMix64;

/// What the seed says of one run, row by row.
#[derive(Debug)]
pub(super) struct Plan {
    peers: usize,
    writers: SplitMix64,
    turns: SplitMix64,
    offline_every: Option<NonZeroU64>,
    /// Who is away now.
    pub(super) away: Option<usize>,
}

impl Plan {
    pub(super) fn new(offline_every: Option<NonZeroU64>, peers: usize, mut seeds: SplitMix64) -> Self {
        let (writers, turns) = (SplitMix64::new(seeds.next_u64()), SplitMix64::new(seeds.next_u64()));
        Self { peers, writers, turns, offline_every, away: None }
    }

    /// Picks the replica that writes the next row.
    pub(super) fn writer(&mut self) -> usize {
        self.writers.below(self.peers)
    }

    /// After so many rows: who comes back, and who goes instead; never the same one twice in a row.
    pub(super) fn turn(&mut self, rows: u64) -> Option<(Option<usize>, usize)> {
        let every = self.offline_every?;
        if !rows.is_multiple_of(every.get()) {
            return None;
        }
        let gone = match self.away {
            None => self.turns.below(self.peers),
            // One of the others: numbers from the one that is away move up by one.
            Some(away) => {
                let other = self.turns.below(self.peers - 1);
                other + usize::from(other >= away)
            }
        };
        Some((self.away.replace(gone), gone))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn plan(seed: u64) -> Plan {
        Plan::new(NonZeroU64::new(10), 3, SplitMix64::new(seed))
    }

    #[test]
    fn a_seed_fixes_who_writes_and_another_seed_changes_it() {
        let writers = |seed| -> Vec<usize> {
            let mut plan = plan(seed);
            (0..50).map(|_| plan.writer()).collect()
        };
        assert_eq!(writers(1), writers(1));
        assert_ne!(writers(1), writers(2));
    }

    #[test]
    fn every_turn_another_replica_goes_and_the_last_one_comes_back() {
        let mut plan = plan(1);
        let mut away = None;
        let mut gone_before = BTreeMap::new();
        for rows in 1..=1_000 {
            let Some((back, gone)) = plan.turn(rows) else { continue };
            assert_eq!(rows % 10, 0);
            assert_eq!(back, away);
            assert_ne!(Some(gone), away);
            away = Some(gone);
            *gone_before.entry(gone).or_insert(0) += 1;
        }
        assert_eq!(gone_before.values().sum::<u32>(), 100);
        assert_eq!(gone_before.len(), 3, "everybody has been away");
    }

    #[test]
    fn without_turns_nobody_goes_and_the_same_ones_write() {
        let mut stays = Plan::new(None, 3, SplitMix64::new(1));
        assert!((1..=1_000).all(|rows| stays.turn(rows).is_none()));
        let mut goes = plan(1);
        assert!((0..50).all(|_| stays.writer() == goes.writer()));
    }
}
