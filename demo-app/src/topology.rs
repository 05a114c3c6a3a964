//! Who links to whom.
//!
//! Every replica relays, so any connected graph will do: what travels a line of five arrives just
//! as it does in a mesh. A topology is only a list of edges; each edge is dialled by its newer end,
//! as a device joins those that are there already.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;
use thiserror::Error;

/// The shape of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// Every replica is linked to every other (two or more).
    #[default]
    Mesh,
    /// Every replica is linked to the first, the hub (two or more).
    Star,
    /// Every replica is linked to the next and the last to the first (three or more).
    Ring,
    /// Every replica is linked to the next (two or more).
    Line,
}

/// One link: replica `dialler` connects to replica `listener`. Numbers start at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Who connects.
    pub dialler: usize,
    /// Who is connected to.
    pub listener: usize,
}

/// Too few replicas for the shape. Ask for more, or for another shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a {topology} needs at least {needed} replicas, not {peers}")]
pub struct TooFewPeers {
    /// The shape asked for.
    pub topology: Topology,
    /// The fewest replicas it can have.
    pub needed: usize,
    /// How many were asked for.
    pub peers: usize,
}

impl Topology {
    /// Every shape there is.
    pub const ALL: [Self; 4] = [Self::Mesh, Self::Star, Self::Ring, Self::Line];

    /// Returns the fewest replicas that can take this shape.
    #[must_use]
    pub const fn peers_min(self) -> usize {
        match self {
            // A ring of two would be two links between the same pair.
            Self::Ring => 3,
            Self::Mesh | Self::Star | Self::Line => 2,
        }
    }

    /// Lists the links between `peers` replicas; no pair is listed twice.
    ///
    /// # Errors
    /// [`TooFewPeers`] if so few replicas cannot take this shape.
    pub fn edges(self, peers: usize) -> Result<Vec<Edge>, TooFewPeers> {
        let needed = self.peers_min();
        if peers < needed {
            return Err(TooFewPeers { topology: self, needed, peers });
        }
        let edge = |listener, dialler| Edge { dialler, listener };
        Ok(match self {
            Self::Mesh => (1..peers).flat_map(|newer| (0..newer).map(move |older| edge(older, newer))).collect(),
            Self::Star => (1..peers).map(|leaf| edge(0, leaf)).collect(),
            Self::Line => (1..peers).map(|next| edge(next - 1, next)).collect(),
            Self::Ring => (1..peers).map(|next| edge(next - 1, next)).chain([edge(0, peers - 1)]).collect(),
        })
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mesh => "mesh",
            Self::Star => "star",
            Self::Ring => "ring",
            Self::Line => "line",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn pairs(topology: Topology, peers: usize) -> Vec<(usize, usize)> {
        let edges = topology.edges(peers).expect("enough replicas");
        edges.iter().map(|edge| (edge.dialler, edge.listener)).collect()
    }

    #[test]
    fn a_mesh_links_every_pair_once() {
        assert_eq!(pairs(Topology::Mesh, 4), [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]);
    }

    #[test]
    fn a_star_links_everybody_to_the_first() {
        assert_eq!(pairs(Topology::Star, 4), [(1, 0), (2, 0), (3, 0)]);
    }

    #[test]
    fn a_line_links_neighbours_and_a_ring_closes_it() {
        assert_eq!(pairs(Topology::Line, 4), [(1, 0), (2, 1), (3, 2)]);
        assert_eq!(pairs(Topology::Ring, 4), [(1, 0), (2, 1), (3, 2), (3, 0)]);
    }

    #[test]
    fn every_shape_of_every_size_is_connected_and_links_no_pair_twice() {
        for topology in Topology::ALL {
            for peers in topology.peers_min()..=9 {
                let edges = topology.edges(peers).expect("enough replicas");
                let pairs: BTreeSet<_> =
                    edges.iter().map(|e| (e.dialler.min(e.listener), e.dialler.max(e.listener))).collect();
                assert_eq!(pairs.len(), edges.len(), "{topology} of {peers}");
                let mut reached = BTreeSet::from([0]);
                for _ in 0..peers {
                    for &(one, other) in &pairs {
                        if reached.contains(&one) || reached.contains(&other) {
                            reached.extend([one, other]);
                        }
                    }
                }
                assert_eq!(reached.len(), peers, "{topology} of {peers}");
            }
        }
    }

    #[test]
    fn one_replica_too_few_is_refused_and_says_how_many_are_needed() {
        for topology in Topology::ALL {
            let needed = topology.peers_min();
            assert!(topology.edges(needed).is_ok());
            let refused = topology.edges(needed - 1).expect_err("one too few");
            assert_eq!(refused, TooFewPeers { topology, needed, peers: needed - 1 });
        }
        let message = Topology::Ring.edges(2).expect_err("a ring of two").to_string();
        assert_eq!(message, "a ring needs at least 3 replicas, not 2");
    }
}
