//! Replays a file of trade rows on several replicas at once, and checks what they end up with.
//!
//! Each row is a transaction of its own, on a replica that the seed picks; so one cart is written
//! on several replicas, and every cart is a merge. Every so many rows another replica loses its
//! links, keeps writing, and comes back when the next one goes. At the end all links are up, the
//! run waits for equal versions, and every replica must hold what a plain fold of the file holds.
//!
//! On disk a replay may end at any moment, and the next run goes on: see [`ResumeError`] for when it does not.
//!
//! A seed fixes replica ids, who writes which row and who is away when; which deltas meet on the
//! way is left to the machine, as the result must not depend on it. (On disk the ids are those of the stores.)

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crdt_net::Closed;
use serde::Serialize;
use thiserror::Error;

pub use self::export::ExportError;
use self::fold::Fold;
use self::plan::Plan;
use self::resume::Done;
pub use self::resume::ResumeError;
use self::rows::{Rows, RowsError};
use self::verify::Verdict;
pub use self::verify::{Mismatch, ReadError};
use self::writers::{LANES, LANES_DURABLE, Writers};
pub use self::writers::{WriteError, WriteProblem};
use crate::cluster::{Cluster, ClusterError};
use crate::convergence::Stalled;
use crate::offline::folder::{self, Renewed};
use crate::splitmix::SplitMix64;
use crate::topology::Topology;
use crate::watchdog::Pulse;

mod export;
pub mod fold;
mod plan;
mod resume;
pub mod rows;
mod verify;
mod writers;

/// What to replay, and on what.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file, `.csv` or `.csv.zst`.
    pub file: PathBuf,
    /// How many replicas; at least two.
    pub peers: usize,
    /// Who links to whom.
    pub topology: Topology,
    /// After how many rows another replica loses its links; `None`: nobody does.
    pub offline_every: Option<NonZeroU64>,
    /// Fixes replica ids, who writes which row and who is away when.
    pub seed: u64,
    /// Where the replicas keep their documents, one folder each beneath it; `None`: in memory. If an
    /// earlier replay of the same file with the same seed and as many peers has begun there, this one goes on.
    pub data: Option<PathBuf>,
    /// Where to write the last replica's carts.
    pub export: Option<PathBuf>,
    /// How long nothing may move before the run gives up.
    pub stall: Duration,
}

/// How far a replay is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// A store has taken a new identity: its folder was copied, or set back.
    Renewed {
        /// The replica's number.
        replica: usize,
        /// Its new identity, and why.
        renewed: Renewed,
    },
    /// Rows are being handed out.
    Reading {
        /// Rows so far.
        rows: u64,
        /// Bytes of the file so far.
        bytes_read: u64,
        /// Bytes of the file.
        bytes_total: u64,
    },
    /// Everything is written; versions are still different.
    Converging {
        /// Transactions that some replica still lacks, summed over the replicas.
        lacking: u64,
    },
    /// Versions are equal; replicas are being compared with the fold.
    Verifying,
}

/// What came out. Serialises to the object that `--json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Rows replayed.
    pub rows: u64,
    /// Rows that an earlier run had made already; none of them is made again. Only on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_found: Option<u64>,
    /// Documents.
    pub carts: u64,
    /// Pairs of cart and stock code whose quantity is not zero.
    pub items: u64,
    /// Replicas.
    pub peers: usize,
    /// Who was linked to whom.
    pub topology: Topology,
    /// Whether the versions of all replicas became equal.
    pub converged: bool,
    /// Differences from the fold over all replicas, and differing digests.
    pub mismatches: u64,
    /// From the first row to equal versions.
    pub seconds: f64,
    /// Rows made in this run by seconds.
    pub rows_per_second: f64,
    /// Bytes sent on all links of all replicas.
    pub bytes_sent: u64,
    /// Transactions sent on all links of all replicas.
    pub deltas_sent: u64,
    /// Transactions received that were known already.
    pub deltas_duplicate: u64,
    /// The last replica's content, hashed: names and digests of its documents.
    pub digest: String,
    /// The first mismatches in detail.
    #[serde(skip)]
    pub examples: Vec<Mismatch>,
    /// Who lacks what, if the versions did not become equal.
    #[serde(skip)]
    pub stalled: Option<Stalled>,
}

impl Report {
    /// Tells whether every replica holds exactly what the file says.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.converged && self.mismatches == 0
    }
}

/// Why a replay ended without a report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file cannot be read, or a row is broken; correct the file.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// There is nothing to replay, so there would be nothing to compare either.
    #[error("the file has a header and no rows; there is nothing to replay")]
    NoRows,
    /// The folder holds something else than the beginning of this replay.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// A replica did not take a row in.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The replicas could not be opened, or one has stopped.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A replica could not be read afterwards.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The export could not be written.
    #[error(transparent)]
    Export(#[from] ExportError),
}

impl From<Closed> for ReplayError {
    fn from(closed: Closed) -> Self {
        Self::Cluster(closed.into())
    }
}

impl From<Stalled> for ReplayError {
    fn from(stalled: Stalled) -> Self {
        Self::Cluster(stalled.into())
    }
}

/// Replays a file and compares the outcome. Always ends: when nothing moves, with an error.
///
/// # Errors
/// [`ReplayError`] if there is nothing to report on. Replicas that did not converge, or hold
/// something wrong, are no error but a [`Report`] that [is not good](Report::is_good).
pub async fn run(options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Report, ReplayError> {
    let rows = Rows::open(&options.file)?;
    if let Some(path) = &options.export {
        export::check(path)?;
    }
    let mut seeds = SplitMix64::new(options.seed);
    let ids = seeds.next_u64();
    let cluster = match &options.data {
        None => Cluster::open(options.topology, options.peers, ids).await?,
        Some(data) => {
            resume::claim(data, options)?;
            Cluster::open_in(data, options.topology, options.peers).await?
        }
    };
    let report = on(&cluster, options, seeds, rows, progress).await;
    cluster.close().await;
    report
}

/// Replays on open replicas.
async fn on(
    cluster: &Cluster,
    options: &Options,
    seeds: SplitMix64,
    rows: Rows,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, ReplayError> {
    for (replica, open) in cluster.replicas().enumerate() {
        if let Some(renewed) = open.identity().and_then(folder::renewed) {
            progress(Progress::Renewed { replica, renewed });
        }
    }
    let plan = Plan::new(options.offline_every, options.peers, seeds);
    let done = match &options.data {
        None => Done::nothing(options.peers),
        Some(_) => Done::read(cluster).await?,
    };
    let mut replay = Replay { cluster, options, plan, done, fold: Fold::new(), pulse: Pulse::new() };
    replay.run(rows, progress).await
}

/// A replay under way.
struct Replay<'a> {
    cluster: &'a Cluster,
    options: &'a Options,
    plan: Plan,
    done: Done,
    fold: Fold,
    pulse: Pulse,
}

impl Replay<'_> {
    async fn run(&mut self, rows: Rows, progress: &mut dyn FnMut(Progress)) -> Result<Report, ReplayError> {
        let stall = self.options.stall;
        let started = Instant::now();
        let pulse = self.pulse.clone();
        match pulse.guard(stall, self.write(rows, progress)).await {
            Some(written) => written?,
            None => return Err(self.cluster.explain_stall(stall).await.into()),
        }
        let mut lacking = |lacking| progress(Progress::Converging { lacking });
        let stalled = match self.cluster.converge(stall, &mut lacking).await {
            Ok(()) => None,
            Err(ClusterError::Stalled(stalled)) if stalled.silent.is_empty() => Some(stalled),
            Err(error) => return Err(error.into()),
        };
        let seconds = started.elapsed().as_secs_f64();
        progress(Progress::Verifying);
        let verified = verify::verify(self.cluster, &self.fold, || pulse.step());
        let Some(verdict) = pulse.guard(stall, verified).await else {
            return Err(self.cluster.explain_stall(stall).await.into());
        };
        let verdict = verdict?;
        if let Some(path) = &self.options.export {
            export::export(path, &verdict.carts)?;
        }
        self.report(verdict, stalled, seconds).await
    }

    /// Hands out all rows and waits until they are written; in the end every replica is online.
    async fn write(&mut self, rows: Rows, progress: &mut dyn FnMut(Progress)) -> Result<(), ReplayError> {
        let lanes = if self.options.data.is_some() { LANES_DURABLE } else { LANES };
        let writers = Writers::start(self.cluster.replicas(), lanes, &self.pulse);
        self.hand_out(rows, &writers, progress).await?;
        writers.finish().await?;
        if let Some(away) = self.plan.away {
            self.cluster.replica(away).go_online().await?;
        }
        Ok(())
    }

    async fn hand_out(
        &mut self,
        mut rows: Rows,
        writers: &Writers,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), ReplayError> {
        const REPORT_ROWS: u64 = 256;
        while let Some(row) = rows.next() {
            let row = row?;
            self.fold.add(&row);
            let writer = self.plan.writer();
            if self.done.take(writer, &row.cart) {
                self.pulse.step();
            } else if writers.send(writer, row).await.is_err() {
                // `finish` tells what went wrong.
                return Ok(());
            }
            let rows_done = self.fold.rows();
            if let Some((back, gone)) = self.plan.turn(rows_done) {
                if let Some(back) = back {
                    self.cluster.replica(back).go_online().await?;
                }
                self.cluster.replica(gone).go_offline().await?;
            }
            if rows_done.is_multiple_of(REPORT_ROWS) {
                let (bytes_read, bytes_total) = rows.progress();
                progress(Progress::Reading { rows: rows_done, bytes_read, bytes_total });
            }
        }
        if self.fold.rows() == 0 {
            return Err(ReplayError::NoRows);
        }
        Ok(())
    }

    async fn report(&self, verdict: Verdict, stalled: Option<Stalled>, seconds: f64) -> Result<Report, ReplayError> {
        let totals = self.cluster.totals().await?;
        let rows = self.fold.rows();
        let found = self.options.data.is_some().then(|| self.done.taken());
        Ok(Report {
            rows,
            rows_found: found,
            carts: self.fold.carts().len() as u64,
            items: self.fold.items(),
            peers: self.options.peers,
            topology: self.options.topology,
            converged: stalled.is_none(),
            mismatches: verdict.mismatches,
            seconds,
            rows_per_second: (rows - found.unwrap_or(0)) as f64 / seconds,
            bytes_sent: totals.iter().map(|totals| totals.bytes_sent).sum(),
            deltas_sent: totals.iter().map(|totals| totals.deltas_sent).sum(),
            deltas_duplicate: totals.iter().map(|totals| totals.deltas_duplicate).sum(),
            digest: verdict.digest.to_string(),
            examples: verdict.examples,
            stalled,
        })
    }
}
