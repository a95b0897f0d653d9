//! The one place that prints: answers, and one line for a failure.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use crate::args::{LogFormat, Request};

/// Longest text of a failure; conmon reads 8 KiB at most.
const MAX_TEXT: usize = 6 * 1024;

/// Prints a failure, and appends it to `--log`: one line each, the same text.
pub(crate) fn failure(request: &Request, error: &anyhow::Error) -> ExitCode {
    let text = clean(&format!("{error:#}"));
    print_error(&text);
    if let Some(path) = &request.globals.log {
        let line = log_line(request.globals.log_format, &text);
        let logged = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|mut f| f.write_all(line.as_bytes()));
        if let Err(error) = logged {
            print_error(&format!("write log {path:?}: {error}"));
        }
    }
    ExitCode::FAILURE
}

fn log_line(format: LogFormat, text: &str) -> String {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    match format {
        LogFormat::Json => format!(
            "{}\n",
            serde_json::json!({ "level": "error", "msg": text, "time": time })
        ),
        LogFormat::Text => format!("time=\"{time}\" level=error msg={}\n", serde_json::Value::from(text)),
    }
}

/// One line of printable text: what a container or a config says must not forge lines or move a terminal.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if out.len() >= MAX_TEXT {
            out.push_str("...");
            break;
        }
        match c {
            '\n' | '\t' => out.push(' '),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Prints an error line.
pub(crate) fn print_error(text: &str) {
    // A closed standard error leaves nobody to tell; the exit code still does.
    drop(writeln!(io::stderr().lock(), "nexcage: {text}"));
}

/// Prints a warning line.
pub(crate) fn print_warning(text: &str) {
    drop(writeln!(io::stderr().lock(), "nexcage: warning: {}", clean(text)));
}

/// Prints an answer; a reader that has gone away is not a failure.
pub(crate) fn print_answer(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_has_what_clients_parse() {
        let line = log_line(LogFormat::Json, "a \"b\"");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (value["level"].as_str(), value["msg"].as_str()),
            (Some("error"), Some("a \"b\""))
        );
        assert!(value["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(clean("a\nb\u{1b}[2J"), "a b\\u{1b}[2J");
    }
}
