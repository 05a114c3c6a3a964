//! What an endpoint holds in memory beside the content of its documents.
//!
//! Each figure has a limit, which stands with it. [`Endpoint::truncate_logs`](crate::Endpoint::truncate_logs)
//! lets go of logs; the rest goes as links take what they are sent, writes become durable, and links end.
//! Not measured: the content itself, and what the allocator adds.

/// What an endpoint holds: its own queues, and the sums over its documents and its links.
///
/// Taken by [`Endpoint::footprint`](crate::Endpoint::footprint).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprint {
    /// Open documents; at most [`Config::documents_max`](crate::Config::documents_max).
    pub documents: usize,
    /// Links that are up: those of which the endpoint was told.
    pub links: usize,
    /// Things to do that are made already. None are left once
    /// [`Endpoint::poll_output`](crate::Endpoint::poll_output) has returned `None`.
    pub outputs: usize,
    /// Writes that were asked for and are not durable. Peers are held back by credit; how far local
    /// transactions may run ahead of the store is up to the caller.
    pub writes: usize,
    /// Roughly the bytes of the deltas that these writes hold, be they in a log as well or not.
    pub write_bytes: usize,
    /// Links that wait for their turn to send, each once. None are left once
    /// [`Endpoint::poll_output`](crate::Endpoint::poll_output) has returned `None`.
    pub links_queued: usize,
    /// Timers; at most one for each link.
    pub timers: usize,
    /// Documents at rest that were asked for and are not loaded yet.
    pub loads: usize,
    /// The bytes of frames that wait for them: those of all links that are up, together.
    pub waiting_bytes: usize,
    /// The sums over all documents.
    pub all_documents: DocumentFootprint,
    /// The sums over all links.
    pub all_links: LinkFootprint,
}

/// What an endpoint holds for one document beside its content.
///
/// Taken by [`Endpoint::document_footprint`](crate::Endpoint::document_footprint).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DocumentFootprint {
    /// Deltas in the log.
    pub log_deltas: usize,
    /// Roughly how many bytes they would encode to; at most
    /// [`Config::log_bytes_max`](crate::Config::log_bytes_max), and not one delta more.
    pub log_bytes: usize,
    /// The last delta that was sent as it is, encoded, for the next link; at most 4 KiB.
    pub frame_bytes: usize,
}

/// What an endpoint holds for one link.
///
/// Taken by [`Endpoint::link_footprint`](crate::Endpoint::link_footprint).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkFootprint {
    /// Documents in the conversation: all that are open, once the peer has said hello.
    pub documents: usize,
    /// The peer's names for them, one each.
    pub handles: usize,
    /// Replicas that have a number, with this end and with the peer; for each at most
    /// [`REPLICAS_MAX`](crdt_core::limits::REPLICAS_MAX).
    pub numbered: usize,
    /// Where the last delta in a document ended, as sent and as received; at most two for each document.
    pub ends: usize,
    /// Replicas in what is known of the peer; for each document at most three times
    /// [`REPLICAS_MAX`](crdt_core::limits::REPLICAS_MAX).
    pub version_entries: usize,
    /// Snapshots that wait until all of them is durable, or for credit; at most one for each document. Each
    /// keeps alive what has been changed or removed since.
    pub held_snapshots: usize,
    /// Documents with a control frame to send, each once. None are left once
    /// [`Endpoint::poll_output`](crate::Endpoint::poll_output) has returned `None`.
    pub control_queued: usize,
    /// Documents with data to send, each once.
    pub data_queued: usize,
    /// Documents that wait to send a message in parts, each once.
    pub parts_queued: usize,
    /// Documents to be declined. None are left once
    /// [`Endpoint::poll_output`](crate::Endpoint::poll_output) has returned `None`.
    pub refusals_queued: usize,
    /// Documents whose digest is to be sent, each once.
    pub digests_due: usize,
    /// What has arrived of a message in parts; less than
    /// [`Config::message_bytes_max`](crate::Config::message_bytes_max).
    pub incoming_bytes: usize,
    /// The message in parts that is being sent; at most what the peer takes. Links that send the same
    /// snapshot at the same time share its bytes, which are counted for each.
    pub outgoing_bytes: usize,
    /// The bytes of frames that wait for documents at rest; at most twice the window that both ends have agreed on and
    /// one message in parts, where a window is [`Config::in_flight_bytes_max`](crate::Config::in_flight_bytes_max) and
    /// never less than one frame. None are left once those documents are loaded.
    pub waiting_bytes: usize,
    /// The bytes of parts whose credit is kept back because more than a window waits; at most a window, and none
    /// unless so much waits. The parts themselves are counted above.
    pub withheld_bytes: usize,
}

impl DocumentFootprint {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { log_deltas, log_bytes, frame_bytes } = other;
        self.log_deltas += log_deltas;
        self.log_bytes += log_bytes;
        self.frame_bytes += frame_bytes;
    }
}

impl LinkFootprint {
    pub(crate) fn add(&mut self, other: &Self) {
        self.documents += other.documents;
        self.handles += other.handles;
        self.numbered += other.numbered;
        self.ends += other.ends;
        self.version_entries += other.version_entries;
        self.held_snapshots += other.held_snapshots;
        self.control_queued += other.control_queued;
        self.data_queued += other.data_queued;
        self.parts_queued += other.parts_queued;
        self.refusals_queued += other.refusals_queued;
        self.digests_due += other.digests_due;
        self.incoming_bytes += other.incoming_bytes;
        self.outgoing_bytes += other.outgoing_bytes;
        self.waiting_bytes += other.waiting_bytes;
        self.withheld_bytes += other.withheld_bytes;
    }
}
