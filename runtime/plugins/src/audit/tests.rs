use std::fs;
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use super::{Audit, AuditError, Event, Fault, Kind, RECORD_MAX, Verified, verify};

struct Log {
    _folder: TempDir,
    audit: Audit,
}

impl Log {
    /// A log of so many records.
    fn new(records: usize) -> Self {
        let folder = TempDir::new().unwrap();
        let audit = Audit::new(folder.path().join("audit.jsonl"));
        for number in 0..records {
            audit.append(&event(&format!("record {number}"))).unwrap();
        }
        Self { _folder: folder, audit }
    }

    fn verify(&self) -> Verified {
        verify(self.audit.path()).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.audit.path()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Replaces the log by these lines.
    fn forge(&self, lines: &[String]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.overwrite(text.as_bytes());
    }

    #[expect(clippy::disallowed_methods, reason = "a forger's tool")]
    fn overwrite(&self, bytes: &[u8]) {
        fs::write(self.audit.path(), bytes).unwrap();
    }

    fn head(&self) -> PathBuf {
        super::head_of(self.audit.path())
    }
}

fn event(text: &str) -> Event<'_> {
    Event {
        kind: Kind::Broker,
        plugin: "hello",
        container: "web1",
        text,
        detail: json!({"z": 1, "a": [1.5, null]}),
    }
}

#[test]
fn an_untouched_log_has_no_faults() {
    let log = Log::new(5);
    let found = log.verify();
    assert_eq!((found.records, found.faults), (5, vec![]));
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["digest"], found.digest);
    assert_eq!(
        (&last["seq"], &last["text"], &last["plugin"]),
        (&json!(5), &json!("record 4"), &json!("hello"))
    );
}

#[test]
fn a_log_that_does_not_exist_is_empty() {
    let log = Log::new(0);
    assert_eq!((log.verify().records, log.verify().faults), (0, vec![]));
}

#[test]
fn every_flipped_bit_is_found() {
    let log = Log::new(3);
    let bytes = fs::read(log.audit.path()).unwrap();
    for index in 0..bytes.len() {
        for bit in [0, 5] {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1 << bit;
            log.overwrite(&flipped);
            assert!(!log.verify().faults.is_empty(), "byte {index}, bit {bit}");
        }
    }
}

#[test]
fn every_removed_record_is_found() {
    for index in 0..5 {
        let log = Log::new(5);
        let mut lines = log.lines();
        lines.remove(index);
        log.forge(&lines);
        let faults = log.verify().faults;
        let expected = match u64::try_from(index).unwrap() {
            4 => Fault::Head { seq: 5 },
            index => Fault::Chain {
                line: index + 1,
                expected: index + 1,
                seq: index + 2,
            },
        };
        assert_eq!(faults, [expected]);
    }
}

#[test]
fn every_exchange_of_records_is_found() {
    for first in 0..4 {
        let log = Log::new(5);
        let mut lines = log.lines();
        lines.swap(first, first + 1);
        log.forge(&lines);
        assert!(
            log.verify()
                .faults
                .iter()
                .any(|fault| matches!(fault, Fault::Chain { .. }))
        );
    }
}

#[test]
fn an_emptied_log_is_found() {
    let log = Log::new(2);
    log.forge(&[]);
    assert_eq!(log.verify().faults, [Fault::Head { seq: 2 }]);
    fs::remove_file(log.audit.path()).unwrap();
    assert_eq!(log.verify().faults, [Fault::Head { seq: 2 }]);
}

#[test]
fn a_removed_head_is_found() {
    let log = Log::new(2);
    fs::remove_file(log.head()).unwrap();
    assert_eq!(log.verify().faults, [Fault::NoHead]);
}

#[test]
fn a_crash_between_record_and_head_is_no_fault() {
    let log = Log::new(2);
    let older = fs::read(log.head()).unwrap();
    log.audit.append(&event("newest")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the head as the crash leaves it")]
    fs::write(log.head(), older).unwrap();
    assert_eq!(log.verify().faults, []);
    log.audit.append(&event("next")).unwrap();
    assert_eq!((log.verify().records, log.verify().faults), (4, vec![]));
}

#[test]
fn a_crash_within_a_record_is_told_and_mended_on_record() {
    for cut in [1, 10, 100] {
        let log = Log::new(3);
        let bytes = fs::read(log.audit.path()).unwrap();
        let torn = [&bytes[..], &bytes[..cut]].concat();
        log.overwrite(&torn);
        assert_eq!(log.verify().faults, [Fault::Unfinished { line: 4 }]);
        log.audit.append(&event("next")).unwrap();
        let found = log.verify();
        assert_eq!((found.records, found.faults), (5, vec![]));
        assert!(log.lines()[3].contains(&format!("{cut} bytes of an unfinished record taken off")));
    }
}

#[test]
fn nothing_is_chained_to_a_last_line_that_is_no_record() {
    let log = Log::new(1);
    log.forge(&["{}".to_owned()]);
    assert!(matches!(log.audit.append(&event("next")), Err(AuditError::Last { .. })));
    log.overwrite(&vec![b'x'; 3 * RECORD_MAX]);
    assert!(matches!(log.audit.append(&event("next")), Err(AuditError::Last { .. })));
}

#[test]
fn a_record_that_is_too_long_is_refused_and_not_written() {
    let log = Log::new(1);
    let long = Event {
        detail: json!("x".repeat(RECORD_MAX)),
        ..event("long")
    };
    assert!(matches!(log.audit.append(&long), Err(AuditError::TooLong(_))));
    assert_eq!((log.verify().records, log.verify().faults), (1, vec![]));
}

#[test]
fn texts_of_plugins_stay_on_their_line() {
    let log = Log::new(0);
    log.audit.append(&event("a\n{\"seq\":9}\u{1b}[2J")).unwrap();
    let lines = log.lines();
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].contains('\u{1b}'));
}

#[test]
fn many_writers_make_one_chain() {
    let log = Log::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    log.audit.append(&event("from a thread")).unwrap();
                }
            });
        }
    });
    assert_eq!((log.verify().records, log.verify().faults), (200, vec![]));
}

#[test]
fn only_its_owner_reads_the_log() {
    use std::os::unix::fs::PermissionsExt;
    let log = Log::new(1);
    for path in [log.audit.path(), &log.head()] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o077, 0);
    }
}
