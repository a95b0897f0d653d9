//! The command line, read lazily: the global flags by hand, then the one command that is named.
//!
//! Clients write flags as Go's and urfave/cli's parsers take them: `--flag v`, `--flag=v`, `-flag v`; global flags come
//! before the command.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, Parser};

use crate::report;

/// The format of `--log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LogFormat {
    /// `key=value` lines.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `--rootless`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Rootless {
    /// By user id and user namespace.
    #[default]
    Auto,
    /// Always.
    Yes,
    /// Never.
    No,
}

/// Flags before the command.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globals {
    pub(crate) root: Option<PathBuf>,
    pub(crate) log: Option<PathBuf>,
    pub(crate) log_format: LogFormat,
    pub(crate) debug: bool,
    pub(crate) systemd_cgroup: bool,
    pub(crate) rootless: Rootless,
}

/// A command line, its command not parsed yet.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) globals: Globals,
    pub(crate) command: String,
    /// What follows the command.
    pub(crate) rest: Vec<OsString>,
}

/// A command line that is not run: help, version, or a mistake.
#[derive(Debug)]
pub(crate) struct Refused {
    text: String,
    mistake: bool,
}

impl Refused {
    fn mistake(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            mistake: true,
        }
    }

    fn answer(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            mistake: false,
        }
    }

    /// Prints it: an answer on standard output, a mistake on standard error.
    pub(crate) fn print(self) -> ExitCode {
        if self.mistake {
            report::print_error(&self.text);
            ExitCode::FAILURE
        } else {
            report::print_answer(&self.text)
        }
    }
}

/// Parses the global flags.
///
/// # Errors
///
/// [`Refused`] for `--help`, `--version` and mistakes.
pub(crate) fn parse(args: &[OsString]) -> Result<Request, Refused> {
    let mut globals = Globals::default();
    let mut rest = args.iter().skip(1).cloned().collect::<Vec<_>>().into_iter();
    while let Some(arg) = rest.next() {
        let text = arg.to_string_lossy().into_owned();
        let Some(flag) = text
            .strip_prefix("--")
            .or_else(|| text.strip_prefix('-'))
            .filter(|f| !f.is_empty())
        else {
            return command(globals, text, rest.collect());
        };
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (flag, None),
        };
        set_global(&mut globals, name, inline, &mut rest)?;
    }
    Err(Refused::answer(general_help()))
}

fn set_global(
    globals: &mut Globals,
    name: &str,
    inline: Option<OsString>,
    rest: &mut impl Iterator<Item = OsString>,
) -> Result<(), Refused> {
    let on = inline.as_ref().is_none_or(|v| v != "false");
    let mut value = || {
        inline
            .clone()
            .or_else(|| rest.next())
            .ok_or_else(|| Refused::mistake(format!("flag needs an argument: -{name}")))
    };
    match name {
        "root" => globals.root = Some(value()?.into()),
        "log" => globals.log = Some(value()?.into()),
        "log-format" => globals.log_format = log_format(&value()?)?,
        "rootless" => globals.rootless = rootless(&value()?)?,
        // Accepted for runc's callers: the program is found on the search path, cgroups by their file systems.
        "criu" | "cgroup-manager" => drop(value()?),
        "debug" => globals.debug = on,
        "systemd-cgroup" => globals.systemd_cgroup = on,
        "help" | "h" => return Err(Refused::answer(general_help())),
        "version" | "v" => return Err(Refused::answer(crate::commands::version())),
        _ => return Err(Refused::mistake(format!("flag provided but not defined: -{name}"))),
    }
    Ok(())
}

fn log_format(value: &OsString) -> Result<LogFormat, Refused> {
    match value.to_str() {
        Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        _ => Err(Refused::mistake(format!(
            "invalid log-format {value:?}: use text or json"
        ))),
    }
}

fn rootless(value: &OsString) -> Result<Rootless, Refused> {
    match value.to_str() {
        Some("auto") => Ok(Rootless::Auto),
        Some("true") => Ok(Rootless::Yes),
        Some("false") => Ok(Rootless::No),
        _ => Err(Refused::mistake(format!(
            "invalid rootless {value:?}: use auto, true or false"
        ))),
    }
}

fn command(globals: Globals, name: String, rest: Vec<OsString>) -> Result<Request, Refused> {
    if name == "help" || name == "h" {
        let text = match rest.first().and_then(|topic| topic.to_str()) {
            Some(topic) => crate::commands::help(topic).ok_or_else(|| no_such_command(topic))?,
            None => general_help(),
        };
        return Err(Refused::answer(text));
    }
    if crate::commands::ABOUT.iter().all(|(known, _)| *known != name) {
        return Err(no_such_command(&name));
    }
    Ok(Request {
        globals,
        command: name,
        rest,
    })
}

fn no_such_command(name: &str) -> Refused {
    Refused::mistake(format!("no such command {name:?}: see `nexcage help`"))
}

fn general_help() -> String {
    let mut text =
        String::from("nexcage - OCI container runtime\n\nUsage: nexcage [FLAGS] COMMAND [ARGS]\n\nCommands:\n");
    for (name, about) in crate::commands::ABOUT {
        text.push_str(&format!("  {name:<12}{about}\n"));
    }
    text.push_str(
        "  help        Show this, or the help of a command\n\nFlags:\n  \
         --root DIR           state directory (default /run/nexcage, or $XDG_RUNTIME_DIR/nexcage without privileges)\n  \
         --log FILE           append errors to this file\n  \
         --log-format FORMAT  text or json\n  \
         --debug              log every step to standard error\n  \
         --systemd-cgroup     let systemd make cgroups (cgroupsPath is slice:prefix:name)\n  \
         --rootless MODE      auto, true or false\n  \
         --criu PATH          accepted and ignored\n  \
         --help, -h           show this\n  \
         --version, -v        show the version\n",
    );
    text
}

/// Parses a command's own arguments.
///
/// # Errors
///
/// A message for standard error, or `Ok(Err(help))` when help was asked for.
pub(crate) fn parse_command<T: Parser>(request: &Request) -> anyhow::Result<Result<T, String>> {
    let mut command = T::command()
        .bin_name(format!("nexcage {}", request.command))
        .no_binary_name(true)
        .disable_version_flag(true)
        .infer_long_args(false);
    let rest = go_flags(&command, &request.rest);
    let matches = match command.try_get_matches_from_mut(rest) {
        Ok(matches) => matches,
        Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => return Ok(Err(error.to_string())),
        Err(error) => anyhow::bail!("{}", one_line(&error)),
    };
    Ok(Ok(T::from_arg_matches(&matches)?))
}

/// The help of a command.
pub(crate) fn help_of<T: CommandFactory>(name: &str) -> String {
    T::command()
        .bin_name(format!("nexcage {name}"))
        .disable_version_flag(true)
        .render_long_help()
        .to_string()
}

fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text
        .lines()
        .map(str::trim)
        .take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more"));
    let joined = lines.filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ");
    joined.strip_prefix("error: ").unwrap_or(&joined).to_owned()
}

/// Writes Go's `-flag` as `--flag`, up to where the command's own arguments begin.
fn go_flags(command: &clap::Command, args: &[OsString]) -> Vec<OsString> {
    let takes_value = |name: &str| {
        command
            .get_arguments()
            .find(|a| a.get_long() == Some(name) || is_alias(a, name))
            .map(|a| matches!(a.get_action(), ArgAction::Set | ArgAction::Append))
    };
    let stops = command.get_arguments().any(clap::Arg::is_trailing_var_arg_set);
    let mut out = Vec::with_capacity(args.len());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let Some(flag) = text.strip_prefix('-').filter(|f| !f.is_empty()) else {
            out.push(arg.clone());
            if stops {
                break;
            }
            continue;
        };
        if flag == "-" {
            out.push(arg.clone());
            break;
        }
        let long = flag.strip_prefix('-').unwrap_or(flag);
        let name = long.split('=').next().unwrap_or_default();
        match takes_value(name) {
            Some(wants) => {
                out.push(OsString::from(format!("--{long}")));
                if wants && !long.contains('=') {
                    out.extend(args.next().cloned());
                }
            }
            None => {
                out.push(arg.clone());
                let short = flag.chars().next().filter(|_| flag.chars().count() == 1);
                let wants = command.get_arguments().any(|a| {
                    a.get_short() == short
                        && short.is_some()
                        && matches!(a.get_action(), ArgAction::Set | ArgAction::Append)
                });
                if wants {
                    out.extend(args.next().cloned());
                }
            }
        }
    }
    out.extend(args.cloned());
    out
}

fn is_alias(arg: &clap::Arg, name: &str) -> bool {
    arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(args: &[&str]) -> Vec<OsString> {
        std::iter::once("nexcage")
            .chain(args.iter().copied())
            .map(OsString::from)
            .collect()
    }

    #[test]
    fn global_flags_are_taken_joined_split_and_with_one_dash() {
        let request = parse(&strings(&[
            "--log-format=json",
            "--log",
            "/l",
            "-root",
            "/r",
            "--debug",
            "state",
            "--x",
            "c",
        ]))
        .unwrap();
        assert_eq!(request.globals.log_format, LogFormat::Json);
        assert_eq!(request.globals.log, Some("/l".into()));
        assert_eq!(request.globals.root, Some("/r".into()));
        assert!(request.globals.debug);
        assert_eq!(request.rest, ["--x", "c"]);
    }

    #[track_caller]
    fn check_mistake(args: &[&str], expected: &str) {
        let refused = parse(&strings(args)).unwrap_err();
        assert!(refused.mistake);
        assert_eq!(refused.text, expected);
    }

    #[test]
    fn mistakes_have_runcs_words() {
        check_mistake(&["--nosuch", "list"], "flag provided but not defined: -nosuch");
        check_mistake(&["--root"], "flag needs an argument: -root");
        check_mistake(
            &["--rootless", "x", "list"],
            "invalid rootless \"x\": use auto, true or false",
        );
    }

    #[test]
    fn the_flags_of_other_managers_are_accepted() {
        let request = parse(&strings(&["--cgroup-manager", "disabled", "--criu", "x", "list"])).unwrap();
        assert_eq!(request.command, "list");
    }
}
