//! `cart log` and `cart inspect`: beneath the carts.

use clap::Args;
use comfy_table::{Cell, CellAlignment};
use crdt_core::ReplicaId;
use demo_app::offline::look::{self, DeltaLine, Inspection, Log};
use indicatif::{HumanBytes, HumanCount};

use crate::cli::{CommandError, Place, note_renewed};
use crate::ui::{self, QUIET, Ui, styled};

/// How many places of a delta are named; the rest are counted.
const TOUCHED_MAX: usize = 5;

/// Lists the deltas of the cart that the store still holds, oldest first.
///
/// A delta is what one transaction changed, or several coalesced. When they outweigh the last snapshot,
/// a new one takes their place.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {}

/// Shows who the replica is and what its folder holds.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {}

impl LogArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let log = look::log(&place.folder, &place.cart, &mut |renewed| note_renewed(&renewed))?;
        if place.json {
            ui.json(&log);
        } else {
            show_log(ui, &log);
        }
        Ok(true)
    }
}

impl InspectArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let inspection = look::inspect(&place.folder, &mut |renewed| note_renewed(&renewed))?;
        if place.json {
            ui.json(&inspection);
        } else {
            show_inspection(ui, &inspection);
        }
        Ok(true)
    }
}

fn show_log(ui: &mut Ui, log: &Log) {
    let (deltas, before) = (log.deltas.len(), log.in_snapshot);
    ui.line(format_args!("{}: {deltas} deltas; {before} transactions before them are in a snapshot", log.cart));
    if log.deltas.is_empty() {
        return;
    }
    let mut table = ui::table(["who", "transactions", "bytes", "touched"]);
    for delta in &log.deltas {
        let who: Vec<String> = delta.dots.iter().map(|dots| short(dots.replica)).collect();
        let which: Vec<String> = delta.dots.iter().map(|dots| range(dots.from, dots.to)).collect();
        table.add_row([
            Cell::new(who.join("\n")),
            Cell::new(which.join("\n")),
            Cell::new(HumanCount(delta.bytes)).set_alignment(CellAlignment::Right),
            Cell::new(touched(delta)),
        ]);
    }
    ui.table(table);
}

fn show_inspection(ui: &mut Ui, inspection: &Inspection) {
    ui.line(format_args!("replica {}", inspection.replica));
    for former in &inspection.former {
        ui.line(format_args!("{} {former}", styled(QUIET, "before that")));
    }
    if let Some(reason) = &inspection.renewed {
        ui.line(format_args!("the id is new because {reason}"));
    }
    ui.line(format_args!("{} documents, {} on disk", inspection.documents.len(), HumanBytes(inspection.file_bytes)));
    if inspection.documents.is_empty() {
        return;
    }
    let mut table = ui::table(["cart", "version", "digest", "snapshot", "deltas"]);
    for document in &inspection.documents {
        let version: Vec<String> =
            document.version.iter().map(|(replica, counter)| format!("{}:{counter}", short(*replica))).collect();
        table.add_row([
            Cell::new(&document.cart),
            Cell::new(version.join("\n")),
            Cell::new(&document.digest),
            Cell::new(HumanBytes(document.snapshot_bytes)).set_alignment(CellAlignment::Right),
            Cell::new(format!("{}, {}", document.deltas, HumanBytes(document.delta_bytes))),
        ]);
    }
    ui.table(table);
}

/// The first digits of an id: enough to tell a few replicas apart.
pub(super) fn short(replica: ReplicaId) -> String {
    let mut text = replica.to_string();
    text.truncate(8);
    text
}

fn range(from: u64, to: u64) -> String {
    if from == to { from.to_string() } else { format!("{from}–{to}") }
}

fn touched(delta: &DeltaLine) -> String {
    let shown = delta.touched.iter().take(TOUCHED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match delta.touched.len() {
        0 => "nothing that shows".to_owned(),
        many if many > TOUCHED_MAX => format!("{shown} and {} more", many - TOUCHED_MAX),
        _ => shown,
    }
}
