//! W8: the rows of a trade file, each added to its cart on one of three replicas, exchanged every hundred rows.
//!
//! The file is given by `--data`: CSV with the columns `invoice`, `stock_code` and `quantity`, found by name. A row
//! adds its quantity (negative ones are returns) to the stock code in the cart of its invoice.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::w7_cart::{Edit, REPLICAS, Story, open_story};
use super::{Data, Effort, Random};
use crate::run::{Runner, Skip};
use crate::system::System;

/// What is read of a row; further columns are ignored.
#[derive(Deserialize)]
struct Row {
    invoice: String,
    stock_code: String,
    quantity: i64,
}

/// Sets a system up.
pub(super) fn open(system: System, effort: Effort, data: &Data) -> Result<Runner, Skip> {
    let path = data.path.as_deref().ok_or_else(|| Skip::new("no file is given by --data"))?;
    open_story(system, story(path)?, effort)
}

/// Returns how many rows the file has.
pub(super) fn count(data: &Data) -> usize {
    data.path.as_deref().and_then(|path| story(path).ok()).map_or(0, |story| story.edits.len())
}

fn story(path: &Path) -> Result<Story, Skip> {
    let unreadable = |error: csv::Error| Skip::new(format!("{}: {error}", path.display()));
    let mut random = Random::new(8);
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut story = Story { items: Vec::new(), edits: Vec::new() };
    let mut reader = csv::Reader::from_path(path).map_err(unreadable)?;
    for row in reader.deserialize() {
        let Row { invoice, stock_code, quantity } = row.map_err(unreadable)?;
        let name = format!("{invoice}:{stock_code}");
        let item = *numbers.entry(name.clone()).or_insert_with(|| {
            story.items.push(name);
            story.items.len() - 1
        });
        story.edits.push(Edit { replica: random.below(REPLICAS), item, quantity: Some(quantity) });
    }
    Ok(story)
}
