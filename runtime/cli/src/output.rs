//! What commands print, byte for byte as runc prints it: rows in, text out.

pub mod events;
pub mod list;
pub mod ps;
pub mod state;
mod table;
#[cfg(test)]
mod tests;

use std::io::{self, Write as _};

use anyhow::Context as _;

/// Renders rows of equal length as columns, a newline after each.
#[must_use]
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    table::render(rows)
}

/// Prints a value as indented JSON.
///
/// # Errors
///
/// It cannot be written as JSON, or not at all.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(value).context("write JSON")? + "\n"))
}

/// The name that a value without data has in JSON.
#[must_use]
pub fn json_name(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

/// Prints a text on standard output and flushes it.
///
/// # Errors
///
/// Standard output cannot be written. A reader that went away is such an error, too: what was asked for did not arrive.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("write standard output")
}
