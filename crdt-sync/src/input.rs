//! What happens to an endpoint: links, bytes, time, and word from the store.

/// The time, as the caller's clocks show it.
///
/// The monotonic part drives timers, the wall part only stamps local transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Milliseconds since any fixed moment; never goes back.
    pub monotonic_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub wall_ms: u64,
}

/// Names one link to a peer. The caller numbers them and never uses a number twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Names one write that the store was asked for. Tickets ascend in the order of the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Something that happened. All of it goes through [`Endpoint::handle`](crate::Endpoint::handle).
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A link is up; it carries whole messages, in order, both ways.
    LinkUp {
        /// A number not used before.
        link: LinkId,
        /// Eight random bytes of the caller's, fresh for each link.
        nonce: u64,
    },
    /// A link has ended. Not needed after an [`Output::Close`](crate::Output::Close), but harmless.
    LinkDown {
        /// Which one.
        link: LinkId,
    },
    /// One binary message has arrived. Nothing is kept of `bytes`.
    Received {
        /// On which link.
        link: LinkId,
        /// The whole message.
        bytes: &'a [u8],
    },
    /// The write of this ticket is durable, and so are those of every ticket before it.
    Persisted {
        /// The latest ticket that is durable.
        ticket: Ticket,
    },
    /// The moment that [`Endpoint::poll_timeout`](crate::Endpoint::poll_timeout) named has come.
    Timeout,
}
