//! A small file of sales with everything a real one has, and what the carts must hold.
//!
//! The sums come from the rows as they are made, not from reading the file: an error in reading or
//! folding cannot cancel itself out.

use std::collections::BTreeMap;
use std::fmt::Write;

pub(crate) const HEADER: &str = "invoice,stock_code,quantity,timestamp,unit_price,customer_id,country,description\n";

/// The text of a file, and its carts without zeros.
pub(crate) struct Sales {
    pub(crate) text: String,
    pub(crate) carts: BTreeMap<String, BTreeMap<String, i128>>,
}

/// Codes with letter cases that differ, blanks, quotes, commas and more than ASCII.
const CODES: [&str; 12] =
    ["85123A", "85123a", "71053", "BANK CHARGES", "POST", "22632", "Tee “grün”", "茶", "a,b", "say \"hi\"", "M", "m"];

const DESCRIPTIONS: [&str; 5] = ["HOLDER", "RED, WHITE AND BLUE", "12\" DOLL \"Ann\"", "two\nlines", "ÄRGER ☂ 傘"];

/// Makes `count` rows: 40 customers, a quarter of the rows without one, returns, repeated codes.
pub(crate) fn sales(count: usize) -> Sales {
    let mut sales = Sales { text: HEADER.to_owned(), carts: BTreeMap::new() };
    // Any fixed sequence will do (Knuth's MMIX constants).
    let mut state = 2_010_u64;
    let mut pick = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for row in 0..count {
        let invoice = 536_365 + row / 7;
        let code = CODES[pick(CODES.len())];
        let quantity = pick(41) as i64 - 14;
        let customer = if pick(4) == 0 { String::new() } else { (17_000 + pick(40)).to_string() };
        let cart = if customer.is_empty() { format!("cart/guest-{invoice}") } else { format!("cart/{customer}") };
        let (code_field, description) = (field(code), field(DESCRIPTIONS[pick(DESCRIPTIONS.len())]));
        let text = &mut sales.text;
        writeln!(text, "{invoice},{code_field},{quantity},2010-12-01T08:26,2.55,{customer},France,{description}")
            .expect("writing to memory");
        *sales.carts.entry(cart).or_default().entry(code.to_owned()).or_default() += i128::from(quantity);
    }
    for items in sales.carts.values_mut() {
        items.retain(|_, quantity| *quantity != 0);
    }
    sales
}

/// Quotes a field where CSV asks for it.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

impl Sales {
    /// The lines that an export must have.
    pub(crate) fn export(&self) -> String {
        let line = |(cart, items)| serde_json::json!({"cart": cart, "items": items}).to_string() + "\n";
        self.carts.iter().map(line).collect()
    }

    /// How many pairs of cart and code are not zero.
    pub(crate) fn items(&self) -> usize {
        self.carts.values().map(BTreeMap::len).sum()
    }
}
