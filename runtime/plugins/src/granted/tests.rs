use std::collections::BTreeMap;
use std::time::Instant;

use nexcage_plugin_types::Capability;
use nexcage_plugin_types::message::{LogLevel, LogLine, Metric, MetricKind, Span};
use serde_json::Value;
use tempfile::TempDir;

use super::{Granted, Sink};
use crate::audit::{self, Audit, Kind};
use crate::broker::{Broker, Streams};
use crate::connection::Effects;

#[derive(Default)]
struct Seen(Vec<String>);

impl Sink for Seen {
    fn log(&mut self, plugin: &str, line: LogLine) {
        self.0.push(format!("{plugin}: {}", line.message));
    }

    fn span(&mut self, plugin: &str, span: Span) {
        self.0.push(format!("{plugin}: {} {}", span.name, span.duration_ns));
    }

    fn metric(&mut self, plugin: &str, metric: Metric) {
        self.0.push(format!("{plugin}: {} {}", metric.name, metric.value));
    }
}

/// Logs and measures twice with these grants; what came through, what is on record, what was dropped.
fn report(grants: &[Capability]) -> (Vec<String>, Vec<(Kind, String)>, u64) {
    let folder = TempDir::new().unwrap();
    let audit = Audit::new(folder.path().join("audit.jsonl"));
    let broker = Broker {
        plugin: "hello",
        grants,
        config: &Value::Null,
        container: "",
        audit: &audit,
        streams: Streams::Closed,
        commands: None,
        settings: None,
        containers: None,
    };
    let mut seen = Seen::default();
    let mut granted = Granted::new(broker, &mut seen);
    for _ in 0..2 {
        granted.log(LogLine {
            level: LogLevel::Info,
            target: String::new(),
            message: "line".into(),
        });
        granted.metric(Metric {
            name: "load".into(),
            kind: MetricKind::Gauge,
            value: 1.0,
            labels: BTreeMap::new(),
        });
    }
    assert_eq!(granted.broker(1, b"{\"pointer\":\"/x\"}", Instant::now()).status, 3);
    let dropped = granted.dropped();
    let mut records = Vec::new();
    audit::read(audit.path(), |_, record| {
        let record = record.unwrap();
        records.push((record.kind, record.text));
        true
    })
    .unwrap();
    records.retain(|(kind, _)| *kind != Kind::Denial);
    (seen.0, records, dropped)
}

#[test]
fn with_grants_all_comes_through() {
    let (seen, records, dropped) = report(&[Capability::Logging, Capability::Metrics]);
    assert_eq!(seen, ["hello: line", "hello: load 1", "hello: line", "hello: load 1"]);
    assert_eq!((records, dropped), (vec![], 0));
}

#[test]
fn without_grants_nothing_comes_through_and_that_is_recorded_once() {
    let (seen, records, dropped) = report(&[]);
    assert_eq!((seen, dropped), (Vec::<String>::new(), 4));
    let expected = [
        "line of log without capability logging",
        "measurement without capability metrics",
    ];
    assert_eq!(records, expected.map(|text| (Kind::Violation, text.to_owned())));
}

#[test]
fn each_grant_is_for_its_own() {
    let (seen, records, dropped) = report(&[Capability::Metrics]);
    assert_eq!((seen, dropped), (vec!["hello: load 1".to_owned(); 2], 2));
    assert_eq!(
        records,
        [(Kind::Violation, "line of log without capability logging".to_owned())]
    );
}
