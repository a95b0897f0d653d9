use std::time::Duration;

use nexcage_plugin_types::text::PluginName;
use tempfile::TempDir;

use super::{BOUNDS, Calls, Entry, FailureKind, Ledger};
use crate::breaker::{Admission, Policy};
use crate::connection::CallError;

fn ledger() -> (TempDir, Ledger, PluginName) {
    let folder = TempDir::new().unwrap();
    let ledger = Ledger::new(folder.path().to_owned());
    (folder, ledger, "hello".parse().unwrap())
}

#[test]
fn what_is_changed_is_there_for_the_next_command() {
    let (_folder, ledger, hello) = ledger();
    assert_eq!(ledger.read(&hello).unwrap(), Entry::default());
    for _ in 0..5 {
        ledger
            .update(&hello, |entry| {
                entry.count(
                    "container.pre_create",
                    Duration::from_micros(80),
                    Some(FailureKind::Deadline),
                );
                entry.breaker.fail(100, &Policy::default())
            })
            .unwrap();
    }
    let mut entry = ledger.read(&hello).unwrap();
    let calls = &entry.calls["container.pre_create"];
    assert_eq!(
        (calls.count, calls.micros, calls.failures[&FailureKind::Deadline]),
        (5, 400, 5)
    );
    assert_eq!(
        entry.breaker.admit(100, &Policy::default()),
        Admission::Refused { until: 110 }
    );
    let other = ledger.read(&"other".parse().unwrap()).unwrap();
    assert_eq!(other, Entry::default());
}

#[test]
fn no_change_is_lost_between_commands_at_the_same_time() {
    let (_folder, ledger, hello) = ledger();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    ledger
                        .update(&hello, |entry| entry.count("x", Duration::ZERO, None))
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(ledger.read(&hello).unwrap().calls["x"].count, 400);
}

#[test]
fn a_file_that_is_none_is_begun_anew() {
    let (folder, ledger, hello) = ledger();
    for broken in ["", "{", "{\"breaker\":7}", "{\"unknown\":{}}"] {
        #[expect(clippy::disallowed_methods, reason = "a broken file of the test's own")]
        std::fs::write(folder.path().join("hello.json"), broken).unwrap();
        assert_eq!(ledger.read(&hello).unwrap(), Entry::default());
        ledger
            .update(&hello, |entry| entry.count("x", Duration::ZERO, None))
            .unwrap();
        assert_eq!(ledger.read(&hello).unwrap().calls["x"].count, 1);
    }
}

#[test]
fn a_folder_that_is_not_there_is_an_error_that_names_the_plugin() {
    let (folder, ledger, hello) = ledger();
    folder.close().unwrap();
    let error = ledger.update(&hello, |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "keep the record of plugin \"hello\"");
}

#[test]
fn every_call_is_in_one_bucket() {
    let check = |micros: u64, bucket: usize| {
        let mut entry = Entry::default();
        entry.count("x", Duration::from_micros(micros), None);
        let histogram = &entry.calls["x"].histogram;
        assert_eq!(
            histogram.iter().position(|count| *count == 1),
            Some(bucket),
            "{micros} µs"
        );
        assert_eq!(histogram.iter().sum::<u64>(), 1);
    };
    check(0, 0);
    check(50, 0);
    check(51, 1);
    check(5_000_000, 14);
    check(5_000_001, BOUNDS.len());
    check(u64::MAX, BOUNDS.len());
}

#[test]
fn quantiles_are_bounds() {
    let mut entry = Entry::default();
    for micros in [40, 40, 40, 90, 90, 90, 90, 240, 900, 9_000_000] {
        entry.count("x", Duration::from_micros(micros), None);
    }
    let calls = &entry.calls["x"];
    assert_eq!(
        [calls.quantile(1), calls.quantile(300), calls.quantile(301)],
        [Some(50), Some(50), Some(100)]
    );
    assert_eq!(
        [calls.quantile(500), calls.quantile(900), calls.quantile(990)],
        [Some(100), Some(1_000), None]
    );
    assert_eq!(Calls::default().quantile(500), None);
}

#[test]
fn errors_of_calls_have_their_kind() {
    let late = CallError::Deadline {
        after: Duration::ZERO,
        is_usable: true,
    };
    assert_eq!(FailureKind::of(&late), FailureKind::Deadline);
    assert_eq!(FailureKind::of(&CallError::Closed), FailureKind::Crash);
    assert_eq!(FailureKind::of(&CallError::Protocol(2)), FailureKind::Unavailable);
}
