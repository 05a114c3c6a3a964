//! The clocks of one replica: tokio's for delays, the wall's for the stamps of writes.
//!
//! tokio's clock can be paused and moved by whoever runs the tasks; the wall clock is an option. So
//! a simulation has both in its hand, and nothing else in this crate asks for the time.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crdt_sync::Now;
use tokio::time::{Instant, Sleep, sleep_until};

/// Where a replica reads the time of day, with which it stamps what it writes.
///
/// It may jump and be wrong: stamps always increase, and a wrong one only decides which of two
/// concurrent values of a register is shown first.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use crdt_net::WallClock;
///
/// // A clock that stands still, for a test.
/// let stopped = UNIX_EPOCH + Duration::from_secs(1_000_000);
/// let clock = WallClock::new(move || stopped);
/// assert_eq!(clock.now(), stopped);
/// ```
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl WallClock {
    /// Makes a clock of a function. It is called for every message and every transaction.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the time of day.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }
}

/// The clock of the system.
impl Default for WallClock {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("WallClock").finish_non_exhaustive()
    }
}

/// Both clocks of one replica. Monotonic time counts from when it was opened.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    started: Instant,
    wall: WallClock,
}

impl Clock {
    pub(crate) fn start(wall: WallClock) -> Self {
        Self { started: Instant::now(), wall }
    }

    pub(crate) fn now(&self) -> Now {
        let wall = self.wall.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic_ms: whole_ms(self.started.elapsed()), wall_ms: whole_ms(wall) }
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Sleeps until the moment that the endpoint has named, if it has.
pub(crate) struct Timer {
    started: Instant,
    armed: Option<u64>,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { started: clock.started, armed: None, sleep: Box::pin(sleep_until(clock.started)) }
    }

    /// Arms or disarms. Most turns name the same moment again, which costs nothing.
    pub(crate) fn set(&mut self, monotonic_ms: Option<u64>) {
        if let Some(moment) = monotonic_ms
            && (self.armed != monotonic_ms || self.sleep.is_elapsed())
        {
            let until = self.at(moment);
            self.sleep.as_mut().reset(until);
        }
        self.armed = monotonic_ms;
    }

    pub(crate) async fn wait(&mut self) {
        match self.armed {
            Some(_) => self.sleep.as_mut().await,
            None => std::future::pending().await,
        }
    }

    fn at(&self, monotonic_ms: u64) -> Instant {
        // A moment beyond what the clock can name is as good as a year from now.
        self.started
            .checked_add(Duration::from_millis(monotonic_ms))
            .unwrap_or_else(|| Instant::now() + Duration::from_secs(365 * 24 * 60 * 60))
    }
}
