//! Figures as tables for people and as lines of JSON for programs.

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::{Map, Value, json};

/// One row: what was measured, once a round.
#[derive(Clone, Debug)]
pub struct Row {
    case: String,
    unit: &'static str,
    values: Vec<f64>,
    more: Map<String, Value>,
}

impl Row {
    /// Makes a row of what was measured in each round.
    #[must_use]
    pub fn new(case: impl Into<String>, unit: &'static str, values: Vec<f64>) -> Self {
        Self { case: case.into(), unit, values, more: Map::new() }
    }

    /// Adds a figure that explains the row.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Returns the middle one of the rounds, the least and the greatest.
    fn summary(&self) -> [f64; 3] {
        [median(&self.values), min(&self.values), self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
    }

    fn to_json(&self, measure: &str) -> Value {
        let [median, min, max] = self.summary();
        let mut line = json!({
            "measure": measure, "case": self.case, "unit": self.unit,
            "median": median, "min": min, "max": max, "rounds": self.values,
        });
        if let Value::Object(fields) = &mut line {
            fields.extend(self.more.clone());
        }
        line
    }
}

fn min(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Returns the middle value, the mean of the two in the middle if their number is even.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (length, half) if length % 2 == 0 => f64::midpoint(sorted[half - 1], sorted[half]),
        (_, half) => sorted[half],
    }
}

/// Everything measured so far.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<Value>,
}

impl Report {
    /// Prints the table of one measure, and keeps its figures.
    pub fn add(&mut self, measure: &str, title: &str, rows: &[Row]) {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        table.set_header(["", "median", "min", "max", "unit", ""]);
        for row in rows {
            let number = |value: f64| Cell::new(readable(value)).set_alignment(CellAlignment::Right);
            let [median, min, max] = row.summary().map(number);
            let more = row.more.iter().map(|(name, value)| format!("{name} {}", bare(value)));
            let more = Cell::new(more.collect::<Vec<_>>().join(", "));
            table.add_row([Cell::new(&row.case), median, min, max, Cell::new(row.unit), more]);
        }
        println!("{title}\n{table}\n");
        self.lines.extend(rows.iter().map(|row| row.to_json(measure)));
    }

    /// Returns all figures, one JSON object a line.
    #[must_use]
    pub fn to_json_lines(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

fn bare(value: &Value) -> String {
    match value.as_f64() {
        Some(number) => readable(number),
        None => value.to_string(),
    }
}

/// Writes a number with three digits that count, and all of those before the point.
fn readable(value: f64) -> String {
    let digits = if value >= 100.0 || value == 0.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    let plain = format!("{value:.digits$}");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_three_digits_that_count() {
        let numbers = [0.0, 0.123, 1.0, 12.34, 123.4, 1234.5, 1_234_567.0];
        assert_eq!(numbers.map(readable), ["0", "0.12", "1.00", "12.3", "123", "1,234", "1,234,567"]);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
    }
}
