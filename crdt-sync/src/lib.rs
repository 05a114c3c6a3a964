//! The replication protocol as a pure state machine: bytes in, bytes out.
//!
//! An [`Endpoint`] is one replica's end of every link. It holds the open documents, and for each
//! link a session. It does no IO, reads no clock and draws no random number: the caller tells it
//! what has happened ([`Input`]) and carries out what it asks for ([`Output`]), in order. So one
//! seed replays a whole network, and any transport and store will do.
//!
//! # The conversation
//!
//! 1. **Hello.** Both ends say who they are and what they take. A second link between the same two
//!    replicas is closed, the same one at both ends; a second process with one identity is refused.
//! 2. **Offers.** Each end names its documents and where each stands, durably. Documents opened later are
//!    offered when they are opened.
//! 3. **Catching up.** For each document that both have, each end streams what the other lacks from
//!    its log, in log order; what has piled up is merged first. A peer that stands below the
//!    log's floor gets the whole state, in hashed parts, and then the log from there.
//! 4. **Live.** Every new delta, local or received, goes to each peer that is not known to have it,
//!    as soon as it is durable. The receiver acknowledges once it is durable there, and returns the
//!    credit that the delta took.
//! 5. **In sync.** When both ends hold the same version, [`Event::InSync`] says so and digests are
//!    compared: equal versions must mean equal states. If not, [`Event::Diverged`] says so.
//!
//! # What holds
//!
//! - Nothing is sent or acknowledged before it is durable (Invariant 4, [`Output::Persist`]).
//! - No delta is sent on a link whose peer is known to have it.
//! - A slow peer costs a log position and a version per document, and [`Config::in_flight_bytes_max`] on the wire;
//!   one that needs a snapshot also its encoded bytes, shared with others at the same version, until it has them.
//! - Documents on one link take turns, frame by frame; links take turns too.
//! - Documents beyond [`Config::resident_documents_max`] leave memory once all of them is durable
//!   ([`Output::Rested`]), and are asked for when their content is needed ([`Output::Load`]).
//! - Nothing that a peer sends makes the endpoint panic or grow beyond [`Config`]'s limits; what it holds
//!   is in its [`Footprint`], and [`Endpoint::truncate_logs`] lets go of logs under memory pressure.
//!
//! Deliberately absent: sockets, tasks and redialling (`crdt-net`), storage (`crdt-store`), and
//! repair of a divergence, which is reported only.
//!
//! To look at what crosses a link, for a trace or a test: [`FrameReader`].
//!
//! # Two endpoints
//!
//! ```
//! use crdt_core::ReplicaId;
//! use crdt_sync::{Config, DocumentId, Endpoint, Input, LinkId, Now, Output};
//!
//! let now = Now { monotonic_ms: 0, wall_ms: 1_700_000_000_000 };
//! let cart = DocumentId::new("cart")?;
//! // The numbers in the middle, one for each process, would be random.
//! let mut phone = Endpoint::new(ReplicaId::from_u128(1), 101, Config::default());
//! let mut laptop = Endpoint::new(ReplicaId::from_u128(2), 102, Config::default());
//! phone.transact(now, &cart, |tx| tx.set("items").insert("apples"))?;
//! laptop.transact(now, &cart, |tx| tx.set("items").insert("bread"))?;
//!
//! // One link, number 1 at both ends. The nonces would be random.
//! let link = LinkId(1);
//! phone.handle(now, Input::LinkUp { link, nonce: 11 });
//! laptop.handle(now, Input::LinkUp { link, nonce: 22 });
//!
//! /// Carries out what one end asks for: its messages go to the other, its store is instant.
//! fn carry_out(now: Now, from: &mut Endpoint, to: &mut Endpoint) -> bool {
//!     let mut busy = false;
//!     while let Some(output) = from.poll_output() {
//!         busy = true;
//!         match output {
//!             Output::Transmit { link, bytes } => to.handle(now, Input::Received { link, bytes: &bytes }),
//!             Output::Persist { ticket, .. } => from.handle(now, Input::Persisted { ticket }),
//!             // Two documents fit in memory.
//!             Output::Load { .. } | Output::Rested { .. } => {}
//!             Output::Renew | Output::Disputed { .. } | Output::Settled { .. } => {}
//!             Output::Close { .. } | Output::Event(_) => {}
//!         }
//!     }
//!     busy
//! }
//! while carry_out(now, &mut phone, &mut laptop) | carry_out(now, &mut laptop, &mut phone) {}
//!
//! assert_eq!(phone.document(&cart), laptop.document(&cart));
//! assert_eq!(phone.document(&cart).unwrap().root().set("items").unwrap().len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod close;
mod config;
mod document_id;
mod endpoint;
mod error;
mod event;
mod footprint;
mod frame;
mod frame_reader;
mod frame_summary;
mod input;
mod output;
mod session;
mod shorthand;

pub use close::CloseReason;
pub use config::{Accept, Config};
pub use document_id::{DocumentId, DocumentIdError};
pub use endpoint::{DisputeError, Endpoint, SetAsideError};
pub use error::{OpenError, TransactError};
pub use event::{Event, Refusal, SessionStatus, Source};
pub use footprint::{DocumentFootprint, Footprint, LinkFootprint};
pub use frame::{Authorship, Rejection};
pub use frame_reader::FrameReader;
pub use frame_summary::FrameSummary;
pub use input::{Input, LinkId, Now, Ticket};
pub use output::{Output, Stored, Write};
