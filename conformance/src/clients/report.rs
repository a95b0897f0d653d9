//! Results: what a case did on a runtime, what that says about the runtime under test, and the tables people read.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use comfy_table::{Table, presets::ASCII_BORDERS_ONLY_CONDENSED};
use serde::{Deserialize, Serialize};

use super::case::Case;
use super::job::Job;
use super::run::Verdict;

/// The runtime whose behaviour is the contract.
pub const REFERENCE: &str = "runc";

/// One case on one runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The client's name.
    pub client: String,
    /// The runtime's name.
    pub runtime: String,
    /// The case's id.
    pub case: String,
    /// How it ended.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How long it took.
    pub seconds: f64,
    /// Why this runtime is known to differ from runc in this case.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub differs: Option<String>,
}

impl Record {
    /// The result of `case` in the sandbox of `job`.
    #[must_use]
    pub fn new(job: &Job, case: &str, verdict: Verdict) -> Self {
        let (client, runtime) = (job.client.clone(), job.runtime.name.clone());
        Self {
            client,
            runtime,
            case: case.to_owned(),
            verdict,
            seconds: 0.0,
            differs: None,
        }
    }

    /// Adds the time and what is known beforehand.
    #[must_use]
    pub fn with_case(self, case: &Case, took: Duration) -> Self {
        let known = case.differs.iter().find(|(runtime, _)| *runtime == self.runtime);
        Self {
            seconds: took.as_secs_f64(),
            differs: known.map(|(_, reason)| (*reason).to_owned()),
            ..self
        }
    }
}

/// What all results say about the runtime under test.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Cases that it passed.
    pub passed: usize,
    /// Cases that it failed and the reference runtime did not.
    pub failed: usize,
    /// Cases not run, and those in which the reference runtime fails too.
    pub skipped: usize,
}

/// Every result, with the runtimes in the order of the table's columns; the first is the one under test.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Names of the runtimes.
    pub runtimes: Vec<String>,
    /// All results, in the order of the tables.
    pub records: Vec<Record>,
}

/// A client's rows: case ids in order, each with the record of every runtime.
type Rows<'a> = Vec<(&'a str, BTreeMap<&'a str, &'a Record>)>;

impl Report {
    fn clients(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for record in &self.records {
            if !names.contains(&record.client.as_str()) {
                names.push(&record.client);
            }
        }
        names
    }

    fn rows(&self, client: &str) -> Rows<'_> {
        let mut rows: Rows<'_> = Vec::new();
        for record in self.records.iter().filter(|record| record.client == client) {
            let at = rows.iter().position(|(id, _)| *id == record.case).unwrap_or_else(|| {
                rows.push((&record.case, BTreeMap::new()));
                rows.len() - 1
            });
            if let Some((_, row)) = rows.get_mut(at) {
                row.insert(&record.runtime, record);
            }
        }
        rows
    }

    fn under_test(&self) -> &str {
        self.runtimes.first().map_or("", String::as_str)
    }

    /// Whether the reference runtime fails the case too, so that the case says nothing.
    fn is_void(&self, row: &BTreeMap<&str, &Record>) -> bool {
        let failed = |record: &&Record| matches!(record.verdict, Verdict::Fail(_));
        self.under_test() != REFERENCE && row.get(REFERENCE).is_some_and(failed)
    }

    /// Counts the cases of the runtime under test.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for client in self.clients() {
            for (_, row) in self.rows(client) {
                match row.get(self.under_test()).map(|record| &record.verdict) {
                    Some(Verdict::Ok) => totals.passed += 1,
                    Some(Verdict::Skip(_)) => totals.skipped += 1,
                    _ if self.is_void(&row) => totals.skipped += 1,
                    _ => totals.failed += 1,
                }
            }
        }
        totals
    }

    /// The tables, the reasons of what is not ok, and the totals as the last line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for client in self.clients() {
            let rows = self.rows(client);
            text.push_str(&self.table(client, &rows));
            text.push('\n');
            let mut last = String::new();
            for (id, row) in &rows {
                let reasons = self.reasons(id, row);
                // A client that could not be set up fails every case for one reason; that is said once.
                let bare = reasons.replace(id, "");
                if bare != last {
                    text.push_str(&reasons);
                    last = bare;
                }
            }
            text.push('\n');
        }
        let Totals {
            passed,
            failed,
            skipped,
        } = self.totals();
        text.push_str(&self.per_runtime());
        text.push_str(&format!("{passed} passed, {failed} failed, {skipped} skipped\n"));
        text
    }

    fn table(&self, client: &str, rows: &Rows<'_>) -> String {
        let mut table = Table::new();
        table.load_style(ASCII_BORDERS_ONLY_CONDENSED);
        let head = std::iter::once(client).chain(self.runtimes.iter().map(String::as_str));
        table.set_header(head);
        for (id, row) in rows {
            let cells = self
                .runtimes
                .iter()
                .map(|runtime| cell(row.get(runtime.as_str()).copied()));
            table.add_row(std::iter::once((*id).to_owned()).chain(cells));
        }
        table.to_string()
    }

    fn reasons(&self, id: &str, row: &BTreeMap<&str, &Record>) -> String {
        let records = self.runtimes.iter().filter_map(|runtime| row.get(runtime.as_str()));
        let reasons: Vec<_> = records
            .filter_map(|record| Some((&record.runtime, reason(record)?)))
            .collect();
        let alike = reasons.len() == self.runtimes.len() && reasons.windows(2).all(is_same_reason);
        let mut text = String::new();
        for (runtime, reason) in reasons.iter().take(if alike { 1 } else { reasons.len() }) {
            let who = if alike { "all" } else { runtime.as_str() };
            push_line(&mut text, format_args!("  {id}: {who}: {reason}"));
        }
        if self.is_void(row) {
            push_line(
                &mut text,
                format_args!("  {id}: red on {REFERENCE}: a wrong case or a limit of this machine"),
            );
        }
        text
    }

    fn per_runtime(&self) -> String {
        let mut text = String::new();
        for runtime in &self.runtimes {
            let of = |want: fn(&Verdict) -> bool| {
                self.records
                    .iter()
                    .filter(|record| record.runtime == *runtime && want(&record.verdict))
                    .count()
            };
            let ok = of(|verdict| *verdict == Verdict::Ok);
            let red = of(|verdict| matches!(verdict, Verdict::Fail(_)));
            let skipped = of(|verdict| matches!(verdict, Verdict::Skip(_)));
            push_line(
                &mut text,
                format_args!("{runtime}: {ok} ok, {red} red, {skipped} skipped"),
            );
        }
        text
    }
}

fn is_same_reason(pair: &[(&String, String)]) -> bool {
    matches!(pair, [(_, one), (_, other)] if one == other)
}

/// Why a record is not ok.
fn reason(record: &Record) -> Option<String> {
    match (&record.verdict, &record.differs) {
        (Verdict::Ok, _) => None,
        (Verdict::Skip(reason), _) => Some(format!("skipped: {reason}")),
        (Verdict::Fail(reason), None) => Some(reason.clone()),
        (Verdict::Fail(reason), Some(known)) => Some(format!("known: {known}; {reason}")),
    }
}

/// What a table shows for one record.
fn cell(record: Option<&Record>) -> String {
    let Some(record) = record else {
        return "FAIL (never ran)".to_owned();
    };
    match (&record.verdict, &record.differs) {
        (Verdict::Ok, _) => format!("ok {:.1} s", record.seconds),
        (Verdict::Skip(_), _) => "skipped".to_owned(),
        (Verdict::Fail(_), Some(_)) => "differs".to_owned(),
        (Verdict::Fail(_), None) => "FAIL".to_owned(),
    }
}

fn push_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot be refused.
    if text.write_fmt(line).is_ok() {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cells: &[(&str, &str, Verdict)]) -> Report {
        let record = |(runtime, case, verdict): &(&str, &str, Verdict)| Record {
            client: "podman".to_owned(),
            runtime: (*runtime).to_owned(),
            case: (*case).to_owned(),
            verdict: verdict.clone(),
            seconds: 0.1,
            differs: None,
        };
        Report {
            runtimes: vec!["nexcage".into(), "runc".into()],
            records: cells.iter().map(record).collect(),
        }
    }

    #[track_caller]
    fn check(nexcage: Verdict, runc: Verdict, expected: (usize, usize, usize)) {
        let totals = report(&[("nexcage", "run", nexcage), ("runc", "run", runc)]).totals();
        assert_eq!((totals.passed, totals.failed, totals.skipped), expected);
    }

    fn red() -> Verdict {
        Verdict::Fail("exit 1".to_owned())
    }

    #[test]
    fn only_what_the_reference_passes_counts_as_failed() {
        check(Verdict::Ok, Verdict::Ok, (1, 0, 0));
        check(red(), Verdict::Ok, (0, 1, 0));
        check(red(), red(), (0, 0, 1));
        check(Verdict::Ok, red(), (1, 0, 0));
        check(Verdict::Skip("no swap".to_owned()), Verdict::Ok, (0, 0, 1));
        check(red(), Verdict::Skip("no swap".to_owned()), (0, 1, 0));
    }

    #[test]
    fn a_case_that_never_ran_is_failed() {
        assert_eq!(report(&[("runc", "run", Verdict::Ok)]).totals().failed, 1);
    }

    #[test]
    fn the_totals_are_the_last_line() {
        let text = report(&[("nexcage", "run", red()), ("runc", "run", red())]).to_text();
        assert!(text.ends_with("\n0 passed, 0 failed, 1 skipped\n"), "{text}");
        assert!(text.contains("run: red on runc"), "{text}");
    }

    #[test]
    fn a_record_survives_its_way_through_json() {
        let record = &report(&[("nexcage", "run", red())]).records[0];
        let text = serde_json::to_string(record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), *record);
    }
}
