//! Whoever waits while an image is read.

use std::time::Duration;

#[cfg(test)]
pub(crate) mod silent;

/// Whoever waits for an image to be unpacked.
pub trait Observer {
    /// The work begins.
    ///
    /// * `bytes`: size of all layers that are to be unpacked, as they are in the store.
    fn begin(&mut self, bytes: u64);
    /// So many more bytes of that have been read.
    fn advance(&mut self, bytes: u64);
    /// Waits that long at most, and says whether to stop.
    fn is_stopped(&mut self, wait: Duration) -> bool;
    /// Something of the image is left out.
    fn warn(&mut self, text: &str);
    /// All is unpacked.
    fn end(&mut self);
}
