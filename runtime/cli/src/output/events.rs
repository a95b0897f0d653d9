//! The lines of `events`.

use anyhow::Context as _;
use serde::Serialize;

#[derive(Serialize)]
struct Event<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a T>,
}

/// Renders resource statistics as one line of JSON.
///
/// * `stats`: anything that serialises to runc's statistics object.
///
/// # Errors
///
/// The statistics cannot be written as JSON.
pub fn stats(id: &str, stats: &impl Serialize) -> anyhow::Result<String> {
    line(&Event {
        kind: "stats",
        id,
        data: Some(stats),
    })
}

/// Renders an out-of-memory notice as one line of JSON.
///
/// # Errors
///
/// The notice cannot be written as JSON.
pub fn oom(id: &str) -> anyhow::Result<String> {
    line(&Event::<()> {
        kind: "oom",
        id,
        data: None,
    })
}

fn line<T: Serialize>(event: &Event<'_, T>) -> anyhow::Result<String> {
    Ok(serde_json::to_string(event).context("write event as JSON")? + "\n")
}
