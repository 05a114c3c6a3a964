//! How much is measured, in full and in short.

use std::time::Duration;

/// The sizes and times of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) is_quick: bool,
    /// How often each row is measured.
    pub(crate) rounds: usize,
    /// The same for the rows of writers. Many short rounds, because a virtual disk may sync twenty times as fast for
    /// some seconds as before and after: what is compared has to lie close together.
    pub(crate) writer_rounds: usize,
    /// How long the writers of a row write in one round, and how long the disk is synced.
    pub(crate) window: Duration,
    /// Before the first round counts.
    pub(crate) warm_up: Duration,
    /// Entries of the stores that are opened.
    pub(crate) entries: usize,
    /// Over how many documents they are spread in the second store.
    pub(crate) spread: usize,
    /// Entries that are written one a transaction.
    pub(crate) single_entries: usize,
    /// Documents of the store whose memory is measured.
    pub(crate) documents: usize,
    /// Entries of each.
    pub(crate) document_entries: usize,
    /// How many of them are in use.
    pub(crate) in_use: usize,
}

impl Plan {
    /// What docs/benchmarks.md shows: some five minutes.
    pub(crate) fn full() -> Self {
        Self {
            is_quick: false,
            rounds: 7,
            writer_rounds: 41,
            window: Duration::from_millis(250),
            warm_up: Duration::from_millis(500),
            entries: 1_000_000,
            spread: 1_000,
            single_entries: 100_000,
            documents: 10_000,
            document_entries: 100,
            in_use: 100,
        }
    }

    /// To see that it works: a few seconds.
    pub(crate) fn quick() -> Self {
        Self {
            is_quick: true,
            rounds: 2,
            writer_rounds: 2,
            window: Duration::from_millis(60),
            warm_up: Duration::from_millis(20),
            entries: 4_000,
            spread: 20,
            single_entries: 400,
            documents: 60,
            document_entries: 10,
            in_use: 6,
        }
    }
}
