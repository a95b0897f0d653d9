//! A line on a terminal of its own: types, resizes, and waits for what must appear.

use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

use super::case::{Key, Step};
use super::place::{Done, Place, exit_code, wait_until};

/// What the terminal has shown so far.
#[derive(Debug, Default)]
struct Screen {
    text: String,
    closed: bool,
}

/// The screen, filled by a thread.
#[derive(Debug, Default, Clone)]
struct Shared(Arc<(Mutex<Screen>, Condvar)>);

/// Runs the step's line as leader of a new session on a new terminal.
///
/// * `keys`: what is typed and awaited, in order.
///
/// # Errors
///
/// The kernel's answer when no terminal could be had or written to.
pub(super) fn run(step: &Step, keys: &[Key], place: &Place<'_>) -> io::Result<Done> {
    let (pty, pts) = open().map_err(io::Error::other)?;
    pty.resize(Size::new(24, 80)).map_err(io::Error::other)?;
    let line = Command::new("sh").arg("-c").arg(step.line);
    let line = line.env("C", &place.name).env("D", &place.dir).current_dir(&place.dir);
    let mut child = line.spawn(pts).map_err(io::Error::other)?;
    let pty = Arc::new(pty);
    let screen = Shared::default();
    screen.clone().follow(Arc::clone(&pty));
    let deadline = Instant::now() + Duration::from_secs(step.limit);
    let unseen = play(keys, &pty, &screen, deadline);
    let left = match unseen {
        Ok(None) => deadline.saturating_duration_since(Instant::now()),
        _ => Duration::ZERO,
    };
    let status = wait_until(&mut child, left)?;
    // The rest of what was written is still in the terminal's buffer; a monitor may hold the other end open.
    screen.wait(Instant::now() + Duration::from_secs(1), |screen| screen.closed);
    let stdout = screen.lock().text.replace('\r', "");
    Ok(Done {
        code: status.map(exit_code),
        stdout,
        stderr: String::new(),
        unseen: unseen?,
    })
}

/// Plays the keys; returns what was awaited in vain.
fn play(keys: &[Key], pty: &Pty, screen: &Shared, deadline: Instant) -> io::Result<Option<String>> {
    let mut seen = 0;
    for key in keys {
        match key {
            Key::Size(rows, columns) => pty.resize(Size::new(*rows, *columns)).map_err(io::Error::other)?,
            Key::Type(text) => (&mut &*pty).write_all(text.as_bytes())?,
            Key::Rest => thread::sleep(Duration::from_millis(150)),
            Key::See(text) => match screen.find(text, seen, deadline) {
                Some(end) => seen = end,
                None => return Ok(Some((*text).to_owned())),
            },
        }
    }
    Ok(None)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Screen> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Collects what the terminal shows until its other end is closed.
    fn follow(self, pty: Arc<Pty>) {
        thread::spawn(move || {
            let mut buffer = [0_u8; 4096];
            loop {
                let read = (&mut &*pty).read(&mut buffer).unwrap_or(0);
                let mut screen = self.lock();
                let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
                    screen.closed = true;
                    self.0.1.notify_all();
                    return;
                };
                screen.text.push_str(&String::from_utf8_lossy(bytes));
                self.0.1.notify_all();
            }
        });
    }

    /// Waits until the condition holds; `false` when the deadline came first.
    fn wait(&self, deadline: Instant, mut holds: impl FnMut(&Screen) -> bool) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let (screen, _) = self
            .0
            .1
            .wait_timeout_while(self.lock(), left, |screen| !holds(screen))
            .unwrap_or_else(PoisonError::into_inner);
        holds(&screen)
    }

    /// Waits for a text after byte `from`; returns where it ends.
    fn find(&self, text: &str, from: usize, deadline: Instant) -> Option<usize> {
        let place = |screen: &Screen| {
            let rest = screen.text.get(from..)?;
            rest.find(text).map(|at| from + at + text.len())
        };
        self.wait(deadline, |screen| screen.closed || place(screen).is_some());
        place(&self.lock())
    }
}
