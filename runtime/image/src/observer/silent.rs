//! An observer for tests.

use std::time::Duration;

use super::Observer;

#[derive(Default)]
pub(crate) struct Silent {
    pub(crate) stop: bool,
    pub(crate) warnings: Vec<String>,
}

impl Observer for Silent {
    fn begin(&mut self, _: u64) {}
    fn advance(&mut self, _: u64) {}
    fn is_stopped(&mut self, _: Duration) -> bool {
        self.stop
    }
    fn warn(&mut self, text: &str) {
        self.warnings.push(text.to_owned());
    }
    fn end(&mut self) {}
}
