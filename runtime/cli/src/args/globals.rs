//! The flags that belong to every command. They are few and always present, so they are read without clap.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use super::dialect::{self, FlagError, Kind, Known};

/// How a failure is written to the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `time=... level=error msg=...`, the default.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Whether, and through whom, containers get a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cgroups {
    /// The runtime writes the cgroup filesystem itself.
    #[default]
    Fs,
    /// systemd makes the cgroup: `--systemd-cgroup`, `--cgroup-manager systemd`.
    Systemd,
    /// The caller keeps cgroups to itself: `--cgroup-manager disabled`.
    Disabled,
}

/// The flags that belong to every command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globals {
    /// Whether every step is logged.
    pub debug: bool,
    /// The file failures are appended to.
    pub log: Option<PathBuf>,
    /// The form of a line in the log.
    pub log_format: LogFormat,
    /// The state root the user named, absolute and clean; `None` is the default of [`crate::root`].
    pub root: Option<PathBuf>,
    /// Who makes cgroups.
    pub cgroups: Cgroups,
    /// Whether cgroup permission errors are ignored; `None` decides by uid and user namespace.
    pub rootless: Option<bool>,
    /// The criu program; `None` is the one in PATH.
    pub criu: Option<PathBuf>,
    /// The configuration of plugins; `None` is the default file. Only commands that need it read it.
    pub config: Option<PathBuf>,
}

/// A global flag with a value that cannot be meant.
#[derive(Debug, thiserror::Error)]
pub(super) enum GlobalError {
    /// Neither text nor json.
    #[error("invalid log-format: {0}: want text or json")]
    LogFormat(String),
    /// The state root would be the root directory: deleting state would delete the machine.
    #[error("Option --root argument should not be set to /")]
    Root,
    /// The current directory, which a relative `--root` is relative to, is gone.
    #[error("resolve --root {path:?} against the current directory: {source}")]
    CurrentDirectory { path: PathBuf, source: std::io::Error },
    /// A flag with a value of the wrong form.
    #[error(transparent)]
    Flag(FlagError),
}

/// A global flag as help shows it.
pub(super) struct Described {
    pub(super) name: &'static str,
    pub(super) letter: Option<char>,
    pub(super) kind: Kind,
    pub(super) value: &'static str,
    pub(super) help: &'static str,
    pub(super) hidden: bool,
}

const fn flag(name: &'static str, kind: Kind, value: &'static str, help: &'static str) -> Described {
    Described {
        name,
        letter: None,
        kind,
        value,
        help,
        hidden: false,
    }
}

/// Every global flag.
pub(super) const FLAGS: [Described; 11] = [
    flag(
        "root",
        Kind::Value,
        "DIR",
        "directory for container state, best on a tmpfs [default: /run/nexcage; rootless: $XDG_RUNTIME_DIR/nexcage]",
    ),
    flag(
        "log",
        Kind::Value,
        "FILE",
        "append the error of a failed command to FILE, as one line",
    ),
    flag(
        "log-format",
        Kind::Value,
        "FORMAT",
        "form of that line: text or json [default: text]",
    ),
    flag(
        "debug",
        Kind::Switch,
        "",
        "log every step, to --log if given, else to stderr",
    ),
    flag(
        "systemd-cgroup",
        Kind::Switch,
        "",
        "let systemd make cgroups; cgroupsPath is then \"slice:prefix:name\"",
    ),
    flag(
        "rootless",
        Kind::Value,
        "MODE",
        "ignore cgroup permission errors: true, false or auto [default: auto]",
    ),
    flag(
        "config",
        Kind::Value,
        "FILE",
        "configuration of plugins [default: /etc/nexcage/config.json]",
    ),
    Described {
        hidden: true,
        ..flag(
            "cgroup-manager",
            Kind::Value,
            "NAME",
            "who makes cgroups: cgroupfs, systemd or disabled",
        )
    },
    Described {
        hidden: true,
        ..flag("criu", Kind::Value, "FILE", "criu program for checkpoint and restore")
    },
    Described {
        letter: Some('h'),
        ..flag("help", Kind::Switch, "", "show help")
    },
    Described {
        letter: Some('v'),
        ..flag("version", Kind::Switch, "", "print the version")
    },
];

/// Finds a global flag by name or letter.
pub(super) fn find(name: &str) -> Option<Known<'static>> {
    let mut letters = name.chars();
    let letter = letters.next().filter(|_| letters.next().is_none());
    FLAGS
        .iter()
        .find(|flag| flag.name == name || (letter.is_some() && flag.letter == letter))
        .map(|flag| Known {
            name: flag.name,
            kind: flag.kind,
            inherited: true,
        })
}

/// Finds a global flag that may also come after the sub-command.
pub(super) fn find_inherited(name: &str) -> Option<Known<'static>> {
    find(name).filter(|flag| flag.name != "version")
}

impl Globals {
    /// Takes one flag of [`FLAGS`].
    pub(super) fn set(&mut self, name: &str, value: OsString) -> Result<(), GlobalError> {
        match name {
            "debug" => self.debug = true,
            // conmon says both when the caller keeps cgroups to itself.
            "systemd-cgroup" if self.cgroups == Cgroups::Disabled => {}
            "systemd-cgroup" => self.cgroups = Cgroups::Systemd,
            "log" => self.log = path(value),
            "criu" => self.criu = path(value),
            "config" => self.config = path(value),
            "root" => self.root = Some(state_root(Path::new(&value))?),
            "log-format" => self.log_format = parse_log_format(&value.to_string_lossy())?,
            "rootless" => self.rootless = parse_rootless(&value.to_string_lossy())?,
            _ => self.cgroups = parse_cgroups(&value.to_string_lossy())?,
        }
        Ok(())
    }
}

fn parse_log_format(value: &str) -> Result<LogFormat, GlobalError> {
    match value {
        "json" => Ok(LogFormat::Json),
        "text" | "" => Ok(LogFormat::Text),
        other => Err(GlobalError::LogFormat(other.to_owned())),
    }
}

fn path(value: OsString) -> Option<PathBuf> {
    (!value.is_empty()).then(|| value.into())
}

fn bad_value(name: &str, value: &str, reason: &str) -> GlobalError {
    GlobalError::Flag(FlagError::BadValue {
        name: name.into(),
        value: value.into(),
        reason: reason.into(),
    })
}

fn parse_rootless(value: &str) -> Result<Option<bool>, GlobalError> {
    match value {
        "" => Ok(None),
        auto if auto.eq_ignore_ascii_case("auto") => Ok(None),
        other => dialect::parse_bool(other)
            .map(Some)
            .ok_or_else(|| bad_value("rootless", other, "want true, false or auto")),
    }
}

fn parse_cgroups(value: &str) -> Result<Cgroups, GlobalError> {
    match value {
        "" | "cgroupfs" => Ok(Cgroups::Fs),
        "systemd" => Ok(Cgroups::Systemd),
        "disabled" => Ok(Cgroups::Disabled),
        other => Err(bad_value("cgroup-manager", other, "want cgroupfs, systemd or disabled")),
    }
}

/// Makes the state root absolute and clean without asking the filesystem, as Go's `filepath.Abs` does.
fn state_root(given: &Path) -> Result<PathBuf, GlobalError> {
    let mut root = PathBuf::from("/");
    if !given.as_os_str().as_bytes().starts_with(b"/") {
        root = std::env::current_dir().map_err(|source| GlobalError::CurrentDirectory {
            path: given.to_owned(),
            source,
        })?;
    }
    for part in given.components() {
        match part {
            Component::Normal(name) => root.push(name),
            Component::ParentDir => {
                root.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if root == Path::new("/") || given.as_os_str().is_empty() {
        return Err(GlobalError::Root);
    }
    Ok(root)
}
