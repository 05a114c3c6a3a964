//! The plain fold: what the carts must hold, computed without replicas.
//!
//! Addition commutes, so the order in which rows reached which replica cannot matter, and a sorted
//! map of sums is the whole specification.

use std::collections::BTreeMap;

use crate::replay::rows::Row;

/// One cart: the sum by stock code, zeros included.
pub type Items = BTreeMap<String, i128>;

/// The carts by the name of their document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    carts: BTreeMap<String, Items>,
    rows: u64,
}

impl Fold {
    /// Returns the fold of no rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one row.
    pub fn add(&mut self, row: &Row) {
        self.rows += 1;
        // Known carts and codes, nearly all, cost no new string.
        if !self.carts.contains_key(row.cart.as_str()) {
            self.carts.insert(row.cart.as_str().to_owned(), Items::new());
        }
        let cart = self.carts.get_mut(row.cart.as_str()).expect("inserted above");
        match cart.get_mut(&row.stock_code) {
            // 2⁶⁴ rows of 64 bits each cannot reach the ends of 128 bits.
            Some(sum) => *sum += i128::from(row.quantity),
            None => drop(cart.insert(row.stock_code.clone(), i128::from(row.quantity))),
        }
    }

    /// Returns the carts, sorted by name.
    #[must_use]
    pub const fn carts(&self) -> &BTreeMap<String, Items> {
        &self.carts
    }

    /// Returns how many rows were added.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Counts the pairs of cart and stock code whose sum is not zero.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.carts.values().flat_map(Items::values).filter(|sum| **sum != 0).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use crdt_sync::DocumentId;

    use super::*;

    fn fold(rows: &[(&str, &str, i64)]) -> Fold {
        let mut fold = Fold::new();
        for &(cart, code, quantity) in rows {
            let cart = DocumentId::new(cart).expect("a short name");
            fold.add(&Row { line: 2, cart, stock_code: code.to_owned(), quantity });
        }
        fold
    }

    #[test]
    fn quantities_add_up_by_cart_and_code() {
        let fold = fold(&[("a", "X", 2), ("b", "X", 3), ("a", "X", -5), ("a", "x", 1)]);
        assert_eq!(fold.rows(), 4);
        assert_eq!(fold.carts()["a"], Items::from([("X".to_owned(), -3), ("x".to_owned(), 1)]));
        assert_eq!(fold.carts()["b"], Items::from([("X".to_owned(), 3)]));
    }

    #[test]
    fn a_sum_of_zero_stays_a_key_but_is_no_item() {
        let fold = fold(&[("a", "X", 2), ("a", "X", -2), ("a", "Y", 1)]);
        assert_eq!((fold.carts()["a"].len(), fold.items()), (2, 1));
    }

    #[test]
    fn sums_outgrow_sixty_four_bits() {
        let fold = fold(&[("a", "X", i64::MAX), ("a", "X", i64::MAX)]);
        assert_eq!(fold.carts()["a"]["X"], 2 * i128::from(i64::MAX));
    }
}
