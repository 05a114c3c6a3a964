//! A small sorted set of dots: who added an element, or wrote a value, that is still there.
//!
//! Nearly always one dot, which then costs no allocation; more only where replicas wrote
//! concurrently. Sixteen bytes either way.

use std::{fmt, mem, slice};

use smallvec::SmallVec;

use crate::context::LocalDot;

/// A sorted set of dots. Empty only in passing: an entry without dots is removed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Dots {
    One(LocalDot),
    /// None or several, ascending.
    Many(Box<[LocalDot]>),
}

impl Dots {
    /// Returns the set of no dots. Allocates nothing.
    pub(crate) fn new() -> Self {
        Self::Many(Box::default())
    }

    /// Returns the dots, ascending.
    pub(crate) fn as_slice(&self) -> &[LocalDot] {
        match self {
            Self::One(dot) => slice::from_ref(dot),
            Self::Many(dots) => dots,
        }
    }

    /// Yields the dots, ascending.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = LocalDot> + '_ {
        self.as_slice().iter().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    pub(crate) fn contains(&self, dot: LocalDot) -> bool {
        match self {
            Self::One(only) => *only == dot,
            Self::Many(dots) => dots.binary_search(&dot).is_ok(),
        }
    }

    /// Adds a dot. O(n) if others are there.
    pub(crate) fn insert(&mut self, dot: LocalDot) {
        if self.is_empty() {
            *self = Self::One(dot);
        } else if let Err(position) = self.as_slice().binary_search(&dot) {
            let mut dots = self.as_slice().to_vec();
            dots.insert(position, dot);
            *self = Self::Many(dots.into());
        }
    }

    /// Keeps only the dots that `keep` says.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(LocalDot) -> bool) {
        match self {
            Self::One(dot) => {
                if !keep(*dot) {
                    *self = Self::new();
                }
            }
            Self::Many(dots) => {
                let kept: SmallVec<[LocalDot; 1]> = mem::take(dots).into_iter().filter(|dot| keep(*dot)).collect();
                *self = Self::from_sorted(kept);
            }
        }
    }

    /// Makes the set of dots that are strictly ascending.
    pub(crate) fn from_sorted(dots: SmallVec<[LocalDot; 1]>) -> Self {
        match dots[..] {
            [only] => Self::One(only),
            _ => Self::Many(dots.into_boxed_slice()),
        }
    }
}

impl Default for Dots {
    fn default() -> Self {
        Self::new()
    }
}

impl From<LocalDot> for Dots {
    fn from(dot: LocalDot) -> Self {
        Self::One(dot)
    }
}

impl FromIterator<LocalDot> for Dots {
    fn from_iter<I: IntoIterator<Item = LocalDot>>(dots: I) -> Self {
        let mut dots = dots.into_iter();
        let first = dots.next();
        let second = dots.next();
        if let (Some(only), None) = (first, second) {
            return Self::One(only);
        }
        let mut dots: SmallVec<[LocalDot; 1]> = first.into_iter().chain(second).chain(dots).collect();
        dots.sort_unstable();
        dots.dedup();
        Self::from_sorted(dots)
    }
}

impl fmt::Debug for Dots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ReplicaIndex;

    fn dot(replica: usize, counter: u64) -> LocalDot {
        LocalDot::new(ReplicaIndex::new(replica), counter)
    }

    #[test]
    fn takes_sixteen_bytes() {
        assert_eq!(size_of::<Dots>(), 16);
    }

    #[test]
    fn however_it_was_built_the_same_set_is_equal() {
        let (a, b, c) = (dot(0, 7), dot(1, 1), dot(1, 2));
        let mut built = Dots::new();
        for dot in [c, a, b, a] {
            built.insert(dot);
        }
        assert_eq!(built.as_slice(), [a, b, c]);
        assert_eq!(built, Dots::from_iter([b, c, b, a]));
        assert!(built.contains(b) && !built.contains(dot(2, 2)));
        built.retain(|dot| dot == a);
        assert_eq!(built, Dots::from(a));
        built.retain(|_| false);
        assert_eq!(built, Dots::new());
        assert_eq!((built.iter().len(), built.is_empty()), (0, true));
        assert_eq!(Dots::from_iter([a, a]), Dots::One(a));
    }
}
