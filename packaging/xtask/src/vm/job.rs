//! The script that a guest runs, and what it says of itself on its control line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What the guest tells on its control line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The command is about to run.
    Started,
    /// The command ended with this status, 128+n for a signal.
    Exited(u8),
}

/// Writes the script that runs `command`, each argument exactly as given.
pub(crate) fn write_script(command: &[OsString]) -> Vec<u8> {
    let mut script = b"#!/bin/sh\nexec".to_vec();
    for argument in command {
        script.push(b' ');
        script.extend(quote(argument));
    }
    script.push(b'\n');
    script
}

/// Reads a line of the control channel; `None` for a line that says neither.
pub(crate) fn parse_notice(line: &str) -> Option<Notice> {
    match line.trim().split_once(' ') {
        None => (line.trim() == "start").then_some(Notice::Started),
        Some(("exit", status)) => status.parse().ok().map(Notice::Exited),
        Some(_) => None,
    }
}

fn quote(argument: &OsStr) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in argument.as_bytes() {
        match byte {
            b'\'' => quoted.extend(b"'\\''"),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_the_shell_unchanged() {
        let script = write_script(&["printf".into(), "it's $HOME\n".into(), "".into()]);
        assert_eq!(script, b"#!/bin/sh\nexec 'printf' 'it'\\''s $HOME\n' ''\n");
    }

    #[test]
    fn control_lines_are_told_apart() {
        for (line, expected) in [
            ("start\n", Some(Notice::Started)),
            ("exit 0\n", Some(Notice::Exited(0))),
            ("exit 137\n", Some(Notice::Exited(137))),
            ("exit 256\n", None),
            ("exit\n", None),
            ("started\n", None),
            ("", None),
        ] {
            assert_eq!(parse_notice(line), expected, "{line:?}");
        }
    }
}
