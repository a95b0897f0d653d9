//! Rows of measurements: medians, ratios, and the two ways to print them.

use std::io::Write as _;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Micros,
    Kibibytes,
    Bytes,
    Count,
}

impl Unit {
    fn symbol(self) -> &'static str {
        match self {
            Self::Micros => "µs",
            Self::Kibibytes => "KiB",
            Self::Bytes => "B",
            Self::Count => "",
        }
    }

    /// Name of the unit in the JSON document.
    fn key(self) -> &'static str {
        match self {
            Self::Micros => "us",
            Self::Kibibytes => "KiB",
            Self::Bytes => "bytes",
            Self::Count => "count",
        }
    }
}

/// One measured thing: a number for each runtime, in their order.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) unit: Unit,
    pub(super) values: Vec<u64>,
}

impl Row {
    /// The row of the medians of each runtime's samples.
    pub(super) fn of_medians(name: impl Into<String>, unit: Unit, samples: Vec<Vec<u64>>) -> Self {
        Self {
            name: name.into(),
            unit,
            values: samples.into_iter().map(median).collect(),
        }
    }
}

/// Prints what is measured as it comes, or all of it as one document at the end.
pub(super) struct Report {
    names: Vec<&'static str>,
    json: bool,
    part: &'static str,
    rows: Vec<(&'static str, Row)>,
}

impl Report {
    pub(super) fn new(names: Vec<&'static str>, json: bool) -> Self {
        Self {
            names,
            json,
            part: "",
            rows: Vec::new(),
        }
    }

    /// Begins a part: `key` names it in the document, `title` heads its table, `notes` say how it is measured.
    pub(super) fn begin(&mut self, key: &'static str, title: &str, notes: &[&str]) -> Result<()> {
        self.part = key;
        if self.json {
            return Ok(());
        }
        say("")?;
        for note in notes {
            say(&format!("# {note}"))?;
        }
        say(&heading(title, &self.names))
    }

    pub(super) fn add(&mut self, row: Row) -> Result<()> {
        if !self.json {
            say(&line(&row))?;
        }
        self.rows.push((self.part, row));
        Ok(())
    }

    /// Prints the document, if one is wanted.
    pub(super) fn finish(&self) -> Result<()> {
        if !self.json {
            return Ok(());
        }
        say(&serde_json::to_string_pretty(&self.document()).context("write the document")?)
    }

    fn document(&self) -> Value {
        let rows = self.rows.iter().map(|(part, row)| {
            let pairs = self.names.iter().zip(&row.values);
            let medians: Map<String, Value> = pairs.map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            json!({ "part": part, "name": row.name, "unit": row.unit.key(), "median": medians })
        });
        json!({ "rows": rows.collect::<Vec<_>>() })
    }
}

/// A remark that is no measurement: beside the document, if one is printed.
pub(super) fn remark(line: &str) -> Result<()> {
    writeln!(std::io::stderr(), "{line}").context("print")
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("print")
}

const NAME: usize = 44;
const COLUMN: usize = 20;

fn heading(title: &str, names: &[&str]) -> String {
    let mut line = format!("{title:<NAME$}");
    for name in names {
        push(&mut line, name);
    }
    line
}

fn line(row: &Row) -> String {
    let name = match row.unit.symbol() {
        "" => row.name.clone(),
        symbol => format!("{}, {symbol}", row.name),
    };
    let mut line = format!("{name:<NAME$}");
    let own = row.values.first().copied().unwrap_or_default();
    for value in &row.values {
        push(&mut line, &cell(*value, own));
    }
    line
}

fn push(line: &mut String, text: &str) {
    line.push_str(&format!("{text:>COLUMN$}"));
}

/// A value and how many times the first one's it is; nothing is a multiple of zero.
fn cell(value: u64, own: u64) -> String {
    let Some(ratio) = (u128::from(value) * 100).checked_div(u128::from(own)) else {
        return format!("{value} (-)");
    };
    format!("{value} ({}.{:02})", ratio / 100, ratio % 100)
}

/// The middle sample, the upper of the two middle ones when their number is even; 0 without samples.
pub(super) fn median(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_sample_whatever_the_order() {
        for (samples, expected) in [
            (vec![], 0),
            (vec![7], 7),
            (vec![9, 1], 9),
            (vec![9, 1, 5], 5),
            (vec![100, 1, 1, 1, 2], 1),
            (vec![4, 3, 2, 1], 3),
        ] {
            assert_eq!(median(samples.clone()), expected, "{samples:?}");
        }
    }

    #[test]
    fn ratios_are_of_the_first_runtime() {
        for (value, own, expected) in [
            (200, 100, "200 (2.00)"),
            (100, 100, "100 (1.00)"),
            (1, 3, "1 (0.33)"),
            (5, 0, "5 (-)"),
            (0, 0, "0 (-)"),
            (u64::MAX, 1, "18446744073709551615 (18446744073709551615.00)"),
        ] {
            assert_eq!(cell(value, own), expected, "{value} of {own}");
        }
    }

    fn run_row() -> Row {
        Row::of_medians("run", Unit::Micros, vec![vec![3, 1, 2], vec![10, 8, 9]])
    }

    #[test]
    fn a_row_stands_below_its_heading() {
        let head = heading("median", &["nexcage", "runc"]);
        let row = line(&run_row());
        assert_eq!(head.chars().count(), row.chars().count());
        assert!(row.starts_with("run, µs "), "{row:?}");
        assert!(row.ends_with("9 (4.50)"), "{row:?}");
    }

    #[test]
    fn the_document_has_every_row_with_its_part_and_unit() {
        let mut report = Report::new(vec!["nexcage", "runc"], true);
        report.begin("speed", "median", &[]).unwrap();
        report.add(run_row()).unwrap();
        let expected = json!({ "rows": [
            { "part": "speed", "name": "run", "unit": "us", "median": { "nexcage": 2, "runc": 9 } }
        ] });
        assert_eq!(report.document(), expected);
    }
}
