//! Go's flag dialect, as runc's users and clients write it, turned into words that clap reads one way only.
//!
//! `-flag` is `--flag`, a value may follow or be joined by `=`, a value may begin with a dash, a flag may come twice and
//! then counts as last said, a switch may be `=false`, and flags may come after arguments until the command's limit.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use clap::ArgAction;
use clap::error::{ContextKind, ContextValue};

/// How a flag takes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Present or absent; `=false` takes it back.
    Switch,
    /// A switch whose `=false` differs from absence.
    Toggle,
    /// One value, the last one given; an empty value counts as not given.
    Value,
    /// Every value given, in order.
    List,
}

/// A flag that exists: its long name, how it takes a value, and whether it is one of the program's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    pub(super) inherited: bool,
}

/// One flag that was given.
#[derive(Debug)]
pub(super) struct Given<'a> {
    pub(super) name: &'a str,
    pub(super) value: OsString,
    pub(super) inherited: bool,
    kind: Kind,
}

impl Given<'_> {
    /// Spells the flag as one word that clap cannot misread.
    pub(super) fn into_argument(self) -> OsString {
        let mut word = OsString::from("--");
        word.push(self.name);
        if self.kind != Kind::Switch {
            word.push("=");
            word.push(self.value);
        }
        word
    }
}

/// Where flags end and everything else belongs to the command.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// Never: flags and arguments come in any order.
    Never,
    /// After this many arguments.
    Arguments(usize),
    /// Never, but at the first argument once one of these flags was given.
    FirstAfter(&'static [&'static str]),
}

/// A command line, sorted.
#[derive(Debug)]
pub(super) struct Walked<'a> {
    pub(super) flags: Vec<Given<'a>>,
    pub(super) arguments: Vec<OsString>,
    /// Whether a flag of [`Limit::FirstAfter`] was given.
    pub(super) stopped_by_flag: bool,
}

/// A word that looks like a flag and cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum FlagError {
    /// No flag has this name.
    #[error("flag provided but not defined: -{0}")]
    Undefined(String),
    /// The value is missing: the flag was the last word.
    #[error("flag needs an argument: {0}")]
    NeedsValue(String),
    /// The value has the wrong form.
    #[error("invalid value {value:?} for flag -{name}: {reason}")]
    BadValue {
        name: String,
        value: String,
        reason: String,
    },
}

/// Sorts words into flags and arguments.
pub(super) fn walk<'a>(
    words: &[OsString],
    limit: Limit,
    find: &dyn Fn(&str) -> Option<Known<'a>>,
) -> Result<Walked<'a>, FlagError> {
    let mut walked = Walked {
        flags: Vec::new(),
        arguments: Vec::new(),
        stopped_by_flag: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let name = match word.as_bytes() {
            b"--" => break,
            _ if walked.is_full(limit) => None,
            [b'-', b'-', name @ ..] => Some(name),
            [b'-', name @ ..] if name.first().is_some_and(u8::is_ascii_alphabetic) => Some(name),
            // A number below zero ends the flags; a lone dash is an argument like any other.
            [b'-', _, ..] => None,
            _ if walked.is_last(limit) => None,
            _ => {
                walked.arguments.push(word.clone());
                continue;
            }
        };
        let Some(name) = name else {
            walked.arguments.push(word.clone());
            break;
        };
        walked.take_flag(word, name, &mut words, find)?;
        if let Limit::FirstAfter(names) = limit {
            walked.stopped_by_flag = walked.flags.iter().any(|flag| names.contains(&flag.name));
        }
    }
    walked.arguments.extend(words.cloned());
    Ok(walked)
}

impl<'a> Walked<'a> {
    /// Whether no word can be a flag any more.
    fn is_full(&self, limit: Limit) -> bool {
        matches!(limit, Limit::Arguments(count) if count > 0 && self.arguments.len() == count)
    }

    /// Whether the next argument is followed by no flag of ours.
    fn is_last(&self, limit: Limit) -> bool {
        matches!(limit, Limit::Arguments(0)) || self.stopped_by_flag
    }

    fn take_flag(
        &mut self,
        word: &OsStr,
        name: &[u8],
        rest: &mut std::slice::Iter<'_, OsString>,
        find: &dyn Fn(&str) -> Option<Known<'a>>,
    ) -> Result<(), FlagError> {
        let mut parts = name.splitn(2, |byte| *byte == b'=');
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default());
        let joined = parts.next().map(|value| OsString::from_vec(value.to_vec()));
        let known = find(&name).ok_or_else(|| FlagError::Undefined(name.into_owned()))?;
        let value = match (known.kind, joined) {
            (Kind::Switch | Kind::Toggle, joined) => joined.filter(|value| !value.is_empty()).unwrap_or("true".into()),
            (Kind::Value | Kind::List, Some(value)) => value,
            (Kind::Value | Kind::List, None) => rest
                .next()
                .cloned()
                .ok_or_else(|| FlagError::NeedsValue(word.to_string_lossy().into_owned()))?,
        };
        self.keep(known, value)
    }

    fn keep(&mut self, known: Known<'a>, value: OsString) -> Result<(), FlagError> {
        if known.kind != Kind::List {
            self.flags
                .retain(|flag| flag.name != known.name || flag.inherited != known.inherited);
        }
        let value = match known.kind {
            Kind::Switch | Kind::Toggle => match (known.kind, parse_switch(known.name, &value)?) {
                (Kind::Switch, false) => return Ok(()),
                (_, on) => on.to_string().into(),
            },
            // The program's own flags judge an empty value themselves.
            Kind::Value if value.is_empty() && !known.inherited => return Ok(()),
            Kind::Value | Kind::List => value,
        };
        self.flags.push(Given {
            name: known.name,
            value,
            inherited: known.inherited,
            kind: known.kind,
        });
        Ok(())
    }
}

/// Reads what Go's `strconv.ParseBool` reads.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn parse_switch(name: &str, value: &OsStr) -> Result<bool, FlagError> {
    let text = value.to_string_lossy();
    parse_bool(&text).ok_or_else(|| FlagError::BadValue {
        name: name.into(),
        value: text.into_owned(),
        reason: "want true or false".into(),
    })
}

/// Finds a flag, by long name or letter, among a clap command's.
pub(super) fn find_in<'a>(command: &'a clap::Command, name: &str) -> Option<Known<'a>> {
    let letter = {
        let mut chars = name.chars();
        chars.next().filter(|_| chars.next().is_none())
    };
    command.get_arguments().find_map(|arg| {
        let long = arg.get_long()?;
        let is_it = long == name || (letter.is_some() && arg.get_short() == letter);
        is_it.then(|| Known {
            name: long,
            kind: kind_of(arg),
            inherited: false,
        })
    })
}

fn kind_of(arg: &clap::Arg) -> Kind {
    match arg.get_action() {
        ArgAction::SetTrue => Kind::Switch,
        ArgAction::Append => Kind::List,
        _ if arg.get_num_args().is_some_and(|count| count.min_values() == 0) => Kind::Toggle,
        _ => Kind::Value,
    }
}

/// Says in runc's words what clap found wrong with a value.
pub(super) fn clap_message(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (Some(argument), Some(value)) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue)) else {
        return error
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
    };
    let reason = std::error::Error::source(error).map_or_else(|| "parse error".to_owned(), ToString::to_string);
    let word = argument.split([' ', '=']).next().unwrap_or_default();
    match word.strip_prefix("--") {
        Some(name) => FlagError::BadValue {
            name: name.to_owned(),
            value: value.to_owned(),
            reason,
        }
        .to_string(),
        None => reason,
    }
}
