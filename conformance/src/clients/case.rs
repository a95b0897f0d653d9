//! The words a case is written in: a case is an id and steps, a step is a shell line and what it must do.
//!
//! Everything here is `const`, so that the tables are plain data. It knows no client and starts nothing.
//!
//! A line runs in `sh` with these variables: `S` the sandbox's folder, `D` an empty folder of this case, `C` a container
//! name of this case, `IMG` the busybox image, `CLI` the client's program, `RT` the runtime's path, `RTNAME` its name.

/// One row of a client's table.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Short name, unique within a client.
    pub id: &'static str,
    /// What is done, in order; the first step that goes wrong ends the case.
    pub steps: &'static [Step],
    /// Shell line that must succeed, else the case is skipped for the reason beside it.
    pub needs: Option<(&'static str, &'static str)>,
    /// Runtimes known to differ from runc here, with the reason.
    pub differs: &'static [(&'static str, &'static str)],
    /// The clients that skip this row of a shared table, with the reason; they have a row of their own or cannot.
    pub except: Option<(&'static str, &'static str)>,
}

/// One shell line and what it must do.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// What `sh -c` gets.
    pub line: &'static str,
    /// The exit code it must have.
    pub code: u8,
    /// Exit codes that hold for one client instead.
    pub code_on: Option<(&'static str, u8)>,
    /// What must hold of its output.
    pub wants: &'static [Want],
    /// Seconds during which the line is tried again until it holds; 0 for once.
    pub within: u64,
    /// Seconds after which the line is killed and the step has failed.
    pub limit: u64,
    /// What is typed when the line runs on a terminal; without it stdin is the null device.
    pub typed: Option<&'static [Key]>,
}

/// A condition on a step's output.
#[derive(Debug, Clone, Copy)]
pub enum Want {
    /// Standard output, without the space around it, is this.
    Out(&'static str),
    /// Standard output or error holds this.
    Has(&'static str),
    /// Neither standard output nor error holds this.
    Lacks(&'static str),
}

/// One act at a terminal.
#[derive(Debug, Clone, Copy)]
pub enum Key {
    /// Makes the terminal this many rows and columns.
    Size(u16, u16),
    /// Types this.
    Type(&'static str),
    /// Rests for the moment that lies between two keys of a person: Podman takes detach keys only one by one.
    Rest,
    /// Waits until this appears in what was written since the last wait.
    See(&'static str),
}

/// A case made of `steps`.
#[must_use]
pub const fn case(id: &'static str, steps: &'static [Step]) -> Case {
    Case {
        id,
        steps,
        needs: None,
        differs: &[],
        except: None,
    }
}

/// A step that must exit with 0.
#[must_use]
pub const fn sh(line: &'static str) -> Step {
    Step {
        line,
        code: 0,
        code_on: None,
        wants: &[],
        within: 0,
        limit: 20,
        typed: None,
    }
}

/// A step on a terminal of 24 rows and 80 columns that must exit with 0.
#[must_use]
pub const fn tty(line: &'static str, typed: &'static [Key]) -> Step {
    Step {
        typed: Some(typed),
        ..sh(line)
    }
}

impl Case {
    /// Skips the case for `reason` where `probe` fails.
    #[must_use]
    pub const fn needs(self, probe: &'static str, reason: &'static str) -> Self {
        Self {
            needs: Some((probe, reason)),
            ..self
        }
    }

    /// Records the runtimes that are known to fail it, each with the reason.
    #[must_use]
    pub const fn differs(self, differs: &'static [(&'static str, &'static str)]) -> Self {
        Self { differs, ..self }
    }

    /// Skips the case for one client of a shared table.
    #[must_use]
    pub const fn except(self, client: &'static str, reason: &'static str) -> Self {
        Self {
            except: Some((client, reason)),
            ..self
        }
    }
}

impl Step {
    /// The exit code that the line must have instead of 0.
    #[must_use]
    pub const fn code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// The exit code with one client, where the clients differ.
    #[must_use]
    pub const fn code_on(self, client: &'static str, code: u8) -> Self {
        Self {
            code_on: Some((client, code)),
            ..self
        }
    }

    /// What must hold of the output.
    #[must_use]
    pub const fn wants(self, wants: &'static [Want]) -> Self {
        Self { wants, ..self }
    }

    /// Tries again for that many seconds.
    #[must_use]
    pub const fn within(self, seconds: u64) -> Self {
        Self {
            within: seconds,
            ..self
        }
    }

    /// The time limit of one try, in seconds.
    #[must_use]
    pub const fn limit(self, seconds: u64) -> Self {
        Self { limit: seconds, ..self }
    }
}

/// Standard output, without the space around it, is `text`.
#[must_use]
pub const fn out(text: &'static str) -> Want {
    Want::Out(text)
}

/// Standard output or error holds `text`.
#[must_use]
pub const fn has(text: &'static str) -> Want {
    Want::Has(text)
}

/// Neither standard output nor error holds `text`.
#[must_use]
pub const fn lacks(text: &'static str) -> Want {
    Want::Lacks(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_step_must_exit_with_zero_and_runs_once() {
        let step = sh("true");
        assert_eq!((step.code, step.within), (0, 0));
        assert!(step.typed.is_none());
    }
}
