//! The two walks of a decoder over one message: the first refuses, the second builds.
//!
//! How does a message that is refused at its last byte cost no memory? Nothing is built before
//! every byte has been checked. Both walks go by one grammar, generic over what becomes of what it
//! reads, so the second cannot take anything that the first has not seen.
//!
//! Only small things are checked and kept at once: the table of replicas and the ranges of a delta,
//! the frontier of a snapshot. They take at most twice their bytes.

/// What becomes of what a walk reads.
///
/// Laws: [`Build`] runs every closure once, [`Check`] none. So whatever may refuse stands outside
/// of them, and within them a list may be reserved by its count, for its entries have been seen.
pub(crate) trait Pass {
    /// Whether the walk sums up a digest. Once is enough.
    const DIGESTS: bool;

    /// What is kept of a `T`.
    type Kept<T>;

    /// Makes a `T`.
    fn keep<T>(make: impl FnOnce() -> T) -> Self::Kept<T>;

    /// Makes a `U` out of a `T`.
    fn map<T, U>(kept: Self::Kept<T>, make: impl FnOnce(T) -> U) -> Self::Kept<U>;

    /// Puts a part into a whole.
    fn put<T, U>(whole: &mut Self::Kept<T>, part: Self::Kept<U>, put: impl FnOnce(&mut T, U));
}

/// The first walk: keeps nothing.
pub(crate) enum Check {}

/// The second walk: keeps everything.
pub(crate) enum Build {}

impl Pass for Check {
    const DIGESTS: bool = true;
    type Kept<T> = ();

    fn keep<T>(_make: impl FnOnce() -> T) {}

    fn map<T, U>((): (), _make: impl FnOnce(T) -> U) {}

    fn put<T, U>((): &mut (), (): (), _put: impl FnOnce(&mut T, U)) {}
}

impl Pass for Build {
    const DIGESTS: bool = false;
    type Kept<T> = T;

    fn keep<T>(make: impl FnOnce() -> T) -> T {
        make()
    }

    fn map<T, U>(kept: T, make: impl FnOnce(T) -> U) -> U {
        make(kept)
    }

    fn put<T, U>(whole: &mut T, part: U, put: impl FnOnce(&mut T, U)) {
        put(whole, part);
    }
}
