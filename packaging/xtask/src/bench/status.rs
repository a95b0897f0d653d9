//! Numbers out of files in /proc.

use std::fs;

use nix::unistd::Pid;

/// A `NAME: NUMBER kB` line of a file in /proc.
pub(super) fn parse_kib(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The /proc/PID/status of a task; `None` when it is gone.
pub(super) fn read(pid: Pid) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/status")).ok()
}

/// The process that a task belongs to.
pub(super) fn parse_process(text: &str) -> Option<Pid> {
    let rest = text.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    rest.trim().parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Name:\tsh\nTgid:\t42\nPid:\t43\nVmHWM:\t    1860 kB\nVmRSS:\t    1204 kB\n";

    #[test]
    fn fields_are_found_by_name() {
        for (name, expected) in [
            ("VmHWM:", Some(1860)),
            ("VmRSS:", Some(1204)),
            ("VmSwap:", None),
            ("Pid:", None),
        ] {
            assert_eq!(parse_kib(TEXT, name), expected, "{name}");
        }
        assert_eq!(parse_process(TEXT), Some(Pid::from_raw(42)));
        assert_eq!(parse_process("Name:\tsh\n"), None);
    }
}
