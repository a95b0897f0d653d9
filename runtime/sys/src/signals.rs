//! Signals: their names and numbers, the mask of this process, and signals read from a descriptor.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::str::FromStr;

/// The lowest real-time signal a program may use: the C library keeps 32 and 33 for itself.
const RTMIN: i32 = 34;
/// The highest signal of Linux.
const RTMAX: i32 = 64;

/// The first name of a number is the one that is printed; the others are accepted.
const NAMES: &[(&str, i32)] = &[
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
    ("UNUSED", libc::SIGSYS),
];

/// A signal number that Linux has: 0 (asks only whether the process is there) to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(i32);

impl Signal {
    /// Asks only whether the process exists.
    pub const NONE: Self = Self(0);
    /// A child changed state.
    pub const CHLD: Self = Self(libc::SIGCHLD);
    /// Continue.
    pub const CONT: Self = Self(libc::SIGCONT);
    /// The terminal hung up.
    pub const HUP: Self = Self(libc::SIGHUP);
    /// Interrupt from the terminal.
    pub const INT: Self = Self(libc::SIGINT);
    /// Cannot be caught.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// A pipe without readers was written to.
    pub const PIPE: Self = Self(libc::SIGPIPE);
    /// Quit from the terminal.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// Cannot be caught.
    pub const STOP: Self = Self(libc::SIGSTOP);
    /// The polite request to end.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// Urgent data on a socket.
    pub const URG: Self = Self(libc::SIGURG);
    /// For the user.
    pub const USR1: Self = Self(libc::SIGUSR1);
    /// The terminal's window changed.
    pub const WINCH: Self = Self(libc::SIGWINCH);

    /// Takes a signal number; `None` when Linux has no such signal.
    #[must_use]
    pub const fn from_raw(number: i32) -> Option<Self> {
        if number >= 0 && number <= RTMAX {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number that the kernel knows the signal by.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

/// Prints the name with `SIG`, `SIGRTMIN+n` for a real-time signal, the bare number for one without a name.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None if self.0 == RTMIN => write!(f, "SIGRTMIN"),
            None if self.0 == RTMAX => write!(f, "SIGRTMAX"),
            None if self.0 > RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A text that names no signal. The words are runc's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown signal {text:?}")]
pub struct UnknownSignal {
    /// The text as it was given.
    pub text: String,
}

/// Reads a number, or a name in any case with or without `SIG`: `15`, `TERM`, `sigterm`, `RTMIN+3`, `SIGRTMAX-1`.
impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let number = match text.parse::<i32>() {
            Ok(number) => Some(number),
            Err(_) => parse_name(&text.to_ascii_uppercase()),
        };
        number
            .and_then(Self::from_raw)
            .ok_or_else(|| UnknownSignal { text: text.to_owned() })
    }
}

fn parse_name(upper: &str) -> Option<i32> {
    let name = upper.strip_prefix("SIG").unwrap_or(upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let number = if let Some(offset) = name.strip_prefix("RTMIN") {
        RTMIN.checked_add(parse_offset(offset, '+')?)?
    } else {
        RTMAX.checked_sub(parse_offset(name.strip_prefix("RTMAX")?, '-')?)?
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

fn parse_offset(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() {
        return Some(0);
    }
    let digits = text.strip_prefix(sign)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// A set of signals; also what a process's signal mask is.
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// The set with no signal.
    #[must_use]
    pub fn empty() -> Self {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the pointer is to a whole sigset_t of ours; sigemptyset only writes it and cannot fail on Linux.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: sigemptyset has initialised the whole set.
        Self(unsafe { set.assume_init() })
    }

    /// The set with every signal; SIGKILL and SIGSTOP in a mask have no effect.
    #[must_use]
    pub fn all() -> Self {
        let mut set = Self::empty();
        // SAFETY: the pointer is to an initialised sigset_t that is borrowed uniquely.
        unsafe { libc::sigfillset(&raw mut set.0) };
        set
    }

    /// Adds a signal; [`Signal::NONE`] is in no set.
    pub fn insert(&mut self, signal: Signal) {
        // SAFETY: the pointer is to an initialised sigset_t; a bad number is answered with EINVAL and changes nothing.
        unsafe { libc::sigaddset(&raw mut self.0, signal.0) };
    }

    /// Takes a signal out.
    pub fn remove(&mut self, signal: Signal) {
        // SAFETY: as in insert.
        unsafe { libc::sigdelset(&raw mut self.0, signal.0) };
    }

    /// Tells whether a signal is in the set.
    #[must_use]
    pub fn contains(&self, signal: Signal) -> bool {
        // SAFETY: the pointer is to an initialised sigset_t, only read.
        unsafe { libc::sigismember(&raw const self.0, signal.0) == 1 }
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries((1..=RTMAX).map(Signal).filter(|signal| self.contains(*signal)))
            .finish()
    }
}

/// Makes a set the calling thread's signal mask.
///
/// Returns the mask that was in force, to be given to children and put back at the end.
///
/// # Errors
///
/// The kernel's answer.
///
/// Kernel: `sigprocmask(2)`.
pub fn replace_mask(mask: &SignalSet) -> io::Result<SignalSet> {
    let mut old = SignalSet::empty();
    // SAFETY: both pointers are to initialised sets that live through the call.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask.0, &raw mut old.0) };
    if error == 0 {
        Ok(old)
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}

/// Blocks every signal that can be blocked, so that none is lost until a [`SignalFd`] reads it.
///
/// Returns the mask that was in force. Call it before the first child is made.
///
/// # Errors
///
/// As [`replace_mask`].
pub fn block_all() -> io::Result<SignalSet> {
    replace_mask(&SignalSet::all())
}

/// Lets this process learn how its children end, even if whoever started it ignored SIGCHLD.
///
/// With SIGCHLD ignored the kernel reaps every child at once and its exit code is lost.
///
/// # Errors
///
/// The kernel's answer.
///
/// Kernel: `waitpid(2)`, notes on `SIG_IGN`.
pub fn keep_exit_codes() -> io::Result<()> {
    reset_action(libc::SIGCHLD)
}

fn reset_action(number: i32) -> io::Result<()> {
    // SAFETY: SIG_DFL runs no code of ours; the numbers passed are constants that signal() accepts.
    if unsafe { libc::signal(number, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Gives a child what it would have got without us: the saved mask, and SIGPIPE that kills.
///
/// The Rust library ignores SIGPIPE at start, and an ignored signal stays ignored through `execve`; without this
/// a pipeline in the container would never end. Call it in the child, before `execve`.
///
/// # Errors
///
/// The kernel's answer.
pub fn restore_for_child(mask: &SignalSet) -> io::Result<()> {
    reset_action(libc::SIGPIPE)?;
    replace_mask(mask).map(drop)
}

/// One signal that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Which.
    pub signal: Signal,
    /// The process that sent it, in our pid namespace; 0 when the kernel did or the sender is out of sight.
    pub sender: u32,
    /// Whether a process sent it (`kill`, `sigqueue`), not the kernel on its own.
    pub from_process: bool,
}

/// Reads the pending signals of a set as data. Never blocks; close-on-exec.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Opens a descriptor for a set.
    ///
    /// * `set`: the signals to read; they must be blocked already, or their normal action takes them first.
    ///
    /// # Errors
    ///
    /// The kernel's answer: `EMFILE`, `ENFILE`, `ENOMEM`.
    ///
    /// Kernel: `signalfd(2)`.
    pub fn open(set: &SignalSet) -> io::Result<Self> {
        // SAFETY: the set is initialised and only read; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes the next signal; `None` when none is pending.
    ///
    /// # Errors
    ///
    /// The kernel's answer to the read, other than "nothing there".
    pub fn read_next(&self) -> io::Result<Option<Arrived>> {
        let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut record)) {
            Ok(length) if length == record.len() => Ok(parse_siginfo(&record)),
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Fields at fixed places: signo u32 at 0, code i32 at 8, pid u32 at 12.
fn parse_siginfo(record: &[u8]) -> Option<Arrived> {
    let field = |at: usize| record.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let signal = Signal::from_raw(i32::try_from(field(0)?).ok()?)?;
    let code = field(8)?.cast_signed();
    Some(Arrived {
        signal,
        sender: field(12)?,
        from_process: code <= 0,
    })
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests;
