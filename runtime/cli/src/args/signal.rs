//! Signals as `kill` names them.

use std::fmt;
use std::str::FromStr;

/// A signal by number, as given to `kill(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(
    /// The number; the kernel judges whether there is such a signal.
    pub i32,
);

/// A name that is no signal's.
#[derive(Debug, thiserror::Error)]
#[error("unknown signal {0:?}: want a number or a name such as TERM or SIGTERM")]
pub struct UnknownSignal(String);

/// First and last real-time signal that the C library leaves to programs.
const REAL_TIME: (i32, i32) = (34, 64);

impl Default for Signal {
    /// SIGTERM.
    fn default() -> Self {
        Self(nix::libc::SIGTERM)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nix::sys::signal::Signal::try_from(self.0) {
            Ok(signal) => f.write_str(signal.as_str()),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// Reads a number, or a name with or without `SIG` in any case, or `RTMIN+n` and `RTMAX-n`.
    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        if let Ok(number) = text.parse() {
            return Ok(Self(number));
        }
        let upper = text.to_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let standard = nix::sys::signal::Signal::from_str(&format!("SIG{name}"))
            .ok()
            .map(|signal| signal as i32);
        standard
            .or_else(|| alias(name))
            .or_else(|| real_time(name))
            .map(Self)
            .ok_or_else(|| UnknownSignal(text.to_owned()))
    }
}

fn alias(name: &str) -> Option<i32> {
    match name {
        "CLD" => Some(nix::libc::SIGCHLD),
        "IOT" => Some(nix::libc::SIGABRT),
        "POLL" => Some(nix::libc::SIGIO),
        _ => None,
    }
}

fn real_time(name: &str) -> Option<i32> {
    let (first, last) = REAL_TIME;
    let offset = |text: &str, sign: char| match text.strip_prefix(sign) {
        Some(number) => number.parse::<u8>().ok().map(i32::from),
        None => text.is_empty().then_some(0),
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => first.checked_add(offset(rest, '+')?),
        (_, Some(rest)) => last.checked_sub(offset(rest, '-')?),
        _ => None,
    };
    number.filter(|number| (first..=last).contains(number))
}
