//! A small sorted set of dots: who added an element, or wrote a value, that is still there.
//!
//! Nearly always one dot, which then costs no allocation; more only where replicas wrote
//! concurrently. Sixteen bytes either way.

use std::ops::Deref;
use std::{fmt, slice};

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

    /// Tells whether a dot is one of these. O(log n).
    pub(crate) fn contains(&self, dot: LocalDot) -> bool {
        match self {
            Self::One(only) => *only == dot,
            Self::Many(dots) => dots.binary_search(&dot).is_ok(),
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

/// The dots, ascending.
impl Deref for Dots {
    type Target = [LocalDot];

    fn deref(&self) -> &[LocalDot] {
        match self {
            Self::One(dot) => slice::from_ref(dot),
            Self::Many(dots) => dots,
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
        let (first, second) = match (dots.next(), dots.next()) {
            (None, _) => return Self::new(),
            (Some(only), None) => return Self::One(only),
            (Some(first), Some(second)) => (first, second),
        };
        let mut dots: SmallVec<[LocalDot; 1]> = [first, second].into_iter().chain(dots).collect();
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
        let built = Dots::from_iter([c, a, b, a]);
        assert_eq!(*built, [a, b, c]);
        assert_eq!(built, Dots::from_iter([b, c, b, a]));
        assert_eq!(built, Dots::from_sorted([a, b, c].into_iter().collect()));
        assert!(built.contains(b) && !built.contains(dot(2, 2)));
        assert_eq!(Dots::from_iter([]), Dots::new());
        assert_eq!(Dots::from_iter([a, a]), Dots::One(a));
    }
}
