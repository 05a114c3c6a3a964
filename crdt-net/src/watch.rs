//! News of one document for user interfaces: bounded, and never in the way of the driver.
//!
//! What if a reader is slower than the changes? It is not waited for. The last free place of its
//! queue takes [`WatchEvent::Lagged`]; from then on it gets nothing until it has read that, and is
//! expected to read a snapshot. Whatever value it missed before that moment is in the snapshot, and
//! whatever comes after it is delivered, so a reader that follows this rule misses no value. That a document
//! does not come together with a peer's is no value: the status of the link tells of it.
//!
//! `tokio::sync::broadcast` was rejected: its receiver is no `Stream` without a boxed future for
//! each item, and it keeps the changes that a slow reader missed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crdt_core::{Changes, Digest, ReplicaId};
use crdt_sync::{DocumentId, Source};
use futures_util::Stream;
use tokio::sync::{mpsc, watch};

use crate::replica::Closed;

/// How many events a reader may be behind before it is told that it lags.
pub(crate) const WATCH_EVENTS_MAX: usize = 256;

/// Something that happened to a watched document.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WatchEvent {
    /// Values have changed.
    Changed {
        /// A transaction here, or the peer that sent the change.
        source: Source,
        /// The paths and their new values; shared by all who watch.
        changes: Arc<Changes>,
    },
    /// Another writer has used an id under which this replica wrote: what was written here under it since goes by
    /// another one. Nothing was lost, and no value has changed.
    ///
    /// Versions from before name those transactions as they were. Take a new one to
    /// [wait for](crate::DocumentHandle::wait_for): an old one may be covered late, by what the other has written, or never.
    Reissued {
        /// The id that was used twice. The other writer may keep it.
        replica: ReplicaId,
        /// Under which id the transactions go now.
        heir: ReplicaId,
        /// How many there are.
        transactions: u64,
    },
    /// Two writers have used one replica id, some peer holds the history of the other, and nobody at either end can
    /// tell the two apart. The document does not sync with that peer; [`set_aside`](crate::DocumentHandle::set_aside)
    /// is the way out.
    /// [`LinkStatus::differing`](crate::LinkStatus::differing) tells on which links there is such a document.
    Irreconcilable {
        /// The id.
        replica: ReplicaId,
    },
    /// A peer has other content at the same version: one of the two is damaged, or two writers have used one replica
    /// id, long ago. [`set_aside`](crate::DocumentHandle::set_aside) takes over what the peer holds.
    Diverged {
        /// The digest here.
        ours: Digest,
        /// The digest there.
        theirs: Digest,
    },
    /// All that was here is in another document, and this one takes over what peers hold:
    /// [`set_aside`](crate::DocumentHandle::set_aside). What that changes comes as [`Changed`](Self::Changed). A version from before
    /// may never be covered again.
    SetAside {
        /// Where it is now.
        aside: DocumentId,
    },
    /// Changes were left out because this reader was too slow. Read a snapshot; what comes
    /// after it is delivered again.
    Lagged,
}

/// The changes of one document from the moment of [`DocumentHandle::watch`](crate::DocumentHandle::watch).
///
/// A [`Stream`] that ends when the replica is closed. It does not keep the replica open.
#[derive(Debug)]
#[must_use = "a watch that is dropped sees nothing"]
pub struct Watch {
    events: mpsc::Receiver<WatchEvent>,
}

impl Watch {
    /// Waits for the next event; `None` once the replica is closed. Cancel safe.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        self.events.recv().await
    }
}

impl Stream for Watch {
    type Item = WatchEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        self.events.poll_recv(context)
    }
}

/// Tells when documents and links come and go, from the moment of [`Replica::watch_status`](crate::Replica::watch_status).
///
/// It says *that* something has, however much it was; [`Replica::status`](crate::Replica::status) and
/// [`Replica::documents`](crate::Replica::documents) say what is there now. It does not keep the replica open.
#[derive(Debug)]
#[must_use = "a watch that is dropped sees nothing"]
pub struct StatusWatch {
    changes: watch::Receiver<()>,
}

impl StatusWatch {
    /// Starts at what `changes` has come to by now.
    pub(crate) fn new(mut changes: watch::Receiver<()>) -> Self {
        changes.mark_unchanged();
        Self { changes }
    }

    /// Waits until a document was opened, or a link has come up or ended, since the last time. Cancel safe.
    ///
    /// # Errors
    /// [`Closed`] once the replica is.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        self.changes.changed().await.map_err(|_| Closed)
    }
}

/// Everyone who watches one replica or a document of it; the driver's side.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    documents: BTreeMap<DocumentId, Vec<Reader>>,
    status: watch::Sender<()>,
}

impl Watchers {
    /// Lets somebody know when documents and links come and go.
    pub(crate) fn status(&self) -> watch::Receiver<()> {
        self.status.subscribe()
    }

    /// A document or a link has come or gone.
    pub(crate) fn stir(&self) {
        self.status.send_replace(());
    }

    /// Lets one more reader in. Those that have gone make room first, so their number is bounded
    /// by that of the live ones.
    pub(crate) fn subscribe(&mut self, document: &DocumentId) -> Watch {
        let (sender, events) = mpsc::channel(WATCH_EVENTS_MAX + 1);
        let readers = self.documents.entry(document.clone()).or_default();
        readers.retain(|reader| !reader.sender.is_closed());
        readers.push(Reader { sender, is_lagging: false });
        Watch { events }
    }

    /// Tells all readers of `document`.
    pub(crate) fn publish(&mut self, document: &DocumentId, event: &WatchEvent) {
        let Some(readers) = self.documents.get_mut(document) else {
            return;
        };
        readers.retain_mut(|reader| {
            reader.offer(event.clone());
            !reader.sender.is_closed()
        });
        if readers.is_empty() {
            self.documents.remove(document);
        }
    }
}

#[derive(Debug)]
struct Reader {
    sender: mpsc::Sender<WatchEvent>,
    /// It has been told that it lags and has not read that yet.
    is_lagging: bool,
}

impl Reader {
    /// Puts the event into the queue, or the word that the reader lags, or nothing.
    fn offer(&mut self, event: WatchEvent) {
        if self.is_lagging {
            // The word stands last in the queue: it has been read when the queue is empty.
            if self.sender.capacity() <= WATCH_EVENTS_MAX {
                return;
            }
            self.is_lagging = false;
        }
        let event = if self.sender.capacity() > 1 {
            event
        } else {
            self.is_lagging = true;
            WatchEvent::Lagged
        };
        // Fails only if the reader has gone: this is the only sender, and a place is free.
        let _ = self.sender.try_send(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(watchers: &mut Watchers, document: &DocumentId, times: usize) {
        for _ in 0..times {
            let changes = Arc::default();
            watchers.publish(document, &WatchEvent::Changed { source: Source::Local, changes });
        }
    }

    fn drain(watch: &mut Watch) -> (usize, usize) {
        let (mut changed, mut lagged) = (0, 0);
        while let Ok(event) = watch.events.try_recv() {
            match event {
                WatchEvent::Changed { .. } => changed += 1,
                WatchEvent::Lagged => lagged += 1,
                event => panic!("nobody has published {event:?}"),
            }
        }
        (changed, lagged)
    }

    #[test]
    fn reader_at_the_limit_gets_everything_and_one_above_is_told() {
        let document = DocumentId::new("d").expect("valid name");
        let mut watchers = Watchers::default();
        let mut watch = watchers.subscribe(&document);
        publish(&mut watchers, &document, WATCH_EVENTS_MAX);
        assert_eq!(drain(&mut watch), (WATCH_EVENTS_MAX, 0));
        publish(&mut watchers, &document, WATCH_EVENTS_MAX + 10);
        assert_eq!(drain(&mut watch), (WATCH_EVENTS_MAX, 1));
    }

    #[test]
    fn nothing_follows_lagged_until_it_was_read() {
        let document = DocumentId::new("d").expect("valid name");
        let mut watchers = Watchers::default();
        let mut watch = watchers.subscribe(&document);
        publish(&mut watchers, &document, WATCH_EVENTS_MAX + 1);
        for _ in 0..WATCH_EVENTS_MAX {
            assert!(matches!(watch.events.try_recv(), Ok(WatchEvent::Changed { .. })));
        }
        publish(&mut watchers, &document, 1);
        assert!(matches!(watch.events.try_recv(), Ok(WatchEvent::Lagged)));
        publish(&mut watchers, &document, 1);
        assert_eq!(drain(&mut watch), (1, 0));
    }

    #[test]
    fn readers_that_have_gone_are_forgotten() {
        let document = DocumentId::new("d").expect("valid name");
        let mut watchers = Watchers::default();
        drop(watchers.subscribe(&document));
        publish(&mut watchers, &document, 1);
        assert!(watchers.documents.is_empty());
    }
}
