//! `cart add`, `take`, `remove`, `name`, `show` and `set-aside`: one cart in a folder.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use clap::Args;
use comfy_table::{Cell, CellAlignment, Color};
use demo_app::cart::Cart;
use demo_app::offline::edit::{self, Edit, Edited};
use serde::Serialize;
use serde_json::json;

use crate::cli::{CommandError, Place, block_on, note_renewed};
use crate::ui::{self, BAD, QUIET, Ui, styled};

/// Puts something into the cart.
///
/// Makes the folder if there is none.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The item, letter case and blanks as they are.
    #[arg(value_name = "SKU", value_parser = named)]
    item: String,
    /// How many; at least 1.
    #[arg(value_name = "QTY", default_value = "1", value_parser = quantity, allow_negative_numbers = true)]
    quantity: i64,
}

/// Takes something out of the cart, but never more than there is.
#[derive(Debug, Args)]
pub(crate) struct TakeArgs {
    /// The item, letter case and blanks as they are.
    #[arg(value_name = "SKU", value_parser = named)]
    item: String,
    /// How many; at least 1.
    #[arg(value_name = "QTY", default_value = "1", value_parser = quantity, allow_negative_numbers = true)]
    quantity: i64,
}

/// Removes an item with all of it that this replica has seen.
///
/// What others add at the same time stays.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The item, letter case and blanks as they are.
    #[arg(value_name = "SKU", value_parser = named)]
    item: String,
}

/// Says whose cart it is, and settles a conflict over the name if there is one.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The owner's name.
    #[arg(value_name = "TEXT", value_parser = named)]
    name: String,
}

/// Shows the cart, and what is in conflict.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {}

/// Moves all that is in the cart into a new one, and lets the next sync fill it with what the other holds.
///
/// For a cart that does not come together with that of others, because two replicas have used one identity
/// and both have told others: this side gives way, and nothing is lost. Sync with the other side first
/// then: whoever comes first fills the cart. Each replica of this side does the same, and each chooses a
/// name of its own: new carts of one name become one, with what is in both.
#[derive(Debug, Args)]
pub(crate) struct SetAsideArgs {
    /// The new cart.
    #[arg(value_name = "NAME", value_parser = named)]
    aside: String,
}

impl AddArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let edit = Edit::Add { item: self.item.clone(), quantity: self.quantity };
        let edited = make(place, edit)?;
        show_item(place, ui, &self.item, &edited.after);
        Ok(true)
    }
}

impl TakeArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let edit = Edit::Take { item: self.item.clone(), quantity: self.quantity };
        let edited = make(place, edit)?;
        show_item(place, ui, &self.item, &edited.after);
        Ok(true)
    }
}

impl RemoveArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let edited = make(place, Edit::Remove { item: self.item.clone() })?;
        let removed = edited.before.items.get(&self.item).copied().unwrap_or_default();
        if place.json {
            ui.json(&json!({"cart": place.cart, "item": self.item, "removed": removed}));
        } else {
            ui.line(format_args!("{}: removed, all {removed} of it", self.item));
        }
        Ok(true)
    }
}

impl NameArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let Edited { before, after } = make(place, Edit::Rename { name: self.name })?;
        let settled: &[String] = if before.rivals().is_empty() { &[] } else { &before.names };
        if place.json {
            let (name, conflicts) = (after.name(), after.rivals());
            ui.json(&json!({"cart": place.cart, "name": name, "conflicts": conflicts, "settled": settled}));
            return Ok(true);
        }
        ui.line(format_args!("the name is {}", after.name().unwrap_or_default()));
        if !settled.is_empty() {
            ui.line(format_args!("this settles the conflict between {}", settled.join(" and ")));
        }
        Ok(true)
    }
}

/// What `show --json` prints: the object of the demo's report, with the cart's document.
#[derive(Serialize)]
struct Shown<'a> {
    cart: &'a str,
    name: Option<&'a str>,
    conflicts: &'a [String],
    items: &'a BTreeMap<String, i128>,
}

impl ShowArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let read = block_on(edit::read(&place.folder, &place.cart, &mut |renewed| note_renewed(&renewed)))?;
        let cart = read?;
        if place.json {
            let (name, conflicts) = (cart.name(), cart.rivals());
            ui.json(&Shown { cart: &place.cart, name, conflicts, items: &cart.items });
        } else {
            show(place, ui, &cart);
        }
        Ok(true)
    }
}

impl SetAsideArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let mut notice = |renewed| note_renewed(&renewed);
        let moved = block_on(edit::set_aside(&place.folder, &place.cart, &self.aside, &mut notice))??;
        if place.json {
            ui.json(&json!({"cart": place.cart, "aside": self.aside, "items": moved.items}));
        } else {
            let (cart, aside) = (&place.cart, &self.aside);
            ui.line(format_args!(
                "what was in {cart} is in {aside} now; {cart} takes over what others hold at the next sync"
            ));
        }
        Ok(true)
    }
}

fn make(place: &Place, edit: Edit) -> Result<Edited, CommandError> {
    let made = block_on(edit::edit(&place.folder, &place.cart, edit, &mut |renewed| note_renewed(&renewed)))?;
    Ok(made?)
}

fn show_item(place: &Place, ui: &mut Ui, item: &str, cart: &Cart) {
    let quantity = cart.items.get(item).copied().unwrap_or_default();
    if place.json {
        ui.json(&json!({"cart": place.cart, "item": item, "quantity": quantity}));
    } else {
        ui.line(format_args!("{item}: {quantity}"));
    }
}

fn show(place: &Place, ui: &mut Ui, cart: &Cart) {
    let owner = cart.name().map_or_else(|| "nobody's yet".to_owned(), |name| format!("of {name}"));
    ui.line(styled(ui::HEADING, format_args!("{}, {owner}", place.cart)));
    if !cart.rivals().is_empty() {
        let rivals = cart.rivals().join(" and ");
        ui.line(format_args!(
            "{} {rivals} was written at the same time; `cart name` settles it",
            styled(BAD, "conflict:")
        ));
    }
    if cart.items.is_empty() {
        ui.line(styled(QUIET, "the cart is empty"));
        return;
    }
    let mut table = ui::table(["item", "quantity"]);
    for (item, quantity) in &cart.items {
        let color = if *quantity < 0 { Color::Red } else { Color::Green };
        table.add_row([Cell::new(item), Cell::new(quantity).fg(color).set_alignment(CellAlignment::Right)]);
    }
    ui.table(table);
}

/// Reads a quantity.
fn quantity(text: &str) -> Result<i64, String> {
    let quantity = text.parse().ok().and_then(|quantity: NonZeroU64| i64::try_from(quantity.get()).ok());
    quantity.ok_or_else(|| format!("give a whole number from 1 to {}", i64::MAX))
}

/// Reads a text that names something.
fn named(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("give a name that is not blank".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_whole_and_positive() {
        assert_eq!(quantity("1"), Ok(1));
        assert_eq!(quantity("9223372036854775807"), Ok(i64::MAX));
        for refused in ["0", "-1", "1.5", "", "two", "9223372036854775808"] {
            assert!(quantity(refused).is_err(), "{refused}");
        }
    }
}
