//! Ends a run that has stopped moving.
//!
//! A run has no fair deadline: a hundred thousand rows take as long as the machine needs. But
//! while it works, it moves. So the working parts report every step to a [`Pulse`], and whoever
//! waits for them gives up only when no step has come for a while, however long the whole takes.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts steps; cheap to share and to advance.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    steps: Arc<AtomicU64>,
}

impl Pulse {
    /// Returns a pulse that counts from zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports one step.
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many steps were reported.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Waits for `work`; `None` if no step was reported for `stall`, and the work is dropped.
    ///
    /// The stall is noticed at most one eighth late.
    pub async fn guard<T>(&self, stall: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.stalled(stall) => None,
        }
    }

    /// Returns once no step has been reported for `stall`.
    async fn stalled(&self, stall: Duration) {
        const LOOKS: u32 = 8;
        let mut last = self.steps();
        let mut looks = 0;
        while looks < LOOKS {
            tokio::time::sleep(stall / LOOKS).await;
            let steps = self.steps();
            looks = if steps == last { looks + 1 } else { 0 };
            last = steps;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_keeps_stepping_may_take_longer_than_the_stall() {
        let pulse = Pulse::new();
        let work = async {
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                pulse.step();
            }
            "done"
        };
        assert_eq!(pulse.guard(Duration::from_secs(30), work).await, Some("done"));
    }

    #[tokio::test(start_paused = true)]
    async fn work_without_a_step_is_given_up() {
        let started = tokio::time::Instant::now();
        let pulse = Pulse::new();
        assert_eq!(pulse.guard(Duration::from_secs(30), std::future::pending::<()>()).await, None);
        assert!(started.elapsed() <= Duration::from_secs(34), "{:?}", started.elapsed());
    }
}
