//! What is on record: `plugin stats`, `logs`, `violations`, `audit`.

use std::collections::VecDeque;
use std::process::ExitCode;

use anyhow::Result;
use nexcage_plugins::audit::{self, Kind, Record};
use nexcage_plugins::ledger::Calls;
use serde_json::{Value, json};

use crate::args::{Format, Globals};
use crate::{context, output};

pub(super) fn stats(globals: &Globals, names: &[String], format: Format) -> Result<()> {
    let registry = context::registry(globals)?;
    let node = context::node(globals)?;
    let mut rows = Vec::new();
    let mut all = serde_json::Map::new();
    for package in super::chosen(&registry, names)? {
        let name = &package.manifest().name;
        let entry = node.ledger.read(name)?;
        let metrics = node.journal.metrics(name)?;
        for (place, calls) in &entry.calls {
            rows.push(stats_row(name.as_str(), place, calls));
        }
        rows.extend(metrics.iter().map(|metric| {
            let labels: Vec<String> = metric
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let place = format!("{} {}", metric.name, labels.join(","));
            [
                name.to_string(),
                place,
                metric.value.to_string(),
                String::new(),
                String::new(),
                String::new(),
            ]
        }));
        all.insert(name.to_string(), json!({"calls": entry.calls, "metrics": metrics}));
    }
    if format == Format::Json {
        return output::print_json(&Value::Object(all));
    }
    let head = ["NAME", "CALL OR METRIC", "COUNT OR VALUE", "FAILED", "MEDIAN", "P99"].map(str::to_owned);
    output::print(&output::columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))
}

fn stats_row(name: &str, place: &str, calls: &Calls) -> [String; 6] {
    let quantile = |per_mille| match calls.quantile(per_mille) {
        Some(micros) => format!("<= {micros} us"),
        None => "-".to_owned(),
    };
    [
        name.to_owned(),
        place.to_owned(),
        calls.count.to_string(),
        calls.failures.values().sum::<u64>().to_string(),
        quantile(500),
        quantile(990),
    ]
}

pub(super) fn logs(globals: &Globals, name: &str, count: usize, format: Format) -> Result<()> {
    let node = context::node(globals)?;
    let lines = node.journal.lines(&super::name(name)?, count)?;
    if format == Format::Json {
        return output::print_json(&lines);
    }
    let text = lines.into_iter().map(|line| {
        let level = output::json_name(&line.level);
        let target = if line.target.is_empty() {
            String::new()
        } else {
            line.target + ": "
        };
        format!("{} {level} {target}{}\n", line.time, line.message)
    });
    output::print(&text.collect::<String>())
}

pub(super) fn violations(globals: &Globals, names: &[String], count: usize, format: Format) -> Result<()> {
    let is_wanted = |kind: Kind| matches!(kind, Kind::Denial | Kind::Violation | Kind::Refusal);
    print(&newest(globals, names, count, is_wanted)?, format)
}

pub(super) fn audit(globals: &Globals, names: &[String], count: usize, format: Format) -> Result<()> {
    print(&newest(globals, names, count, |_| true)?, format)
}

/// The newest records that are wanted, the oldest of them first.
fn newest(
    globals: &Globals,
    names: &[String],
    count: usize,
    is_wanted: impl Fn(Kind) -> bool,
) -> Result<VecDeque<Record>> {
    let node = context::node(globals)?;
    let mut records = VecDeque::new();
    audit::read(node.audit.path(), |_, record| {
        let is_named = |record: &Record| names.is_empty() || names.contains(&record.plugin);
        if let Some(record) = record.filter(|record| is_named(record) && is_wanted(record.kind)) {
            records.push_back(record);
        }
        if records.len() > count {
            records.pop_front();
        }
        true
    })?;
    Ok(records)
}

fn print(records: &VecDeque<Record>, format: Format) -> Result<()> {
    if format == Format::Json {
        return output::print_json(records);
    }
    let head = ["TIME", "KIND", "PLUGIN", "TEXT"].map(str::to_owned);
    let rows = records.iter().map(|record| {
        [
            record.time.clone(),
            output::json_name(&record.kind),
            record.plugin.clone(),
            record.text.clone(),
        ]
    });
    output::print(&output::columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))
}

pub(super) fn verify(globals: &Globals, format: Format) -> Result<ExitCode> {
    let node = context::node(globals)?;
    let found = audit::verify(node.audit.path())?;
    let faults: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
    if format == Format::Json {
        let all = json!({"log": node.audit.path(), "records": found.records, "digest": found.digest, "faults": faults});
        output::print_json(&all)?;
    } else {
        let log = node.audit.path().display();
        let mut text = format!("{log}: {} records, the last one is {}\n", found.records, found.digest);
        for fault in &faults {
            text.push_str(fault);
            text.push('\n');
        }
        output::print(&text)?;
    }
    Ok(ExitCode::from(u8::from(!faults.is_empty())))
}
