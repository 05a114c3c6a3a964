//! Who lacks what: the versions of all replicas against their union.
//!
//! A version vector is contiguous, so "has everything" is a comparison of numbers and "lacks" is a
//! list of ranges; nothing has to be asked of the data itself. A document that a replica has not
//! met yet counts as one at the empty version.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crdt_core::{ReplicaId, VersionVector};
use crdt_sync::DocumentId;
use thiserror::Error;

/// The version of every document that one replica holds.
pub type Versions = BTreeMap<DocumentId, VersionVector>;

/// Transactions of one document and one writer that a replica lacks: `after + 1 ..= through`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The document.
    pub document: DocumentId,
    /// Whose transactions.
    pub writer: ReplicaId,
    /// The last one the replica has.
    pub after: u64,
    /// The last one there is.
    pub through: u64,
}

/// What one replica lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The number of the replica.
    pub replica: usize,
    /// How many transactions it lacks.
    pub transactions: u64,
    /// In how many documents.
    pub documents: usize,
    /// The first gap, in document order.
    pub first: Missing,
}

/// Lists the replicas that lack something another one has. None means that all versions are equal.
#[must_use]
pub fn lags(versions: &[Versions]) -> Vec<Lag> {
    let mut newest = Versions::new();
    for (document, version) in versions.iter().flatten() {
        match newest.get_mut(document) {
            Some(known) => known.merge(version),
            None => drop(newest.insert(document.clone(), version.clone())),
        }
    }
    versions.iter().enumerate().filter_map(|(replica, held)| lag(replica, held, &newest)).collect()
}

fn lag(replica: usize, held: &Versions, newest: &Versions) -> Option<Lag> {
    let none = VersionVector::new();
    let mut lag: Option<Lag> = None;
    for (document, newest) in newest {
        let held = held.get(document).unwrap_or(&none);
        let before = lag.as_ref().map_or(0, |lag| lag.transactions);
        for (writer, after, through) in newest.difference(held) {
            let first = || Missing { document: document.clone(), writer, after, through };
            let lag = lag.get_or_insert_with(|| Lag { replica, transactions: 0, documents: 0, first: first() });
            lag.transactions += through - after;
        }
        if let Some(lag) = lag.as_mut().filter(|lag| lag.transactions > before) {
            lag.documents += 1;
        }
    }
    lag
}

/// The replicas have stopped exchanging before their versions were equal: a link or the library is
/// at fault. What was written is still where it was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Stalled {
    /// How long nothing moved.
    pub after: Duration,
    /// The ids of the replicas, by number.
    pub replicas: Vec<ReplicaId>,
    /// Who lacks what.
    pub lags: Vec<Lag>,
    /// The replicas that no longer answer.
    pub silent: Vec<usize>,
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing has moved for {} s", self.after.as_secs())?;
        for replica in &self.silent {
            write!(f, "; replica {replica} does not answer")?;
        }
        for Lag { replica, transactions, documents, first } in &self.lags {
            let Missing { document, writer, after, through } = first;
            write!(f, "; replica {replica} lacks {transactions} transactions in {documents} documents")?;
            write!(f, ", first {document} from {} to {through} of ", after + 1)?;
            match self.replicas.iter().position(|id| id == writer) {
                Some(number) => write!(f, "replica {number}")?,
                None => write!(f, "{writer}")?,
            }
        }
        if self.silent.is_empty() && self.lags.is_empty() {
            f.write_str("; every replica answers and their versions are equal")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> ReplicaId {
        ReplicaId::from_u128(number)
    }

    fn held(documents: &[(&str, &[(u128, u64)])]) -> Versions {
        let version = |counters: &[(u128, u64)]| counters.iter().map(|&(writer, count)| (id(writer), count)).collect();
        let name = |name: &str| DocumentId::new(name).expect("a short name");
        documents.iter().map(|&(document, counters)| (name(document), version(counters))).collect()
    }

    #[test]
    fn equal_versions_lack_nothing() {
        let one = held(&[("x", &[(1, 3), (2, 1)])]);
        assert_eq!(lags(&[one.clone(), one.clone(), one]), []);
        assert_eq!(lags(&[]), []);
    }

    #[test]
    fn a_document_never_met_is_one_at_the_empty_version() {
        assert_eq!(lags(&[held(&[("x", &[])]), held(&[])]), []);
        let lags = lags(&[held(&[("x", &[(1, 2)])]), held(&[])]);
        assert_eq!(lags.len(), 1);
        assert_eq!((lags[0].replica, lags[0].transactions, lags[0].documents), (1, 2, 1));
    }

    #[test]
    fn replicas_that_diverged_lack_each_others_writes() {
        let one = held(&[("x", &[(1, 5), (2, 1)]), ("y", &[(1, 1)])]);
        let other = held(&[("x", &[(1, 2), (2, 4)]), ("y", &[(1, 1)])]);
        let lags = lags(&[one, other]);
        assert_eq!((lags[0].replica, lags[0].transactions, lags[0].documents), (0, 3, 1));
        assert_eq!((lags[1].replica, lags[1].transactions, lags[1].documents), (1, 3, 1));
        assert_eq!((lags[0].first.writer, lags[0].first.after, lags[0].first.through), (id(2), 1, 4));
    }

    #[test]
    fn a_stall_names_the_replica_and_its_first_gap() {
        let lags = lags(&[held(&[("x", &[(1, 5)])]), held(&[("x", &[(1, 2)])])]);
        let after = Duration::from_secs(30);
        let stalled = Stalled { after, replicas: vec![id(1), id(2)], lags, silent: vec![] };
        let expected = "nothing has moved for 30 s; replica 1 lacks 3 transactions in 1 documents, \
                        first x from 3 to 5 of replica 0";
        assert_eq!(stalled.to_string(), expected);
    }
}
