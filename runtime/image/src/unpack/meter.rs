//! Readers that count, stop and refuse.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::rc::Rc;
use std::time::Duration;

use super::{LayerError, Observer};

/// How much an image may take.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Bytes of all layers that are still allowed.
    bytes: u64,
    /// Entries of all layers that are still allowed.
    entries: u64,
    limit: u64,
    entry_limit: u64,
}

impl Budget {
    /// More entries than any image is known to have.
    pub const ENTRIES: u64 = 4_000_000;
    /// The size that no image has by intention: 64 GiB.
    pub const BYTES: u64 = 64 << 30;

    /// Allows so many uncompressed bytes and entries.
    #[must_use]
    pub const fn new(bytes: u64, entries: u64) -> Self {
        Self {
            bytes,
            entries,
            limit: bytes,
            entry_limit: entries,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Stopped,
    TooLarge,
    Header,
}

/// What the readers of one layer share, and why one of them refused.
///
/// The tar crate passes on an `io::Error` only, so the reason is kept here.
#[derive(Debug, Clone, Default)]
pub(super) struct Trip(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    reason: Cell<Option<Reason>>,
    /// Bytes allowed until the next entry; `None` inside an entry.
    header: Cell<Option<u64>>,
    budget: RefCell<Option<Budget>>,
}

impl Trip {
    /// Says what an error of a reader means.
    pub(super) fn explain(&self, source: io::Error) -> LayerError {
        match self.0.reason.get() {
            Some(Reason::Stopped) => LayerError::Stopped,
            Some(Reason::TooLarge) => LayerError::TooLarge(self.limits().0),
            Some(Reason::Header) => LayerError::Header,
            None => LayerError::Stream { source },
        }
    }

    /// The next bytes are a header of limited size.
    pub(super) fn expect_header(&self, bytes: u64) {
        self.0.header.set(Some(bytes));
    }

    /// The next bytes are an entry's content.
    pub(super) fn expect_content(&self) {
        self.0.header.set(None);
    }

    /// Takes one entry out of the budget.
    pub(super) fn count_entry(&self) -> Result<(), LayerError> {
        let mut budget = self.0.budget.borrow_mut();
        let Some(budget) = budget.as_mut() else { return Ok(()) };
        budget.entries = budget
            .entries
            .checked_sub(1)
            .ok_or(LayerError::TooMany(budget.entry_limit))?;
        Ok(())
    }

    /// Takes bytes out of the budget.
    pub(super) fn charge(&self, bytes: u64) -> Result<(), LayerError> {
        if self.take(bytes) {
            Ok(())
        } else {
            Err(LayerError::TooLarge(self.limits().0))
        }
    }

    fn take(&self, bytes: u64) -> bool {
        let mut budget = self.0.budget.borrow_mut();
        let Some(budget) = budget.as_mut() else { return true };
        let left = budget.bytes.checked_sub(bytes);
        budget.bytes = left.unwrap_or(0);
        left.is_some()
    }

    fn limits(&self) -> (u64, u64) {
        let budget = self.0.budget.borrow();
        budget
            .as_ref()
            .map_or((0, 0), |budget| (budget.limit, budget.entry_limit))
    }

    fn refuse(&self, reason: Reason) -> io::Error {
        self.0.reason.set(Some(reason));
        io::Error::other("refused")
    }
}

/// Tells an observer of every read, and stops when it says so.
pub(super) struct Watched<'a, R> {
    inner: R,
    observer: &'a mut dyn Observer,
    trip: Trip,
}

impl<'a, R> Watched<'a, R> {
    pub(super) fn new(inner: R, observer: &'a mut dyn Observer, trip: &Trip) -> Self {
        Self {
            inner,
            observer,
            trip: trip.clone(),
        }
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.observer.is_stopped(Duration::ZERO) {
            return Err(self.trip.refuse(Reason::Stopped));
        }
        let count = self.inner.read(buffer)?;
        self.observer.advance(count as u64);
        Ok(count)
    }
}

/// Charges what is read to a budget, which gets back what is left when this is dropped.
pub(super) struct Meter<'a, R> {
    inner: R,
    budget: &'a mut Budget,
    trip: Trip,
}

impl<'a, R> Meter<'a, R> {
    pub(super) fn new(inner: R, budget: &'a mut Budget, trip: &Trip) -> Self {
        trip.0.budget.replace(Some(budget.clone()));
        Self {
            inner,
            budget,
            trip: trip.clone(),
        }
    }

    /// What follows is no header.
    pub(super) fn allow_all(&mut self) {
        self.trip.expect_content();
    }
}

impl<R> Drop for Meter<'_, R> {
    fn drop(&mut self) {
        if let Some(left) = self.trip.0.budget.borrow().as_ref() {
            self.budget.clone_from(left);
        }
    }
}

impl<R: Read> Read for Meter<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if !self.trip.take(count as u64) {
            return Err(self.trip.refuse(Reason::TooLarge));
        }
        if let Some(allowed) = self.trip.0.header.get() {
            let Some(left) = allowed.checked_sub(count as u64) else {
                return Err(self.trip.refuse(Reason::Header));
            };
            self.trip.0.header.set(Some(left));
        }
        Ok(count)
    }
}
