//! The story in words and tables, scene by scene.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anstyle::{AnsiColor, Style};
use comfy_table::{Attribute, Cell, CellAlignment, Table};
use demo_app::story::{Act, Edit, Report, Scene, View, letter, version_text};
use demo_app::topology::{Edge, Topology};
use indicatif::{HumanBytes, HumanCount};

use crate::ui::{self, GOOD, QUIET, Ui, styled};

/// Shows scenes on a terminal.
pub(super) struct Narrator<'u> {
    ui: &'u mut Ui,
    act: Act,
}

impl<'u> Narrator<'u> {
    pub(super) fn new(ui: &'u mut Ui) -> Self {
        Self { ui, act: Act::Start }
    }

    /// Shows one scene.
    pub(super) fn tell(&mut self, scene: &Scene<'_>) {
        match scene {
            Scene::Opened { topology, addresses, edges } => self.opened(*topology, addresses, edges),
            Scene::Begins(act) => self.begins(*act),
            Scene::Wrote { replica, edit } => self.wrote(*replica, edit),
            Scene::Converged { after } => {
                let milliseconds = after.as_secs_f64() * 1_000.0;
                self.ui.line(format_args!("  all versions are equal after {milliseconds:.1} ms"));
            }
            Scene::Carts(views) => self.carts(views),
            Scene::Ended(report) => self.ended(report),
            _ => {}
        }
    }

    fn opened(&mut self, topology: Topology, addresses: &[SocketAddr], edges: &[Edge]) {
        let peers = addresses.len();
        self.ui.line(styled(ui::HEADING, format_args!("{peers} replicas of one cart, linked as a {topology}")));
        for (number, address) in addresses.iter().enumerate() {
            self.ui.line(format_args!("  {}  ws://{address}", name(number)));
        }
        let link = |edge: &Edge| format!("{}–{}", letter(edge.listener), letter(edge.dialler));
        let links: Vec<String> = edges.iter().map(link).collect();
        self.ui.line(format_args!("  links: {}", links.join(" ")));
    }

    fn begins(&mut self, act: Act) {
        self.act = act;
        self.ui.heading(match act {
            Act::Start => "1. Everybody starts from one cart",
            Act::Apart => "2. A and B lose their links and go on shopping",
            Act::Merge => "3. The links are back: the copies merge",
            Act::Resolution => "4. A has read both names and settles the conflict",
        });
    }

    fn wrote(&mut self, replica: usize, edit: &Edit) {
        let replica = name(replica);
        match edit {
            Edit::Add { item, quantity } if *quantity < 0 => {
                self.ui.line(format_args!("  {replica}  takes {} {item} out", quantity.unsigned_abs()));
            }
            Edit::Add { item, quantity } => self.ui.line(format_args!("  {replica}  puts {quantity} {item} in")),
            Edit::Remove { item } => self.ui.line(format_args!("  {replica}  removes the {item}")),
            Edit::Rename { name } => self.ui.line(format_args!("  {replica}  sets the name to \"{name}\"")),
        }
    }

    fn carts(&mut self, views: &[View]) {
        self.ui.table(carts_table(views));
        if self.act == Act::Merge {
            self.explain(views);
        }
        if self.act == Act::Resolution {
            self.ui.heading("What it took");
            self.ui.table(figures_table(views));
        }
    }

    /// Says why the merge came out as it did.
    fn explain(&mut self, views: &[View]) {
        let mut remark = |text: &str| self.ui.line(format_args!("  {}", styled(QUIET, text)));
        remark("apple, banana: both are there, neither copy won");
        remark("milk: 3 + 2 − 1 = 4, for quantities are sums and not last values");
        remark("bread: A took out the 2 it had seen; the 1 that B added unseen stays alone");
        let Some(cart) = views.first().map(|view| &view.cart) else { return };
        if let (Some(winner), [_, ..]) = (cart.name(), cart.rivals()) {
            let rivals = cart.rivals().join("\", \"");
            remark(&format!(
                "name: \"{winner}\" has the later timestamp and wins everywhere; \"{rivals}\" is kept beside it"
            ));
        }
    }

    fn ended(&mut self, report: &Report) {
        if report.is_good() {
            let peers = report.peers;
            let digest = report.replicas.first().map_or("", |replica| &replica.digest);
            self.ui.line(format_args!("\n{} all {peers} replicas hold the same cart", styled(GOOD, "✓")));
            self.ui.line(format_args!("  {}", styled(QUIET, format_args!("digest {digest}"))));
        }
    }
}

/// One row an item, one column a replica.
fn carts_table(views: &[View]) -> Table {
    let mut table = ui::table(std::iter::once("cart".to_owned()).chain(views.iter().map(|view| title(view.replica))));
    let items: BTreeSet<&String> = views.iter().flat_map(|view| view.cart.items.keys()).collect();
    for item in items {
        let quantity = |view: &View| match view.cart.items.get(item) {
            Some(quantity) => Cell::new(quantity).set_alignment(CellAlignment::Right),
            None => Cell::new("–").set_alignment(CellAlignment::Right).add_attribute(Attribute::Dim),
        };
        table.add_row(std::iter::once(Cell::new(item)).chain(views.iter().map(quantity)));
    }
    table.add_row(std::iter::once(Cell::new("name")).chain(views.iter().map(name_cell)));
    let version = |view: &View| Cell::new(version_text(&view.version)).add_attribute(Attribute::Dim);
    table.add_row(std::iter::once(Cell::new("version")).chain(views.iter().map(version)));
    table
}

/// The winner, and below it what else is in conflict.
fn name_cell(view: &View) -> Cell {
    let Some(winner) = view.cart.name() else { return Cell::new("–").add_attribute(Attribute::Dim) };
    match view.cart.rivals() {
        [] => Cell::new(winner),
        rivals => Cell::new(format!("{winner}\nconflict: {}", rivals.join(", "))).fg(comfy_table::Color::Yellow),
    }
}

/// One row a replica.
fn figures_table(views: &[View]) -> Table {
    let mut table = ui::table(["replica", "digest", "bytes sent", "transactions sent", "received twice"]);
    for view in views {
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(title(view.replica)),
            Cell::new(view.digest),
            right(HumanBytes(view.bytes_sent).to_string()),
            right(HumanCount(view.deltas_sent).to_string()),
            right(HumanCount(view.deltas_duplicate).to_string()),
        ]);
    }
    table
}

/// The letter of a replica, A and B in colours of their own.
fn name(replica: usize) -> String {
    let style = match replica {
        0 => AnsiColor::Cyan.on_default().bold(),
        1 => AnsiColor::Magenta.on_default().bold(),
        _ => Style::new().bold(),
    };
    styled(style, letter(replica))
}

fn title(replica: usize) -> String {
    letter(replica).to_string()
}
