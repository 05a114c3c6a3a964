//! What came out of the story, and whether it is what the story promises.
//!
//! Serialises to the object that `--json` prints.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::cart::Cart;
use crate::story::script::{self, letter};
use crate::story::view::View;
use crate::topology::Topology;

/// The outcome, replica by replica.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Who was linked to whom.
    pub topology: Topology,
    /// How many replicas.
    pub peers: usize,
    /// Whether all replicas ended with the promised cart, equal versions and equal digests.
    pub converged: bool,
    /// The cart that all replicas must hold in the end, as A holds it.
    pub cart: CartLine,
    /// The conflict over the name, between merge and resolution.
    pub conflict: Conflict,
    /// Each replica, A first.
    pub replicas: Vec<ReplicaLine>,
    /// The time from the links' return to equal versions.
    pub merge_seconds: f64,
    /// The whole story.
    pub seconds: f64,
    /// Bytes sent on all links of all replicas.
    pub bytes_sent: u64,
    /// Transactions sent on all links of all replicas.
    pub deltas_sent: u64,
    /// Transactions received that were known already.
    pub deltas_duplicate: u64,
    /// Everything that differs from what the story promises; empty if all is well.
    pub problems: Vec<String>,
}

/// The concurrent values of the name.
#[derive(Debug, Default, Serialize)]
pub struct Conflict {
    /// The value every replica shows.
    pub winner: Option<String>,
    /// All values, the winner first.
    pub values: Vec<String>,
    /// What A wrote to settle it.
    pub resolved: Option<String>,
}

/// A cart for people and scripts: one name, and what else is in conflict.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct CartLine {
    /// The name that wins.
    pub name: Option<String>,
    /// Names that were written concurrently and did not win.
    pub conflicts: Vec<String>,
    /// How many of each item.
    pub items: BTreeMap<String, i128>,
}

/// One replica.
#[derive(Debug, Serialize)]
pub struct ReplicaLine {
    /// Its letter.
    pub replica: char,
    /// Its cart while A and B were apart.
    pub before: CartLine,
    /// Its cart after the merge.
    pub merged: CartLine,
    /// Its cart in the end.
    pub after: CartLine,
    /// The transactions it has, by the letter of who made them.
    pub version: BTreeMap<char, u64>,
    /// The hash of the document's content in the end.
    pub digest: String,
    /// Bytes it sent on all its links.
    pub bytes_sent: u64,
}

impl From<&Cart> for CartLine {
    fn from(cart: &Cart) -> Self {
        let (name, conflicts) = (cart.name().map(str::to_owned), cart.rivals().to_vec());
        Self { name, conflicts, items: cart.items.clone() }
    }
}

impl Report {
    /// Tells whether every replica ended with exactly the promised cart, version and digest.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.converged
    }

    pub(crate) fn new(topology: Topology, peers: usize) -> Self {
        let replica = |number| ReplicaLine {
            replica: letter(number),
            before: CartLine::default(),
            merged: CartLine::default(),
            after: CartLine::default(),
            version: BTreeMap::new(),
            digest: String::new(),
            bytes_sent: 0,
        };
        Self {
            topology,
            peers,
            converged: false,
            cart: CartLine::default(),
            conflict: Conflict::default(),
            replicas: (0..peers).map(replica).collect(),
            merge_seconds: 0.0,
            seconds: 0.0,
            bytes_sent: 0,
            deltas_sent: 0,
            deltas_duplicate: 0,
            problems: Vec::new(),
        }
    }

    /// Takes in what the replicas show while A and B are apart.
    pub(crate) fn apart(&mut self, views: &[View]) {
        for view in views {
            self.replicas[view.replica].before = CartLine::from(&view.cart);
            self.expect_items(view, "apart", &script::items_apart(view.replica));
            if view.cart.names != script::names_apart(view.replica) {
                self.problem(view, "apart", format!("shows the names {:?}", view.cart.names));
            }
        }
    }

    /// Takes in what the replicas show after the merge.
    pub(crate) fn merged(&mut self, views: &[View], after: Duration) {
        self.merge_seconds = after.as_secs_f64();
        for view in views {
            self.replicas[view.replica].merged = CartLine::from(&view.cart);
            self.expect_items(view, "after the merge", &script::items_merged());
            let mut names = view.cart.names.clone();
            names.sort();
            if names != script::NAMES_IN_CONFLICT {
                self.problem(view, "after the merge", format!("shows the names {names:?}"));
            }
        }
        self.expect_agreement(views, "after the merge");
        if let Some(first) = views.first() {
            let values = first.cart.names.clone();
            self.conflict = Conflict { winner: values.first().cloned(), values, resolved: None };
        }
    }

    /// Takes in what the replicas show in the end, and judges.
    pub(crate) fn resolved(&mut self, views: &[View], chosen: &str, after: Duration) {
        self.seconds = after.as_secs_f64();
        for view in views {
            self.expect_items(view, "in the end", &script::items_merged());
            if view.cart.names != [chosen] {
                self.problem(view, "in the end", format!("shows the names {:?}", view.cart.names));
            }
            let line = &mut self.replicas[view.replica];
            line.after = CartLine::from(&view.cart);
            line.version = view.version.iter().map(|(&replica, &counter)| (letter(replica), counter)).collect();
            (line.digest, line.bytes_sent) = (view.digest.to_string(), view.bytes_sent);
            self.bytes_sent += view.bytes_sent;
            self.deltas_sent += view.deltas_sent;
            self.deltas_duplicate += view.deltas_duplicate;
        }
        self.expect_agreement(views, "in the end");
        self.conflict.resolved = Some(chosen.to_owned());
        self.cart = views.first().map(|view| CartLine::from(&view.cart)).unwrap_or_default();
        self.converged = self.problems.is_empty();
    }

    fn expect_items(&mut self, view: &View, when: &str, expected: &BTreeMap<String, i128>) {
        if view.cart.items != *expected {
            self.problem(view, when, format!("holds {:?} instead of {expected:?}", view.cart.items));
        }
    }

    /// All replicas must show the same cart, version and digest.
    fn expect_agreement(&mut self, views: &[View], when: &str) {
        let Some((first, rest)) = views.split_first() else { return };
        for view in rest {
            for (what, equal) in [
                ("cart", view.cart == first.cart),
                ("version", view.version == first.version),
                ("digest", view.digest == first.digest),
            ] {
                if !equal {
                    self.problem(view, when, format!("has another {what} than {}", letter(first.replica)));
                }
            }
        }
    }

    fn problem(&mut self, view: &View, when: &str, what: String) {
        self.problems.push(format!("{when}, {} {what}", letter(view.replica)));
    }
}

#[cfg(test)]
mod tests {
    use crdt_core::Digest;

    use super::*;

    fn view(replica: usize, names: &[&str], items: BTreeMap<String, i128>) -> View {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        View {
            replica,
            cart: Cart { names, items },
            version: BTreeMap::from([(0, 6), (1, 4)]),
            digest: Digest(7),
            bytes_sent: 10,
            deltas_sent: 2,
            deltas_duplicate: 1,
        }
    }

    fn views(names: &[&str], items: impl Fn(usize) -> BTreeMap<String, i128>) -> Vec<View> {
        (0..3).map(|replica| view(replica, names, items(replica))).collect()
    }

    /// A report of a story in which everything went well.
    fn good() -> Report {
        let mut report = Report::new(Topology::Mesh, 3);
        let apart: Vec<View> = (0..3).map(|at| view(at, script::names_apart(at), script::items_apart(at))).collect();
        report.apart(&apart);
        report.merged(&views(&["Bob", "Alice"], |_| script::items_merged()), Duration::ZERO);
        report
    }

    #[test]
    fn the_promised_end_is_good_and_sums_the_figures() {
        let mut report = good();
        report.resolved(&views(&["Alice"], |_| script::items_merged()), "Alice", Duration::ZERO);
        assert_eq!(report.problems, [""; 0]);
        assert!(report.is_good());
        assert_eq!((report.bytes_sent, report.deltas_sent, report.deltas_duplicate), (30, 6, 3));
        assert_eq!(report.conflict.winner.as_deref(), Some("Bob"));
        assert_eq!(report.cart.name.as_deref(), Some("Alice"));
    }

    #[test]
    fn a_wrong_item_an_open_conflict_and_a_digest_that_differs_are_each_a_problem() {
        let ends: [(&str, Vec<View>); 3] = [
            ("C holds", views(&["Alice"], |at| if at == 2 { script::items_apart(2) } else { script::items_merged() })),
            ("A shows the names", views(&["Alice", "Bob"], |_| script::items_merged())),
            ("B has another digest", {
                let mut views = views(&["Alice"], |_| script::items_merged());
                views[1].digest = Digest(8);
                views
            }),
        ];
        for (expected, end) in ends {
            let mut report = good();
            report.resolved(&end, "Alice", Duration::ZERO);
            assert!(!report.is_good());
            assert!(report.problems.iter().any(|problem| problem.contains(expected)), "{:?}", report.problems);
        }
    }
}
