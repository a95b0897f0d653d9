//! The one place that prints: what a command has to say, and the error of a failed one.
//!
//! A failed command leaves exactly one line in the log, whose form clients parse, and the same text on standard error.
//! Nothing else is ever written to the log without `--debug`.

pub mod debug;
mod line;
pub mod phrases;
mod text;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::args::{Globals, LogFormat, UsageError};
pub use text::one_line;

/// `exec` tells its own failure from the process's exit code by this one, as runc does.
const EXEC_FAILED: u8 = 255;

/// Prints a text on standard output.
///
/// Returns success, or the code of the reported failure when it could not be written.
#[must_use]
pub fn text(globals: &Globals, text: &str) -> ExitCode {
    match crate::output::print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(globals, "", &error),
    }
}

/// Reports why a command failed.
///
/// * `command`: the sub-command's name.
/// * `error`: its chain becomes one line.
///
/// Returns the exit code: 255 for `exec`, else 1, as runc.
#[must_use]
pub fn failure(globals: &Globals, command: &str, error: &anyhow::Error) -> ExitCode {
    report(globals, &one_line(&format!("{error:#}")));
    ExitCode::from(if command == "exec" { EXEC_FAILED } else { 1 })
}

/// Reports a command line that was not understood, after the help of the command on standard output, as runc.
#[must_use]
pub fn usage(globals: &Globals, error: &UsageError) -> ExitCode {
    if let Some(help) = error.help() {
        // A reader who is gone must not hide the error itself.
        crate::output::print(&format!("Incorrect Usage: {error}\n\n{help}")).unwrap_or_default();
    }
    report(globals, &one_line(&error.to_string()));
    ExitCode::from(error.exit_code())
}

/// Says on standard error, never in the log, that the command goes on with less than it was asked for.
pub fn warning(lost: &str) {
    to_stderr(&format!("nexcage: warning: {}\n", one_line(lost)));
}

/// Makes a panic, which is a defect of this program, one line as every other failure.
pub fn report_panics(globals: &Globals) {
    let globals = globals.clone();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload_as_str().unwrap_or("no text");
        let at = info.location().map(|at| format!(" at {at}")).unwrap_or_default();
        report(
            &globals,
            &one_line(&format!("internal error{at}: {text}: please report it")),
        );
    }));
}

fn report(globals: &Globals, message: &str) {
    let line = line::render(globals.log_format, "error", message, &[]);
    let plain = format!("nexcage: {message}\n");
    match &globals.log {
        Some(path) => {
            to_stderr(&plain);
            if let Err(error) = append(path, &line) {
                to_stderr(&one_line(&format!("nexcage: append to log {path:?}: {error}")));
                to_stderr("\n");
            }
        }
        None if globals.log_format == LogFormat::Json => to_stderr(&line),
        None => to_stderr(&plain),
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    options.open(path)?.write_all(line.as_bytes())
}

fn to_stderr(text: &str) {
    // With standard error gone there is nobody left to tell.
    io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(format: LogFormat, error: &anyhow::Error) -> String {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let globals = Globals {
            log: Some(log.clone()),
            log_format: format,
            ..Globals::default()
        };
        let code = failure(&globals, "create", error);
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(1)));
        std::fs::read_to_string(log).unwrap()
    }

    #[test]
    fn failure_leaves_one_json_object() {
        let error = anyhow::anyhow!("Permission denied (os error 13)")
            .context("mount \"/a\nb\"")
            .context("create \"x\"");
        let text = logged(LogFormat::Json, &error);
        assert_eq!(text.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["level"], "error");
        assert_eq!(
            value["msg"],
            "create \"x\": mount \"/a\\nb\": Permission denied (os error 13)"
        );
        assert!(humantime::parse_rfc3339(value["time"].as_str().unwrap()).is_ok());
        assert_eq!(value.as_object().unwrap().len(), 3);
    }

    #[test]
    fn text_format_is_logrus() {
        let text = logged(LogFormat::Text, &anyhow::anyhow!("say \"no\""));
        let (time, rest) = text.split_once("\" ").unwrap();
        assert!(time.starts_with("time=\"2"), "{time}");
        assert_eq!(rest, "level=error msg=\"say \\\"no\\\"\"\n");
    }

    #[test]
    fn failures_are_appended() {
        let dir = tempfile::tempdir().unwrap();
        let globals = Globals {
            log: Some(dir.path().join("log")),
            log_format: LogFormat::Json,
            ..Globals::default()
        };
        for text in ["one", "two"] {
            let _code = failure(&globals, "exec", &anyhow::anyhow!(text));
        }
        assert_eq!(
            std::fs::read_to_string(dir.path().join("log")).unwrap().lines().count(),
            2
        );
    }
}
