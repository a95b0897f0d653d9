//! Terminals: making a pair, raw mode that is always undone, window sizes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, OutputModes, Termios, Winsize, tcgetattr, tcsetattr};

/// Rows and columns of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// The two ends of a pseudo terminal, both close-on-exec.
#[derive(Debug)]
pub struct PtyPair {
    /// The runtime's end.
    pub master: OwnedFd,
    /// The end that a program gets as its terminal.
    pub slave: OwnedFd,
}

/// Makes a pseudo terminal in this process's `/dev/pts`.
///
/// Neither end becomes the controlling terminal.
///
/// # Errors
///
/// The kernel's answer: `ENOENT` without devpts, `ENOSPC` when its limit is reached.
///
/// Kernel: `pty(7)`, `TIOCGPTPEER`.
pub fn open_pair() -> io::Result<PtyPair> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags)?;
    rustix::pty::unlockpt(&master)?;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    Ok(PtyPair { master, slave })
}

/// Tells whether a descriptor is a terminal.
#[must_use]
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    rustix::termios::isatty(fd)
}

/// Opens this process's controlling terminal, close-on-exec.
///
/// # Errors
///
/// The kernel's answer: `ENXIO` when there is none.
pub fn open_controlling() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        "/dev/tty",
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Reads a terminal's window size.
///
/// # Errors
///
/// The kernel's answer to `TIOCGWINSZ`: `ENOTTY` for anything but a terminal.
pub fn read_window_size(terminal: BorrowedFd<'_>) -> io::Result<WindowSize> {
    let size = rustix::termios::tcgetwinsize(terminal)?;
    Ok(WindowSize {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// Sets a terminal's window size; its foreground processes get SIGWINCH when it changes.
///
/// # Errors
///
/// The kernel's answer to `TIOCSWINSZ`.
pub fn write_window_size(terminal: BorrowedFd<'_>, size: WindowSize) -> io::Result<()> {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

/// Stops a terminal from turning each newline of the program into carriage return and newline.
///
/// The outer terminal does that already; twice would be visible in a redirected output.
///
/// # Errors
///
/// The kernel's answer to `TCGETS` or `TCSETS`.
pub fn clear_onlcr(terminal: BorrowedFd<'_>) -> io::Result<()> {
    let mut modes = tcgetattr(terminal)?;
    modes.output_modes.remove(OutputModes::ONLCR);
    Ok(tcsetattr(terminal, OptionalActions::Now, &modes)?)
}

/// Raw mode, for as long as this value lives.
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Puts a terminal into raw mode: every byte goes through at once, no echo, no signals from keys.
    ///
    /// * `terminal`: moved in; it is closed after the modes have been put back.
    ///
    /// Output processing stays on, as runc leaves it, so that a newline still returns the carriage.
    ///
    /// # Errors
    ///
    /// The kernel's answer: `ENOTTY`; `EIO` from a background process whose SIGTTOU is not blocked.
    pub fn enter(terminal: OwnedFd) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        raw.output_modes.insert(OutputModes::OPOST);
        tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        Ok(Self { terminal, before })
    }

    /// The terminal.
    #[must_use]
    pub fn terminal(&self) -> BorrowedFd<'_> {
        self.terminal.as_fd()
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // The terminal can be gone (hung up): then there is nothing to put back, and nobody to tell.
        let _restored = tcsetattr(&self.terminal, OptionalActions::Now, &self.before).is_ok();
    }
}

impl std::fmt::Debug for RawMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawMode")
            .field("terminal", &self.terminal)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rustix::termios::LocalModes;

    use super::*;

    #[test]
    fn raw_mode_is_entered_and_put_back() {
        let pair = open_pair().unwrap();
        let before = tcgetattr(&pair.slave).unwrap();
        let raw = RawMode::enter(pair.slave.try_clone().unwrap()).unwrap();
        let during = tcgetattr(&pair.slave).unwrap();
        assert!(
            !during
                .local_modes
                .intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
        );
        assert!(during.output_modes.contains(OutputModes::OPOST));
        drop(raw);
        let after = tcgetattr(&pair.slave).unwrap();
        assert_eq!(after.local_modes, before.local_modes);
        assert_eq!(after.input_modes, before.input_modes);
        assert_eq!(after.output_modes, before.output_modes);
    }

    #[test]
    fn a_window_size_set_on_one_end_is_read_on_the_other() {
        let pair = open_pair().unwrap();
        let size = WindowSize { rows: 33, columns: 111 };
        write_window_size(pair.master.as_fd(), size).unwrap();
        assert_eq!(read_window_size(pair.slave.as_fd()).unwrap(), size);
    }

    #[test]
    fn newlines_pass_unchanged_after_clear_onlcr() {
        let pair = open_pair().unwrap();
        clear_onlcr(pair.master.as_fd()).unwrap();
        rustix::io::write(&pair.slave, b"a\nb\n").unwrap();
        let mut buffer = [0; 16];
        let length = rustix::io::read(&pair.master, &mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"a\nb\n");
    }

    #[test]
    fn a_file_is_no_terminal() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(!is_terminal(null.as_fd()));
        assert_eq!(
            read_window_size(null.as_fd()).unwrap_err().raw_os_error(),
            Some(libc::ENOTTY)
        );
        assert_eq!(
            RawMode::enter(null.into()).unwrap_err().raw_os_error(),
            Some(libc::ENOTTY)
        );
    }
}
