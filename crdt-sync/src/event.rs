//! What an endpoint tells the application.

use crdt_core::{Changes, Digest, Dot, ReplicaId};

use crate::document_id::DocumentId;
use crate::input::LinkId;

/// News for the application. Nothing needs to be done about any of it for replication to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer has said hello; documents are being compared.
    PeerUp {
        /// The link to it.
        link: LinkId,
        /// Who it is.
        replica: ReplicaId,
    },
    /// The link to a peer that was up has ended.
    PeerDown {
        /// The link it was on.
        link: LinkId,
        /// Who it was.
        replica: ReplicaId,
    },
    /// A second process shows the identity of a live peer, or our own. Its link was refused.
    DuplicateIdentity {
        /// The link that was refused.
        link: LinkId,
        /// The identity that two processes use.
        replica: ReplicaId,
    },
    /// A document was taken over from a peer's offer.
    Opened {
        /// Which one.
        document: DocumentId,
    },
    /// A document has changed.
    Changed {
        /// Which one.
        document: DocumentId,
        /// Who sent the change here (not necessarily who made it).
        source: Source,
        /// The paths and their new values.
        changes: Changes,
    },
    /// Both ends have the same version of a document, durably. Comes once each time they get there.
    InSync {
        /// The link to the peer.
        link: LinkId,
        /// Which document.
        document: DocumentId,
    },
    /// Equal versions with different content: a fault in one of the two stores or programs, or one identity with two
    /// writers whose logs were too short to show it. [`Endpoint::set_aside`](crate::Endpoint::set_aside) takes over
    /// what the peer holds.
    Diverged {
        /// The link to the peer.
        link: LinkId,
        /// Which document.
        document: DocumentId,
        /// The digest here.
        ours: Digest,
        /// The digest there.
        theirs: Digest,
    },
    /// Two writers have used one identity in this document. It no longer syncs on this link.
    ///
    /// If one of them is an end of the link it gives way by itself ([`Reissued`](Self::Reissued)), if it can.
    IdentityConflict {
        /// The link to the peer.
        link: LinkId,
        /// Which document.
        document: DocumentId,
        /// A dot that both have spent, or one of ours that we never spent.
        dot: Dot,
    },
    /// An identity conflict that nobody here or at the other end can settle: neither is a writer of the id, or not any
    /// more, or nobody remembers where the two histories part. [`Endpoint::set_aside`](crate::Endpoint::set_aside) is
    /// the way out.
    Irreconcilable {
        /// Which document.
        document: DocumentId,
        /// Whose identity.
        replica: ReplicaId,
    },
    /// What was written here under an id that another writer has used as well goes by another id now. Nothing
    /// of either was lost.
    Reissued {
        /// Which document.
        document: DocumentId,
        /// The id that was used twice. The other writer may keep it.
        replica: ReplicaId,
        /// Under which id it goes now.
        heir: ReplicaId,
        /// How many transactions.
        transactions: u64,
    },
    /// All that was in a document is in another one, and it takes over what peers hold: see
    /// [`Endpoint::set_aside`](crate::Endpoint::set_aside).
    SetAside {
        /// Which document.
        document: DocumentId,
        /// Where it is now.
        aside: DocumentId,
    },
    /// A document does not sync on this link, because one end cannot take it.
    Refused {
        /// The link to the peer.
        link: LinkId,
        /// Which document.
        document: DocumentId,
        /// What stands in the way.
        reason: Refusal,
    },
}

/// Where a change came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A transaction here.
    Local,
    /// This peer sent it.
    Peer(ReplicaId),
}

/// Why a document does not sync on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The end that was offered it has as many documents open as it allows.
    TooManyDocuments,
    /// More replicas have written to it than a document keeps apart.
    TooManyReplicas,
    /// A delta or the whole state is larger than the other end takes.
    TooLarge,
}

/// The figures of one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// The link.
    pub link: LinkId,
    /// Who is at the other end, once it has said hello.
    pub peer: Option<ReplicaId>,
    /// Bytes of all messages sent.
    pub bytes_sent: u64,
    /// Bytes of all messages received.
    pub bytes_received: u64,
    /// Transactions sent in deltas.
    pub deltas_sent: u64,
    /// Transactions received in deltas, duplicates included.
    pub deltas_received: u64,
    /// Transactions received that were here already.
    pub deltas_duplicate: u64,
    /// Bytes of data frames sent and not yet taken by the peer.
    pub in_flight_bytes: usize,
    /// Bytes of frames received that wait until their document is loaded.
    pub waiting_bytes: usize,
    /// Whole snapshots sent.
    pub snapshots_sent: u64,
    /// Documents that both ends have open.
    pub documents: usize,
    /// How many of them are at the same version at both ends, durably.
    pub in_sync: usize,
    /// How many documents do not come together on this link, because one identity had two writers
    /// ([`Event::IdentityConflict`]), or have other content at the same version ([`Event::Diverged`]).
    pub differing: usize,
}
