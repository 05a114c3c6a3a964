//! Tables for people and lines of JSON for programs, from the same rows.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::run::{Measured, Outcome};
use crate::system::System;
use crate::workloads::Workload;

/// What is known of one system in one workload at one size.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The workload's name.
    pub(crate) workload: &'static str,
    /// The size.
    pub(crate) n: usize,
    /// The system's name.
    pub(crate) system: &'static str,
    /// Whether the result was the model's; absent where it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) correct: Option<bool>,
    /// Items by seconds, of the median.
    pub(crate) items_per_second: Option<f64>,
    /// The median.
    pub(crate) ns_per_item: Option<f64>,
    /// The fastest round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ns_min: Option<f64>,
    /// The slowest round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ns_max: Option<f64>,
    /// The median by that of the limit with random seeds.
    pub(crate) ratio_to_limit: Option<f64>,
    /// For ours: by how much the fastest other library with the right result is slower. For others: by how much
    /// they are slower than the faster of ours.
    pub(crate) ours_faster_by: Option<f64>,
    /// How many items a run had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) items: Option<u64>,
    /// Bytes, where the workload measures them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<f64>,
    /// Why it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<String>,
}

/// Makes the rows of a table.
pub(crate) fn rows(workload: &Workload, n: usize, measured: &[Measured]) -> Vec<Row> {
    let fastest = |of: fn(System) -> bool| {
        let medians = measured.iter().filter(|one| of(one.system)).filter_map(|one| one.outcome.median());
        medians.min_by(f64::total_cmp)
    };
    let limit = fastest(|system| system == System::Limit);
    let (ours, rival) = (fastest(System::is_ours), fastest(System::is_rival));
    measured.iter().map(|one| row(workload, n, one, limit, if one.system.is_ours() { rival } else { ours })).collect()
}

fn row(workload: &Workload, n: usize, measured: &Measured, limit: Option<f64>, other: Option<f64>) -> Row {
    let Measured { system, outcome } = measured;
    let median = outcome.median();
    let faster_by = |median: f64, other: f64| if system.is_ours() { other / median } else { median / other };
    let times: &[f64] = if let Outcome::Right { times, .. } = outcome { times } else { &[] };
    Row {
        workload: workload.name,
        n,
        system: system.name(),
        correct: match outcome {
            Outcome::Right { .. } => Some(true),
            Outcome::Wrong => Some(false),
            Outcome::Skipped(_) => None,
        },
        items_per_second: median.map(|median| 1e9 / median),
        ns_per_item: median,
        ns_min: times.first().copied(),
        ns_max: times.last().copied(),
        ratio_to_limit: median.zip(limit).map(|(median, limit)| median / limit),
        ours_faster_by: median.zip(other).map(|(median, other)| faster_by(median, other)),
        items: if let Outcome::Right { items, .. } = outcome { Some(*items) } else { None },
        bytes: outcome.bytes(),
        skipped: if let Outcome::Skipped(skip) = outcome { Some(skip.0.clone()) } else { None },
    }
}

/// Draws the table.
pub(crate) fn table(workload: &Workload, n: usize, rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["system", "ns", "min", "max", "by limit", "ours faster by", "bytes", "items", "note"]);
    for row in rows {
        let note = match (&row.skipped, row.correct) {
            (Some(reason), _) => format!("skipped: {reason}"),
            (None, Some(false)) => "wrong".to_owned(),
            (None, _) => String::new(),
        };
        table.add_row([
            row.system.to_owned(),
            digits(row.ns_per_item),
            digits(row.ns_min),
            digits(row.ns_max),
            digits(row.ratio_to_limit),
            digits(row.ours_faster_by),
            digits(row.bytes),
            row.items.map(|items| items.to_string()).unwrap_or_default(),
            note,
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(7) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let Workload { name, title, item, .. } = workload;
    format!("{name}, n = {n}: {title} (an item is one {item})\n{table}\n")
}

/// Writes a number with three digits that count.
fn digits(number: Option<f64>) -> String {
    match number {
        None => String::new(),
        Some(number) if number.abs() >= 100.0 => format!("{number:.0}"),
        Some(number) if number.abs() >= 10.0 => format!("{number:.1}"),
        Some(number) => format!("{number:.2}"),
    }
}

/// Writes one object a line.
pub(crate) fn write_json(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    for row in rows {
        serde_json::to_writer(&mut *out, row)?;
        writeln!(out)?;
    }
    Ok(())
}
