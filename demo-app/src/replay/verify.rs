//! Compares every replica with the plain fold, item by item, and the replicas with each other.
//!
//! A digest alone would not do: equal digests say that the replicas agree, not that they are right.

use std::collections::BTreeMap;
use std::fmt;

use crdt_net::{Closed, DocumentError, Replica};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use crate::cart::Cart;
use crate::cluster::Cluster;
use crate::replay::fold::{Fold, Items};

/// How many mismatches are kept in detail; the rest are only counted.
const EXAMPLES_MAX: usize = 10;

/// A replica stopped while it was being read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// A document that it listed cannot be opened.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// A replica holds something else than the fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The replica's number.
    pub replica: usize,
    /// The document.
    pub cart: String,
    /// The item.
    pub stock_code: String,
    /// What the fold says.
    pub expected: i128,
    /// What the replica holds.
    pub found: i128,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replica, cart, stock_code, expected, found } = self;
        write!(f, "replica {replica} holds {found} of {stock_code:?} in {cart}, the file says {expected}")
    }
}

/// One hash over the names and digests of all documents of a replica, in order of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentDigest(u128);

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What all replicas hold, compared.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Differences from the fold over all replicas, and one for each replica whose digest differs
    /// from that of the last.
    pub(crate) mismatches: u64,
    /// The first of them.
    pub(crate) examples: Vec<Mismatch>,
    /// The digest of the last replica.
    pub(crate) digest: ContentDigest,
    /// The carts of the last replica, zeros included.
    pub(crate) carts: BTreeMap<String, Items>,
}

/// Reads every replica and compares it with `fold`.
///
/// # Errors
/// [`ReadError`] if a replica has stopped.
pub(crate) async fn verify(cluster: &Cluster, fold: &Fold, mut step: impl FnMut()) -> Result<Verdict, ReadError> {
    let mut verdict = Verdict { mismatches: 0, examples: Vec::new(), digest: ContentDigest(0), carts: BTreeMap::new() };
    let mut digests = Vec::with_capacity(cluster.peers());
    for (number, replica) in cluster.replicas().enumerate() {
        let (carts, digest) = read(replica, &mut step).await?;
        verdict.compare(number, fold.carts(), &carts);
        digests.push(digest);
        (verdict.carts, verdict.digest) = (carts, digest);
    }
    verdict.mismatches += digests.iter().filter(|digest| **digest != verdict.digest).count() as u64;
    Ok(verdict)
}

/// Reads all carts of a replica, and its digest.
async fn read(
    replica: &Replica,
    step: &mut impl FnMut(),
) -> Result<(BTreeMap<String, Items>, ContentDigest), ReadError> {
    let mut carts = BTreeMap::new();
    let mut hash = Xxh3::new();
    for id in replica.documents().await? {
        let snapshot = replica.document(id.as_str()).await?.snapshot().await?;
        hash.update(&(id.as_str().len() as u64).to_le_bytes());
        hash.update(id.as_str().as_bytes());
        hash.update(&snapshot.digest().0.to_le_bytes());
        carts.insert(id.as_str().to_owned(), Cart::read(&snapshot).items);
        step();
    }
    Ok((carts, ContentDigest(hash.digest128())))
}

impl Verdict {
    /// Counts where `found` differs from `expected`; an absent item is one of quantity zero.
    fn compare(&mut self, replica: usize, expected: &BTreeMap<String, Items>, found: &BTreeMap<String, Items>) {
        let none = Items::new();
        for (cart, items) in expected {
            self.compare_cart(replica, cart, items, found.get(cart).unwrap_or(&none));
        }
        for (cart, items) in found.iter().filter(|(cart, _)| !expected.contains_key(*cart)) {
            self.compare_cart(replica, cart, &none, items);
        }
    }

    fn compare_cart(&mut self, replica: usize, cart: &str, expected: &Items, found: &Items) {
        let only_found = found.keys().filter(|code| !expected.contains_key(*code));
        for stock_code in expected.keys().chain(only_found) {
            let expected = expected.get(stock_code).copied().unwrap_or(0);
            let found = found.get(stock_code).copied().unwrap_or(0);
            if expected == found {
                continue;
            }
            self.mismatches += 1;
            if self.examples.len() < EXAMPLES_MAX {
                let (cart, stock_code) = (cart.to_owned(), stock_code.clone());
                self.examples.push(Mismatch { replica, cart, stock_code, expected, found });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carts(carts: &[(&str, &[(&str, i128)])]) -> BTreeMap<String, Items> {
        let items = |items: &[(&str, i128)]| items.iter().map(|&(code, sum)| (code.to_owned(), sum)).collect();
        carts.iter().map(|&(cart, content)| (cart.to_owned(), items(content))).collect()
    }

    fn compare(expected: &BTreeMap<String, Items>, found: &BTreeMap<String, Items>) -> Verdict {
        let mut verdict = Verdict { mismatches: 0, examples: vec![], digest: ContentDigest(0), carts: BTreeMap::new() };
        verdict.compare(3, expected, found);
        verdict
    }

    #[test]
    fn equal_carts_and_absent_zeros_are_no_mismatch() {
        let expected = carts(&[("a", &[("X", 2), ("Y", 0)]), ("b", &[("X", 0)])]);
        assert_eq!(compare(&expected, &carts(&[("a", &[("X", 2)]), ("c", &[])])).mismatches, 0);
    }

    #[test]
    fn wrong_missing_and_superfluous_items_each_count_once() {
        let expected = carts(&[("a", &[("X", 2), ("Y", 1)]), ("b", &[("X", 5)])]);
        let found = carts(&[("a", &[("X", 3), ("Z", 1)]), ("c", &[("X", 7)])]);
        let verdict = compare(&expected, &found);
        assert_eq!(verdict.mismatches, 5);
        let first = verdict.examples[0].to_string();
        assert_eq!(first, "replica 3 holds 3 of \"X\" in a, the file says 2");
    }

    #[test]
    fn only_the_first_mismatches_are_kept() {
        let items: Items = (0..50).map(|code| (code.to_string(), 1)).collect();
        let verdict = compare(&BTreeMap::from([("a".to_owned(), items)]), &BTreeMap::new());
        assert_eq!((verdict.mismatches, verdict.examples.len()), (50, EXAMPLES_MAX));
    }
}
