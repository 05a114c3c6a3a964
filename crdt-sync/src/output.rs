//! What an endpoint asks of its caller, to be carried out in order.

use std::sync::Arc;

use crdt_core::{Delta, Head, ReplicaId, Snapshot};

use crate::close::CloseReason;
use crate::document_id::DocumentId;
use crate::event::{Event, SessionStatus};
use crate::input::{LinkId, Ticket};

/// Something to do. All of it comes out of [`Endpoint::poll_output`](crate::Endpoint::poll_output).
#[derive(Debug)]
pub enum Output {
    /// Make this durable, then say [`Input::Persisted`](crate::Input::Persisted).
    ///
    /// Until then nothing of it is sent or acknowledged (Invariant 4). If the store fails, say
    /// nothing, and stop the endpoint: what it holds can no longer be trusted to survive.
    Persist {
        /// Names this write.
        ticket: Ticket,
        /// The document it belongs to.
        document: DocumentId,
        /// What to write.
        write: Write,
    },
    /// Read what the store holds of this document, and hand it to
    /// [`Endpoint::loaded`](crate::Endpoint::loaded). Asked once for each answer.
    ///
    /// Frames for the document wait until then, and peers that lack something of it. If the store fails, or has no
    /// such document, say nothing, and stop the endpoint: a document that cannot be read is not an empty one.
    Load {
        /// Which one.
        document: DocumentId,
    },
    /// The content of this document has left memory. All of it is in the store, durably.
    ///
    /// Nothing needs to be done. A store that notes the head can tell it the next time
    /// ([`Endpoint::know`](crate::Endpoint::know)), until something is written to the document.
    Rested {
        /// Which one.
        document: DocumentId,
        /// Where it stands.
        head: Head,
    },
    /// Another process writes under our id, and keeps it: make a new random id, note it durably in the store, and say
    /// [`Endpoint::renew`](crate::Endpoint::renew). Until then the two cannot be linked.
    Renew,
    /// Another writer has used an id that we write under, or have: the two histories have parted in this document.
    ///
    /// Read what the store holds of the document, and hand it to
    /// [`Endpoint::reissue`](crate::Endpoint::reissue) with what is here. Until then the document does not sync with
    /// that peer.
    Disputed {
        /// Which document.
        document: DocumentId,
        /// Whose id was used twice.
        replica: ReplicaId,
        /// What the peer knows of its history: (counter, chain hash), ascending.
        trail: Vec<(u64, u64)>,
    },
    /// It is settled in this document whose dots are whose under an id that was used twice.
    ///
    /// Note it in the store, behind what was asked for before, and hand it to
    /// [`Endpoint::settled`](crate::Endpoint::settled) when the document is opened again.
    Settled {
        /// Which document.
        document: DocumentId,
        /// Which id.
        replica: ReplicaId,
    },
    /// Send this as one binary message.
    ///
    /// While a link takes no more bytes, do not feed what it receives either: acknowledgements
    /// are not subject to the peer's credit.
    Transmit {
        /// On which link.
        link: LinkId,
        /// The whole message.
        bytes: Vec<u8>,
    },
    /// Close this link behind what was transmitted. The endpoint has forgotten it already.
    Close {
        /// Which one.
        link: LinkId,
        /// Why; [`CloseReason::code`] is for the closing handshake.
        reason: CloseReason,
        /// Its last figures. [`Endpoint::session`](crate::Endpoint::session) has none any more.
        status: Box<SessionStatus>,
    },
    /// Tell the application.
    Event(Event),
}

/// What to make durable.
#[derive(Clone, Debug)]
pub enum Write {
    /// Append this to the document's log.
    Delta(Arc<Delta>),
    /// Replace all that is held for the document, its log included.
    Snapshot(Snapshot),
}

/// What a store held for a document.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The last snapshot; [`Snapshot::empty`] if there was none.
    pub snapshot: Snapshot,
    /// The deltas written after it, in the order in which they were written.
    pub deltas: Vec<Arc<Delta>>,
}
