//! Who may be linked: one live link per replica, and the same one at both ends.
//!
//! Two replicas that dial each other at the same moment get two links. Which one stays? Both ends must
//! choose the same, without asking, and a link in use must not lose to one that was dialled later, or
//! two redialling peers would take turns for ever. So each process numbers its links as they come up
//! (the *ordinal*), hellos carry the number, and **the link that has the lower ordinal at the
//! replica with the smaller id stays**. Both ends know both numbers, so they agree; a link dialled
//! later has a higher number at both, so it loses.
//!
//! Two processes with one identity (a copied store) look the same at first. They are told apart by
//! the *incarnation*: a random number that each process is given. Another incarnation is refused for as
//! long as the first one lives, whatever the ordinals, so they never take turns either. It is told so
//! once it is certain: a process that has only been restarted must not be taken for a second one because
//! a message of its former life was late, so what counts is a sign of life that came
//! [`Config::dead_after_ms`](crate::Config::dead_after_ms) after the other was first refused.
//!
//! A loser may be right, though: the link in place may be dead without this end knowing (a laptop
//! that has changed networks, a process that was restarted). So each refusal also asks the link in
//! place for a sign of life within [`Config::hello_timeout_ms`](crate::Config::hello_timeout_ms); if there is
//! none, the next dial gets in.

use crdt_core::planted::{Bug, is_planted};

use super::{Endpoint, is_awaited};
use crate::close::CloseReason;
use crate::event::Event;
use crate::frame::{self, Hello};
use crate::input::LinkId;
use crate::session::{Context, Session};

impl Endpoint {
    pub(super) fn handle_link_up(&mut self, link: LinkId, nonce: u64) {
        if self.sessions.contains_key(&link) {
            return;
        }
        self.links_opened += 1;
        let mut session = Session::new(link, self.links_opened, self.replica, self.now.monotonic_ms);
        let hello = frame::hello(&Hello {
            replica: self.replica,
            incarnation: self.incarnation,
            ordinal: self.links_opened,
            nonce,
            frame_bytes_max: self.config.frame_bytes_limit() as u64,
            in_flight_bytes_max: self.config.in_flight_bytes_max as u64,
            message_bytes_max: self.config.message_bytes_max as u64,
            former: self.former.iter().rev().take(frame::FORMER_MAX).copied().collect(),
        });
        session.transmit(hello, &mut self.context());
        self.sessions.insert(link, session);
        self.settle(link);
    }

    pub(super) fn handle_link_down(&mut self, link: LinkId) {
        let Some(session) = self.sessions.remove(&link) else { return };
        self.documents.loads.forget(link);
        if let Some(armed_ms) = session.armed_ms.filter(|_| !is_planted(Bug::TimerOutlivesLink)) {
            self.timers.remove(&(armed_ms, link));
        }
        if let Some(replica) = session.peer().map(|peer| peer.replica) {
            #[cfg(planted_bugs)]
            self.remembered.insert(replica, session.known());
            self.peers.remove(&replica);
            self.emit(Event::PeerDown { link, replica });
        }
    }

    pub(super) fn handle_hello(&mut self, link: LinkId, hello: &Hello) -> Result<(), CloseReason> {
        self.admit(link, hello)?;
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        session.establish(hello, &self.config);
        for index in self.documents.indices() {
            if session.peer().is_some_and(|peer| is_awaited(&self.awaited, index, peer)) {
                session.open(index);
            }
        }
        #[cfg(planted_bugs)]
        if is_planted(Bug::StateOutlivesLink)
            && let Some(known) = self.remembered.get(&hello.replica)
        {
            session.believe(known);
        }
        self.peers.insert(hello.replica, link);
        self.emit(Event::PeerUp { link, replica: hello.replica });
        Ok(())
    }

    /// Decides whether a peer that says hello may stay; closes the link that it replaces.
    fn admit(&mut self, link: LinkId, hello: &Hello) -> Result<(), CloseReason> {
        let replica = hello.replica;
        if replica == self.replica {
            if self.incarnation == hello.incarnation {
                return Err(CloseReason::SelfLink);
            }
            self.emit(Event::DuplicateIdentity { link, replica });
            self.yield_identity(hello);
            return Err(CloseReason::DuplicateIdentity);
        }
        let Some(in_place) = self.peers.get(&replica).copied() else { return Ok(()) };
        let (Some(old), Some(new)) = (self.sessions.get(&in_place), self.sessions.get(&link)) else { return Ok(()) };
        let Some(old_peer) = old.peer() else { return Ok(()) };
        if old_peer.incarnation != hello.incarnation {
            self.tell_twin(in_place, link, hello.incarnation);
            self.doubt(in_place);
            self.emit(Event::DuplicateIdentity { link, replica });
            return Err(CloseReason::DuplicateIdentity);
        }
        let new_stays = match self.replica < replica {
            true => new.ordinal() < old.ordinal(),
            false => hello.ordinal < old_peer.ordinal,
        };
        if !new_stays {
            self.doubt(in_place);
            return Err(CloseReason::DuplicateLink);
        }
        self.close(in_place, CloseReason::DuplicateLink);
        Ok(())
    }

    /// Another process shows the id of a peer: tells it that this one lives, if that is certain by now.
    fn tell_twin(&mut self, in_place: LinkId, link: LinkId, incarnation: u64) {
        let (now_ms, dead_after_ms) = (self.now.monotonic_ms, self.config.dead_after_ms);
        let Some(old) = self.sessions.get_mut(&in_place) else { return };
        let lives = old.outlives(incarnation, now_ms, dead_after_ms);
        let Some(peer) = old.peer().filter(|_| lives) else { return };
        let twin = frame::twin(peer.replica, peer.incarnation);
        let context = &mut Context { now_ms, config: &self.config, outputs: &mut self.outputs };
        if let Some(session) = self.sessions.get_mut(&link) {
            session.transmit(twin, context);
        }
    }

    fn doubt(&mut self, link: LinkId) {
        if let Some(session) = self.sessions.get_mut(&link) {
            let context = Context { now_ms: self.now.monotonic_ms, config: &self.config, outputs: &mut self.outputs };
            session.doubt(&context);
        }
        self.settle(link);
    }

    pub(super) fn context(&mut self) -> Context<'_> {
        Context { now_ms: self.now.monotonic_ms, config: &self.config, outputs: &mut self.outputs }
    }
}
