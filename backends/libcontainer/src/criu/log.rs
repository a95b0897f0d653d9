//! CRIU's log: where it is, and its last errors for our own one line.

use std::path::PathBuf;

use nexcage_sys::file;

/// Errors that are shown.
const SHOWN: usize = 3;
/// A log that is longer is only named.
const LENGTH_MAX: u64 = 64 << 20;

/// The log of one request.
#[derive(Debug)]
pub(super) struct Log(PathBuf);

impl Log {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// A log of an earlier request must not explain this one's failure.
    pub(super) fn forget_old(&self) -> std::io::Result<()> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The text with the log's last errors, or else with `short`, and the log's path.
    pub(super) fn append_to(&self, text: &str, short: &str) -> String {
        let text = |errors: &str| match errors {
            "" => text.to_owned(),
            errors => format!("{text}: {errors}"),
        };
        let Ok(bytes) = file::read_capped(&self.0, LENGTH_MAX) else {
            return format!("{} (no log at {:?})", text(short), self.0);
        };
        let content = String::from_utf8_lossy(&bytes);
        let errors = last_errors(&content);
        if errors.is_empty() {
            return format!("{} (log: {:?})", text(short), self.0);
        }
        format!("{} (log: {:?})", text(&errors.join("; ")), self.0)
    }
}

/// The last lines that report an error, without their time.
fn last_errors(log: &str) -> Vec<String> {
    let error_of = |line: &'_ str| line.find("Error (").map(|at| line.split_at(at).1.to_owned());
    let errors: Vec<String> = log.lines().filter_map(error_of).collect();
    let first = errors.len().saturating_sub(SHOWN);
    errors.into_iter().skip(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_errors_are_shown_without_their_times() {
        let log = "(00.1) Error (a.c:1): one\n(00.1) Warn (b)\n(00.2) pie: 5: Error (c.c:2): two\n(0) Error (d): three\nError (e): four\n";
        assert_eq!(
            last_errors(log),
            ["Error (c.c:2): two", "Error (d): three", "Error (e): four"]
        );
        assert!(last_errors("(0.1) fine\n").is_empty());
    }

    #[test]
    fn a_log_that_is_not_there_is_said() {
        let log = Log::new("/nonexistent/dump.log".into());
        let said = log.append_to("failed", "no such task");
        assert_eq!(said, "failed: no such task (no log at \"/nonexistent/dump.log\")");
    }
}
