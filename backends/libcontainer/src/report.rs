//! Error texts: chains on one line, and the details that libcontainer only logs.

use std::error::Error;
use std::fmt::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::link::{self, FromContainer};

/// An error and its sources on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Sends the first error that libcontainer logs in this process over the link.
///
/// libcontainer's results carry only the outermost text of a failure; the step, the path and the kernel's answer are in
/// its log events alone.
pub(crate) struct FirstError {
    link: Mutex<OwnedFd>,
    sent: AtomicBool,
}

impl FirstError {
    pub(crate) fn new(link: OwnedFd) -> Self {
        Self {
            link: Mutex::new(link),
            sent: AtomicBool::new(false),
        }
    }
}

/// Sends a panic of libcontainer, in this process or one that it forks, over the link instead of to standard error, which
/// is the container's.
pub(crate) fn send_panics(link: OwnedFd) {
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload_as_str().unwrap_or("no text");
        let text = text.lines().next().unwrap_or_default().to_owned();
        // The link is gone when the runtime is: there is nobody left to tell.
        drop(link::send(link.as_fd(), &FromContainer::Detail(text)));
    }));
}

impl Subscriber for FirstError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn event(&self, event: &Event<'_>) {
        if self.sent.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut text = EventText::default();
        event.record(&mut text);
        if let Ok(link) = self.link.lock() {
            // The link is gone when the runtime is: there is nobody left to tell.
            drop(link::send(link.as_fd(), &FromContainer::Detail(text.line())));
        }
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[derive(Default)]
struct EventText {
    message: String,
    fields: String,
}

impl EventText {
    fn line(self) -> String {
        let text = if self.fields.is_empty() {
            self.message
        } else {
            format!("{} ({})", self.message, self.fields)
        };
        text.trim_start_matches("failed to ").to_owned()
    }

    fn field(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let written = if field.name() == "message" {
            write!(self.message, "{value}")
        } else {
            let separator = if self.fields.is_empty() { "" } else { ", " };
            write!(self.fields, "{separator}{}: {value}", field.name())
        };
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("mount {path:?}")]
    struct Outer {
        path: &'static str,
        source: io::Error,
    }

    #[test]
    fn a_chain_is_one_line_with_the_kernels_words() {
        let error = Outer {
            path: "/x",
            source: io::Error::from_raw_os_error(13),
        };
        assert_eq!(chain(&error), r#"mount "/x": Permission denied (os error 13)"#);
    }

    #[test]
    fn the_first_logged_error_reaches_the_link() {
        let (ours, theirs) = link::pair().unwrap();
        tracing::subscriber::with_default(FirstError::new(theirs), || {
            tracing::error!(path = "/a", "failed to mount it");
            tracing::error!("failed because of that");
        });
        let got: FromContainer = link::receive(ours.as_fd()).unwrap().unwrap();
        assert!(matches!(got, FromContainer::Detail(text) if text == "mount it (path: /a)"));
        assert!(link::receive::<FromContainer>(ours.as_fd()).unwrap().is_none());
    }
}
