//! Memory and queues: what an endpoint says that it holds, against what its settings promise and
//! what has happened around it.
//!
//! An endpoint could say too little. So figures are compared with what is seen from outside wherever that
//! can be seen: writes that wait with the writes its store was asked for, parts that are kept with
//! the parts that arrived.

use crdt_sync::{DocumentFootprint, FrameSummary, LinkFootprint, Write};

use super::{Broken, Check, Oracle, broken};
use crate::sim::machine::Machine;

/// Encoded deltas that a document keeps for the next link have at most this many bytes.
const FRAME_KEPT_BYTES_MAX: usize = 4 << 10;

/// What is known of a peer of one document are three versions: known, acknowledged, to be acknowledged.
const VERSIONS_KEPT: usize = 3;

/// What a link remembers of what was said on it, it remembers both ways.
const WAYS: usize = 2;

/// What has arrived on a link.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arriving {
    announced: u64,
    /// How much of a message in parts is here.
    arrived: usize,
    /// The largest message in parts so far.
    message_max: usize,
    /// The largest frame so far.
    frame_max: usize,
}

impl Arriving {
    /// Takes note of a frame of so many bytes.
    pub(super) fn take_in(&mut self, summary: &FrameSummary, bytes: usize) {
        self.frame_max = self.frame_max.max(bytes);
        match summary {
            FrameSummary::Begin { length, bytes } => (self.announced, self.arrived) = (*length, *bytes),
            FrameSummary::Part { bytes } => self.arrived += bytes,
            _ => {}
        }
        if self.arrived as u64 >= self.announced {
            self.message_max = self.message_max.max(self.arrived);
            (self.announced, self.arrived) = (0, 0);
        }
    }

    /// Returns what may be unreturned at once where this is agreed to be in flight.
    fn window(&self, in_flight: usize) -> usize {
        in_flight.max(self.frame_max)
    }
}

impl Oracle {
    /// Judges what a replica holds, when it has asked for everything that it wants done.
    ///
    /// # Errors
    /// The check that failed, and how.
    pub fn bounds(&self, host: usize, machine: &Machine) -> Result<(), Broken> {
        let Some(up) = &machine.host else { return Ok(()) };
        let total = up.endpoint.footprint();
        let unsynced = up.unsynced();
        let unsynced_bytes = unsynced.iter().map(|unsynced| match &unsynced.write {
            Write::Delta(delta) => delta.size_hint(),
            Write::Snapshot(_) => 0,
        });
        let what = format_args!("host {host}");
        within(what, "documents", total.documents, self.ids.len())?;
        within(what, "links", total.links, machine.links.len())?;
        within(what, "outputs left", total.outputs, 0)?;
        within(what, "links left with something to send", total.links_queued, 0)?;
        within(what, "timers", total.timers, total.links)?;
        within(what, "documents that are to be loaded", total.loads, up.asked().len())?;
        if total.waiting_bytes != total.all_links.waiting_bytes {
            let (all, links) = (total.waiting_bytes, total.all_links.waiting_bytes);
            return broken(
                Check::Bounds,
                format!("{what}: {all} bytes wait for documents, {links} of links that are up"),
            );
        }
        within(what, "writes not durable", total.writes, unsynced.len())?;
        within(what, "bytes of writes not durable", total.write_bytes, unsynced_bytes.sum())?;
        for id in &self.ids {
            if let Some(footprint) = up.endpoint.document_footprint(id) {
                let DocumentFootprint { log_deltas, log_bytes, frame_bytes, .. } = footprint;
                let what = format_args!("host {host}, {id}");
                within(what, "bytes of log", log_bytes, machine.limits.log_bytes)?;
                within(what, "deltas in the log", log_deltas, log_bytes)?;
                within(what, "bytes of a frame kept", frame_bytes, FRAME_KEPT_BYTES_MAX)?;
            }
        }
        for link in machine.links.keys() {
            let Some(holds) = up.endpoint.link_footprint(*link) else { continue };
            let arriving = self.hosts[host].said.get(link).map_or_else(Arriving::default, |said| said.arriving);
            let what = format_args!("host {host}, link {}", link.0);
            self.link_bounds(what, &holds, total.documents)?;
            within(what, "bytes of an incoming message", holds.incoming_bytes, arriving.arrived)?;
            waiting_bounds(what, &holds, up.asked().len(), &arriving, machine.limits.in_flight_bytes)?;
            // Before its first part is out, its document stands in the queue; and so until its last is.
            if holds.outgoing_bytes > 0 && holds.data_queued == 0 {
                let detail = format!("{what}: {} bytes are kept of a message that is out", holds.outgoing_bytes);
                return broken(Check::Bounds, detail);
            }
        }
        Ok(())
    }

    fn link_bounds(
        &self,
        what: std::fmt::Arguments<'_>,
        holds: &LinkFootprint,
        documents: usize,
    ) -> Result<(), Broken> {
        within(what, "documents", holds.documents, documents)?;
        within(what, "handles", holds.handles, documents)?;
        within(what, "replicas with a number", holds.numbered, WAYS * self.ids_used)?;
        within(what, "ends of deltas", holds.ends, WAYS * documents)?;
        let entries_max = VERSIONS_KEPT * self.ids_used * documents;
        within(what, "entries of versions", holds.version_entries, entries_max)?;
        within(what, "snapshots held", holds.held_snapshots, documents)?;
        within(what, "documents left with a control frame", holds.control_queued, 0)?;
        within(what, "documents left to be declined", holds.refusals_queued, 0)?;
        within(what, "documents with data", holds.data_queued, documents)?;
        within(what, "documents with data in parts", holds.parts_queued, documents)?;
        within(what, "digests due", holds.digests_due, documents)
    }

    /// Judges what a replica holds when everybody has everything: nothing for anybody.
    ///
    /// # Errors
    /// The check that failed, and how.
    pub fn at_rest(&self, host: usize, machine: &Machine) -> Result<(), Broken> {
        let Some(up) = &machine.host else { return Ok(()) };
        let total = up.endpoint.footprint();
        let links = total.all_links;
        let what = format_args!("host {host}, at rest");
        within(what, "writes not durable", total.writes, 0)?;
        within(what, "snapshots held", links.held_snapshots, 0)?;
        within(what, "documents with data", links.data_queued, 0)?;
        within(what, "documents with data in parts", links.parts_queued, 0)?;
        within(what, "bytes of incoming messages", links.incoming_bytes, 0)?;
        within(what, "bytes of outgoing messages", links.outgoing_bytes, 0)?;
        within(what, "bytes that wait for documents", links.waiting_bytes, 0)?;
        within(what, "bytes of credit kept back", links.withheld_bytes, 0)
    }
}

/// Judges what waits on a link for documents of which so many were asked for.
fn waiting_bounds(
    what: std::fmt::Arguments<'_>,
    holds: &LinkFootprint,
    asked: usize,
    arriving: &Arriving,
    in_flight: usize,
) -> Result<(), Broken> {
    let window = arriving.window(in_flight);
    let waiting_max = if asked == 0 { 0 } else { 2 * window + arriving.message_max };
    within(what, "bytes that wait for documents", holds.waiting_bytes, waiting_max)?;
    // The peer's window may be smaller than ours, never greater.
    let withheld_max = if holds.waiting_bytes == 0 { 0 } else { window };
    within(what, "bytes of credit kept back", holds.withheld_bytes, withheld_max)
}

fn within(who: std::fmt::Arguments<'_>, what: &str, count: usize, max: usize) -> Result<(), Broken> {
    if count > max {
        return broken(Check::Bounds, format!("{who}: {count} {what}, at most {max} are allowed"));
    }
    Ok(())
}
