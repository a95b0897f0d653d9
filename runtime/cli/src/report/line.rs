//! One line of the log, in the two forms clients of runc parse.

use std::fmt::Write as _;
use std::time::SystemTime;

use crate::args::LogFormat;

/// Renders one line with its end.
pub(super) fn render(format: LogFormat, level: &str, message: &str, fields: &[(&str, String)]) -> String {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    match format {
        LogFormat::Json => json(level, message, &time, fields),
        LogFormat::Text => logrus(level, message, &time, fields),
    }
}

fn json(level: &str, message: &str, time: &str, fields: &[(&str, String)]) -> String {
    let mut object = serde_json::Map::new();
    for (key, value) in [("level", level), ("msg", message), ("time", time)] {
        object.insert(key.into(), value.into());
    }
    for (key, value) in fields {
        object.entry(*key).or_insert_with(|| value.as_str().into());
    }
    serde_json::Value::Object(object).to_string() + "\n"
}

fn logrus(level: &str, message: &str, time: &str, fields: &[(&str, String)]) -> String {
    let mut line = format!("time=\"{time}\" level={level} msg={}", quoted(message));
    for (key, value) in fields {
        // Writing to a String cannot fail.
        write!(line, " {key}={}", quoted(value)).unwrap_or_default();
    }
    line + "\n"
}

fn quoted(text: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if !text.is_empty() && text.chars().all(is_bare) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
