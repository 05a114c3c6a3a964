//! Signs of life on one link: any byte counts, silence is answered by a ping, then by giving up.

use crdt_core::planted::{Bug, is_planted};

use crate::close::CloseReason;
use crate::config::Config;

#[derive(Debug)]
pub(crate) struct Liveness {
    opened_ms: u64,
    heard_ms: u64,
    /// When the peer was last pinged since it was heard.
    pinged_ms: Option<u64>,
    /// When a link in doubt is given up unless it is heard before.
    doubt_ends_ms: Option<u64>,
    has_peer: bool,
    ping_owed: bool,
    pong_owed: bool,
}

impl Liveness {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            opened_ms: now_ms,
            heard_ms: now_ms,
            pinged_ms: None,
            doubt_ends_ms: None,
            has_peer: false,
            ping_owed: false,
            pong_owed: false,
        }
    }

    pub(crate) fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
        self.pinged_ms = None;
        self.doubt_ends_ms = None;
    }

    /// Returns when the last sign of life came.
    pub(crate) fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    /// The peer has said hello: the deadline for that is over.
    pub(crate) fn established(&mut self) {
        self.has_peer = true;
    }

    /// Another link shows that this one may be dead: it has `within_ms` to show life.
    pub(crate) fn doubt(&mut self, now_ms: u64, within_ms: u64) {
        if self.doubt_ends_ms.is_none() {
            self.doubt_ends_ms = Some(now_ms.saturating_add(within_ms));
            self.ping(now_ms);
        }
    }

    /// The peer has asked for a sign of life. Many questions at once get one answer.
    pub(crate) fn pinged(&mut self) {
        self.pong_owed = true;
    }

    pub(crate) fn take_ping(&mut self) -> bool {
        std::mem::take(&mut self.ping_owed)
    }

    pub(crate) fn take_pong(&mut self) -> bool {
        std::mem::take(&mut self.pong_owed)
    }

    pub(crate) fn owes_frame(&self) -> bool {
        self.ping_owed || self.pong_owed
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) fn deadline_ms(&self, config: &Config) -> u64 {
        if !self.has_peer {
            return self.opened_ms.saturating_add(config.hello_timeout_ms);
        }
        self.ping_due_ms(config).min(self.dead_ms(config))
    }

    pub(crate) fn handle_timeout(&mut self, now_ms: u64, config: &Config) -> Result<(), CloseReason> {
        if !self.has_peer {
            let late = now_ms >= self.opened_ms.saturating_add(config.hello_timeout_ms);
            return if late { Err(CloseReason::HelloTimeout) } else { Ok(()) };
        }
        if now_ms >= self.dead_ms(config) {
            return Err(CloseReason::Dead);
        }
        if now_ms >= self.ping_due_ms(config) {
            self.ping(now_ms);
        }
        Ok(())
    }

    fn ping(&mut self, now_ms: u64) {
        self.pinged_ms = Some(now_ms);
        self.ping_owed = true;
    }

    fn ping_due_ms(&self, config: &Config) -> u64 {
        self.pinged_ms.unwrap_or(self.heard_ms).saturating_add(config.ping_after_ms)
    }

    fn dead_ms(&self, config: &Config) -> u64 {
        if is_planted(Bug::NeverGiveUp) {
            return u64::MAX;
        }
        let silent = self.heard_ms.saturating_add(config.dead_after_ms);
        self.doubt_ends_ms.map_or(silent, |doubt| doubt.min(silent))
    }
}
