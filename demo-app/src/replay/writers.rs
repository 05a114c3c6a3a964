//! Writes rows to replicas, many at a time, and keeps every cart's rows in order.
//!
//! How can writes overlap and still be in order? A replica has several lanes; each lane writes one
//! row after the other and waits until it is durable; and all rows of one cart take the same lane.
//! What order means to a replica is the order within a document, and that is kept by construction,
//! while the lanes share the cost of a commit. Queues are bounded, so a slow replica slows the
//! reader of the file and not the memory.

use std::collections::HashMap;

use crdt_core::EditError;
use crdt_net::{DocumentError, DocumentHandle, Replica, TransactError};
use crdt_sync::DocumentId;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::trace;
use xxhash_rust::xxh3::xxh3_64;

use crate::cart;
use crate::replay::rows::Row;
use crate::watchdog::Pulse;

/// Rows in flight on one replica in memory.
pub(crate) const LANES: usize = 8;

/// Rows in flight on one replica on disk: as many share a sync.
pub(crate) const LANES_DURABLE: usize = 64;

/// Rows that wait for one lane.
const QUEUE_ROWS_MAX: usize = 64;

/// A row was not taken in; the rows of that lane end before it.
#[derive(Debug, Error)]
#[error("line {line}: replica {replica} did not take the row in")]
pub struct WriteError {
    /// The line of the row.
    pub line: u64,
    /// The replica it was for.
    pub replica: usize,
    /// Why.
    pub source: WriteProblem,
}

/// Why a replica did not take a row in.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteProblem {
    /// The cart's document cannot be opened.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The transaction failed; a sum beyond 64 bits on one replica is the file's fault.
    #[error(transparent)]
    Transact(#[from] TransactError<EditError>),
}

/// The lanes of all replicas.
pub(crate) struct Writers {
    /// By replica, then by lane.
    queues: Vec<Vec<mpsc::Sender<Row>>>,
    lanes: JoinSet<Result<(), WriteError>>,
}

/// A lane has ended early; [`Writers::finish`] says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneEnded;

impl Writers {
    /// Starts so many lanes for each replica. Each row written is one step of `pulse`.
    pub(crate) fn start<'a>(replicas: impl Iterator<Item = &'a Replica>, count: usize, pulse: &Pulse) -> Self {
        let mut lanes = JoinSet::new();
        let mut queues = Vec::new();
        for (number, replica) in replicas.enumerate() {
            let mut senders = Vec::with_capacity(count);
            for _ in 0..count {
                let (sender, rows) = mpsc::channel(QUEUE_ROWS_MAX);
                senders.push(sender);
                let lane = Lane { number, replica: replica.clone(), handles: HashMap::new(), pulse: pulse.clone() };
                lanes.spawn(lane.run(rows));
            }
            queues.push(senders);
        }
        Self { queues, lanes }
    }

    /// Hands a row to a replica; waits while its lane is full.
    ///
    /// # Errors
    /// [`LaneEnded`] if the lane has failed; nothing more should be sent.
    pub(crate) async fn send(&self, replica: usize, row: Row) -> Result<(), LaneEnded> {
        let lanes = &self.queues[replica];
        let lane = (xxh3_64(row.cart.as_str().as_bytes()) % lanes.len() as u64) as usize;
        lanes[lane].send(row).await.map_err(|_| LaneEnded)
    }

    /// Waits until everything sent is written.
    ///
    /// # Errors
    /// The [`WriteError`] with the lowest line.
    ///
    /// # Panics
    /// If a lane panicked.
    pub(crate) async fn finish(mut self) -> Result<(), WriteError> {
        self.queues.clear();
        let mut first: Option<WriteError> = None;
        while let Some(ended) = self.lanes.join_next().await {
            let Err(error) = ended.expect("lanes are neither cancelled nor do they panic") else { continue };
            if first.as_ref().is_none_or(|first| error.line < first.line) {
                first = Some(error);
            }
        }
        first.map_or(Ok(()), Err)
    }
}

/// One row after the other to one replica.
struct Lane {
    number: usize,
    replica: Replica,
    handles: HashMap<DocumentId, DocumentHandle>,
    pulse: Pulse,
}

impl Lane {
    async fn run(mut self, mut rows: mpsc::Receiver<Row>) -> Result<(), WriteError> {
        while let Some(row) = rows.recv().await {
            let line = row.line;
            let failed = |source| WriteError { line, replica: self.number, source };
            Self::write(&self.replica, &mut self.handles, row).await.map_err(failed)?;
            trace!(line, replica = self.number, "row made");
            self.pulse.step();
        }
        Ok(())
    }

    async fn write(
        replica: &Replica,
        handles: &mut HashMap<DocumentId, DocumentHandle>,
        row: Row,
    ) -> Result<(), WriteProblem> {
        let Row { cart, stock_code, quantity, .. } = row;
        if !handles.contains_key(&cart) {
            handles.insert(cart.clone(), replica.document(cart.as_str()).await?);
        }
        let document = handles.get(&cart).expect("inserted above");
        document.transact(move |transaction| cart::add(transaction, &stock_code, quantity)).await?;
        Ok(())
    }
}
