//! Which of the runtime's own descriptors a container gets besides 0, 1 and 2.

use std::io;
use std::os::fd::RawFd;

use nexcage_sys::fds::{self, FIRST_EXTRA};

/// What the environment says of socket activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Activation {
    count: u32,
}

impl Activation {
    /// Reads the two variables of the socket activation protocol.
    ///
    /// * `listen_pid`, `listen_fds`: values of `LISTEN_PID` and `LISTEN_FDS`.
    /// * `own_pid`: descriptors meant for another process are not passed on.
    ///
    /// Anything that is no number, or not for us, means that there are none, as with runc.
    ///
    /// Spec: `sd_listen_fds(3)`.
    #[must_use]
    pub fn parse(listen_pid: Option<&str>, listen_fds: Option<&str>, own_pid: u32) -> Self {
        let is_ours = listen_pid.and_then(|pid| pid.parse().ok()) == Some(own_pid);
        let count = listen_fds.and_then(|count| count.parse().ok()).unwrap_or(0);
        Self {
            count: if is_ours { count } else { 0 },
        }
    }

    /// Reads the variables from this process's environment.
    #[must_use]
    pub fn from_environment() -> Self {
        let text = |name| std::env::var(name).ok();
        Self::parse(
            text("LISTEN_PID").as_deref(),
            text("LISTEN_FDS").as_deref(),
            std::process::id(),
        )
    }
}

/// A descriptor that should be passed on and cannot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InheritedError {
    /// A descriptor counted by `--preserve-fds` is not open. The words are runc's.
    #[error("unable to stat preserved-fd {index} (of {count}): no such file or directory")]
    NotOpen {
        /// Which of them, from 0.
        index: u32,
        /// How many were asked for.
        count: u32,
    },
    /// A descriptor counted by `LISTEN_FDS` is not open.
    #[error("pass socket activation descriptors: LISTEN_FDS is {count}, but descriptor {number} is not open")]
    NotListening {
        /// Its number.
        number: RawFd,
        /// The variable's value.
        count: u32,
    },
    /// There are not that many descriptors.
    #[error("pass {count} descriptors: more than a process can have")]
    TooMany {
        /// How many were asked for.
        count: u64,
    },
    /// The kernel would not say or change whether one is passed on.
    #[error("set which descriptors are inherited")]
    Flags {
        /// The kernel's answer.
        source: io::Error,
    },
}

/// The row of descriptors from 3 on that the container gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inherited {
    count: u32,
    listening: u32,
}

impl Inherited {
    /// Decides which descriptors are passed, and checks that they are open.
    ///
    /// * `activation`: the first ones; `Activation::default()` for `exec`, which passes none, as with runc.
    /// * `preserve`: how many `--preserve-fds` adds after those.
    ///
    /// A client that names the same descriptors in both ways (Podman 5 does) gets them once: when the sum is more
    /// than what was inherited, `preserve` counts the activation's too.
    ///
    /// Call it before the runtime opens descriptors of its own without close-on-exec: those are not counted.
    ///
    /// # Errors
    ///
    /// [`InheritedError`]: the descriptor that is missing.
    pub fn plan(activation: Activation, preserve: u32) -> Result<Self, InheritedError> {
        Self::plan_with(activation.count, preserve, &|number| {
            fds::is_inheritable(number).map_err(|source| InheritedError::Flags { source })
        })
    }

    fn plan_with(
        listening: u32,
        preserve: u32,
        is_open: &dyn Fn(RawFd) -> Result<bool, InheritedError>,
    ) -> Result<Self, InheritedError> {
        let sum = u64::from(listening) + u64::from(preserve);
        let count = u32::try_from(sum)
            .ok()
            .filter(|count| *count <= i32::MAX.unsigned_abs() - 8);
        let count = count.ok_or(InheritedError::TooMany { count: sum })?;
        let Some(missing) = find_missing(count, is_open)? else {
            return Ok(Self { count, listening });
        };
        if missing < listening {
            let number = FIRST_EXTRA + missing.cast_signed();
            return Err(InheritedError::NotListening {
                number,
                count: listening,
            });
        }
        if listening > 0 && missing >= preserve {
            return Ok(Self {
                count: listening.max(preserve),
                listening,
            });
        }
        Err(InheritedError::NotOpen {
            index: missing - listening,
            count: preserve,
        })
    }

    /// How many descriptors are passed: 3 to 2 plus this.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    /// The lowest number that is not passed, for descriptors of the runtime's own.
    #[must_use]
    pub fn floor(self) -> RawFd {
        FIRST_EXTRA + self.count.cast_signed()
    }

    /// Puts the activation's variables into a container process's environment, in place of older ones.
    ///
    /// * `env`: `NAME=value` lines; untouched when there are no activation descriptors.
    pub fn apply_env(self, env: &mut Vec<String>) {
        if self.listening == 0 {
            return;
        }
        env.retain(|line| !line.starts_with("LISTEN_FDS=") && !line.starts_with("LISTEN_PID="));
        env.push(format!("LISTEN_FDS={}", self.listening));
        env.push("LISTEN_PID=1".to_owned());
    }

    /// Marks everything else this process has open as not to be inherited.
    ///
    /// # Errors
    ///
    /// [`InheritedError::Flags`].
    pub fn close_others_on_exec(self) -> Result<(), InheritedError> {
        fds::set_cloexec_from(self.floor()).map_err(|source| InheritedError::Flags { source })
    }
}

/// Index of the first closed descriptor of the row.
fn find_missing(
    count: u32,
    is_open: &dyn Fn(RawFd) -> Result<bool, InheritedError>,
) -> Result<Option<u32>, InheritedError> {
    for index in 0..count {
        if !is_open(FIRST_EXTRA + index.cast_signed())? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(listening: u32, preserve: u32, open: u32) -> Result<Inherited, InheritedError> {
        Inherited::plan_with(listening, preserve, &|number| {
            Ok((3..3 + open.cast_signed()).contains(&number))
        })
    }

    #[track_caller]
    fn check(listening: u32, preserve: u32, open: u32, expected: Result<u32, &str>) {
        let found = plan(listening, preserve, open)
            .map(Inherited::count)
            .map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn preserved_descriptors_follow_those_of_activation() {
        check(0, 0, 0, Ok(0));
        check(0, 0, 9, Ok(0));
        check(0, 2, 2, Ok(2));
        check(2, 0, 2, Ok(2));
        check(1, 2, 3, Ok(3));
    }

    #[test]
    fn descriptors_named_in_both_ways_arrive_once() {
        check(1, 1, 1, Ok(1));
        check(2, 2, 2, Ok(2));
        check(2, 3, 3, Ok(3));
    }

    #[test]
    fn a_missing_descriptor_is_named() {
        check(
            0,
            1,
            0,
            Err("unable to stat preserved-fd 0 (of 1): no such file or directory"),
        );
        check(
            0,
            3,
            2,
            Err("unable to stat preserved-fd 2 (of 3): no such file or directory"),
        );
        check(
            1,
            4,
            2,
            Err("unable to stat preserved-fd 1 (of 4): no such file or directory"),
        );
        check(
            2,
            0,
            1,
            Err("pass socket activation descriptors: LISTEN_FDS is 2, but descriptor 4 is not open"),
        );
        check(
            u32::MAX,
            u32::MAX,
            0,
            Err("pass 8589934590 descriptors: more than a process can have"),
        );
    }

    #[test]
    fn activation_is_for_this_process_only() {
        let parse = |pid, count| Activation::parse(pid, count, 42).count;
        assert_eq!(parse(Some("42"), Some("3")), 3);
        assert_eq!(parse(Some("41"), Some("3")), 0);
        assert_eq!(parse(None, Some("3")), 0);
        assert_eq!(parse(Some("42"), Some("-3")), 0);
        assert_eq!(parse(Some("42"), Some("x")), 0);
        assert_eq!(parse(Some("42"), None), 0);
    }

    #[test]
    fn the_environment_names_pid_1_and_each_variable_once() {
        let mut env = vec!["A=1".to_owned(), "LISTEN_PID=99".to_owned(), "LISTEN_FDS=7".to_owned()];
        plan(2, 0, 2).unwrap().apply_env(&mut env);
        assert_eq!(env, ["A=1", "LISTEN_FDS=2", "LISTEN_PID=1"]);
        let mut env = vec!["LISTEN_FDS=7".to_owned()];
        plan(0, 1, 1).unwrap().apply_env(&mut env);
        assert_eq!(env, ["LISTEN_FDS=7"]);
    }
}
