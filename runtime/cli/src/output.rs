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
