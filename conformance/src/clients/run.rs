//! Runs a case: its lines one after the other, each judged by exit code, output and time. It knows no client by name.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::case::{Case, Step, Want};
use super::place::{Done, Place, exit_code, wait_until};
use super::terminal;

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "verdict", content = "reason")]
pub enum Verdict {
    /// Every step did what it must.
    Ok,
    /// The first step that did not, and how.
    Fail(String),
    /// Why it was not run.
    Skip(String),
}

/// The one place where this crate starts a program.
#[expect(
    clippy::disallowed_methods,
    reason = "a test tool: clients are started with an environment set as a whole"
)]
pub(super) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// Runs the steps of a case in order.
///
/// * `place`: its folder must exist and be empty.
///
/// Returns [`Verdict::Fail`] with the line, what it must do and what it did for the first step that went wrong.
pub(super) fn run_case(case: &Case, place: &Place<'_>) -> Verdict {
    if let Some((client, reason)) = case.except
        && client == place.client
    {
        return Verdict::Skip(reason.to_owned());
    }
    if let Some((probe, reason)) = case.needs {
        match attempt(&super::case::sh(probe), place) {
            Ok(done) if done.code == Some(0) => {}
            Ok(_) => return Verdict::Skip(reason.to_owned()),
            Err(error) => return Verdict::Fail(error.to_string()),
        }
    }
    case.steps
        .iter()
        .map(|step| run_step(step, place))
        .find(|verdict| *verdict != Verdict::Ok)
        .unwrap_or(Verdict::Ok)
}

/// Runs one step until it holds, or its time is over.
pub(super) fn run_step(step: &Step, place: &Place<'_>) -> Verdict {
    let deadline = Instant::now() + Duration::from_secs(step.within);
    loop {
        let complaint = match attempt(step, place) {
            Ok(done) => check(step, place.client, &done),
            Err(error) => Some(error.to_string()),
        };
        match complaint {
            None => return Verdict::Ok,
            Some(text) if Instant::now() >= deadline => return Verdict::Fail(format!("`{}`: {text}", title(step))),
            Some(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The first line of a step: a set-up script is longer than anybody wants to read in a table.
fn title(step: &Step) -> &str {
    step.line.lines().next().unwrap_or_default()
}

/// Says what is wrong with what a line did, if anything.
fn check(step: &Step, client: &str, done: &Done) -> Option<String> {
    let said = || format!("{:?}", clip(&format!("{}{}", done.stdout, done.stderr)));
    if let Some(unseen) = &done.unseen {
        return Some(format!("never saw {unseen:?} on the terminal, only {}", said()));
    }
    let wanted = match step.code_on {
        Some((name, code)) if name == client => code,
        _ => step.code,
    };
    match done.code {
        None => return Some(format!("over its limit of {} s, said {}", step.limit, said())),
        Some(code) if code != i32::from(wanted) => {
            return Some(format!("exit {code}, must be {wanted}; said {}", said()));
        }
        Some(_) => {}
    }
    step.wants.iter().find_map(|want| match want {
        Want::Out(text) if done.stdout.trim() != *text => Some(format!("must print {text:?}, said {}", said())),
        Want::Has(text) if !done.stdout.contains(text) && !done.stderr.contains(text) => {
            Some(format!("must say {text:?}, said {}", said()))
        }
        Want::Lacks(text) if done.stdout.contains(text) || done.stderr.contains(text) => {
            Some(format!("must not say {text:?}, said {}", said()))
        }
        _ => None,
    })
}

/// Cuts a text to what fits a table, keeping its end, where the error is.
fn clip(text: &str) -> String {
    let text = text.trim();
    let skip = text.chars().count().saturating_sub(300);
    text.chars().skip(skip).collect()
}

/// Runs the line once.
fn attempt(step: &Step, place: &Place<'_>) -> io::Result<Done> {
    if let Some(keys) = step.typed {
        return terminal::run(step, keys, place);
    }
    // Files, not pipes: a monitor that outlives the line may keep its output open for as long as it lives.
    let (out, err) = (place.io.join("out"), place.io.join("err"));
    let mut child = command("sh")
        .args(["-c", step.line])
        .env("C", &place.name)
        .env("D", &place.dir)
        .current_dir(&place.dir)
        .stdin(Stdio::null())
        .stdout(open_empty(&out)?)
        .stderr(open_empty(&err)?)
        .process_group(0)
        .spawn()?;
    let status = wait_until(&mut child, Duration::from_secs(step.limit))?;
    Ok(Done {
        code: status.map(exit_code),
        stdout: read_text(&out)?,
        stderr: read_text(&err)?,
        unseen: None,
    })
}

fn open_empty(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path)
}

fn read_text(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::case::{Key, case, has, lacks, out, sh, tty};
    use super::*;

    fn verdict(case: &Case) -> Verdict {
        let id: String = case.id.chars().filter(char::is_ascii_alphanumeric).collect();
        let dir = std::env::temp_dir().join(format!("nexcage-case-{}-{id}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let place = Place {
            client: "podman",
            name: "c".to_owned(),
            dir: dir.clone(),
            io: dir.clone(),
        };
        let verdict = run_case(case, &place);
        fs::remove_dir_all(dir).unwrap();
        verdict
    }

    #[track_caller]
    fn check_red(case: &Case, reason: &str) {
        match verdict(case) {
            Verdict::Fail(text) => assert!(text.contains(reason), "{text:?} lacks {reason:?}"),
            other => panic!("{:?} is {other:?}, must be red", case.id),
        }
    }

    #[test]
    fn steps_that_hold_are_ok() {
        const GOOD: Case = case(
            "good",
            &[
                sh("echo hi").wants(&[out("hi")]),
                sh("exit 42").code(42),
                sh("kill -9 $$").code(137),
                sh("exit 7").code(1).code_on("podman", 7),
                sh("echo bad >&2").wants(&[has("bad"), lacks("good")]),
                sh("test -e again || { touch again; exit 1; }").within(5),
            ],
        );
        assert_eq!(verdict(&GOOD), Verdict::Ok);
    }

    const WRONG: &[(Case, &str)] = &[
        (case("code", &[sh("exit 3")]), "exit 3, must be 0"),
        (case("out", &[sh("echo hi").wants(&[out("h")])]), "must print \"h\""),
        (case("has", &[sh("echo hi").wants(&[has("x")])]), "must say \"x\""),
        (
            case("lacks", &[sh("echo hi").wants(&[lacks("h")])]),
            "must not say \"h\"",
        ),
        (case("limit", &[sh("sleep 60").limit(0)]), "over its limit"),
        (case("second", &[sh("true"), sh("false")]), "`false`: exit 1"),
        (
            case("silent", &[tty("echo no", &[Key::See("yes")])]),
            "never saw \"yes\"",
        ),
    ];

    #[test]
    fn a_wrong_step_is_red_and_says_how() {
        for (case, reason) in WRONG {
            check_red(case, reason);
        }
    }

    #[test]
    fn a_probe_that_fails_skips_the_case() {
        const NEEDY: Case = case("needy", &[sh("false")]).needs("false", "no such thing here");
        assert_eq!(verdict(&NEEDY), Verdict::Skip("no such thing here".to_owned()));
    }

    #[test]
    fn a_terminal_has_a_size_and_can_be_typed_at() {
        const KEYS: &[Key] = &[
            Key::Size(30, 90),
            Key::Type("mark\n"),
            Key::See("got mark"),
            Key::See("30 90"),
        ];
        const TALK: Case = case("talk", &[tty("read x; echo got $x; stty size; exit 5", KEYS).code(5)]);
        assert_eq!(verdict(&TALK), Verdict::Ok);
    }
}
