//! How much has happened, by kind: the figures that say whether a sweep was worth anything.

use std::collections::BTreeMap;
use std::fmt;

use super::plan::FaultKind;

/// Counts over one run or many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs.
    pub seeds: u64,
    /// Happenings of all kinds: what the virtual clock has gone through.
    pub happenings: u64,
    /// Messages put on links.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that never arrived.
    pub messages_lost: u64,
    /// Transactions committed.
    pub transactions: u64,
    /// Of them, those that a crash took.
    pub transactions_lost: u64,
    /// Links that came up.
    pub links: u64,
    /// Snapshots put on links, those in parts not counted.
    pub snapshots: u64,
    /// Messages in parts begun.
    pub in_parts: u64,
    /// Documents that an endpoint asked for.
    pub loads: u64,
    /// Faults that took effect, by kind.
    pub faults: BTreeMap<FaultKind, u64>,
    /// Links closed by an endpoint, by reason.
    pub closes: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds the counts of another.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.happenings += other.happenings;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.messages_lost += other.messages_lost;
        self.transactions += other.transactions;
        self.transactions_lost += other.transactions_lost;
        self.links += other.links;
        self.snapshots += other.snapshots;
        self.in_parts += other.in_parts;
        self.loads += other.loads;
        for (kind, count) in &other.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        for (reason, count) in &other.closes {
            *self.closes.entry(reason.clone()).or_default() += count;
        }
    }

    /// Returns how many faults took effect.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("seeds", self.seeds),
            ("happenings", self.happenings),
            ("messages", self.messages),
            ("bytes", self.bytes),
            ("messages lost", self.messages_lost),
            ("transactions", self.transactions),
            ("transactions lost by crashes", self.transactions_lost),
            ("links", self.links),
            ("snapshots in one message", self.snapshots),
            ("messages in parts", self.in_parts),
            ("documents loaded again", self.loads),
            ("faults", self.faults()),
        ];
        rows.iter().try_for_each(|(name, count)| writeln!(f, "{name:<40} {count:>12}"))?;
        for kind in FaultKind::ALL {
            let count = self.faults.get(kind).copied().unwrap_or_default();
            writeln!(f, "  {:<38} {count:>12}", kind.name())?;
        }
        writeln!(f, "links closed by an endpoint")?;
        self.closes.iter().try_for_each(|(reason, count)| writeln!(f, "  {reason:<38.38} {count:>12}"))
    }
}
