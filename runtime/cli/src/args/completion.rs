//! What may come next on a command line.

use std::ffi::OsString;

use super::dialect::Kind;
use super::entries::{self, ENTRIES, Entry};
use super::globals::{self, FLAGS, Globals};
use super::plugin::PluginAction;

/// What the word at the cursor can be.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One of these words.
    Words(Vec<String>),
    /// A command: one of nexcage's own, which these are, or one of a plugin.
    Command(Vec<String>),
    /// The id of a container.
    Container,
    /// The name of a plugin.
    Plugin,
    /// What a plugin's command takes.
    OfPlugin {
        /// The command.
        command: String,
        /// Its arguments, the one at the cursor last.
        args: Vec<String>,
    },
}

/// Finds what the last word can be.
///
/// * `words`: the command line after the program's name, as far as the cursor.
///
/// Returns the global flags before it, too: they say where containers and plugins are.
#[must_use]
pub fn wanted(words: &[String]) -> (Globals, Wanted) {
    let mut globals = Globals::default();
    let Some((last, before)) = words.split_last() else {
        return (globals, Wanted::Command(commands()));
    };
    let rest = skip_globals(&mut globals, before);
    let wanted = match rest.split_first() {
        None if last.starts_with('-') => Wanted::Words(FLAGS.iter().map(|flag| format!("--{}", flag.name)).collect()),
        None => Wanted::Command(commands()),
        Some((command, args)) => match entries::find(command) {
            Some(entry) if last.starts_with('-') => Wanted::Words(flags(entry)),
            Some(entry) => argument(entry, args),
            None => Wanted::OfPlugin {
                command: command.clone(),
                args: args.iter().chain([last]).cloned().collect(),
            },
        },
    };
    (globals, wanted)
}

fn commands() -> Vec<String> {
    let names = ENTRIES.iter().map(|entry| entry.name.to_owned());
    names.chain(["help".to_owned()]).collect()
}

/// Takes the flags before the command.
fn skip_globals<'a>(globals: &mut Globals, words: &'a [String]) -> &'a [String] {
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
            break;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let takes_value = globals::find(name).is_some_and(|known| known.kind == Kind::Value);
        let (value, after) = match (value, takes_value, after.split_first()) {
            (None, true, Some((value, after))) => (Some(value.clone()), after),
            (value, _, _) => (value, after),
        };
        if let (Some(known), Some(value)) = (globals::find(name), value) {
            // A value that cannot be meant is for the command itself to refuse.
            globals.set(known.name, OsString::from(value)).unwrap_or_default();
        }
        rest = after;
    }
    rest
}

fn flags(entry: &Entry) -> Vec<String> {
    let command = entry.command();
    let long = command.get_arguments().filter_map(clap::Arg::get_long);
    long.chain(["help"]).map(|name| format!("--{name}")).collect()
}

fn argument(entry: &Entry, before: &[String]) -> Wanted {
    let count = before.iter().filter(|word| !word.starts_with('-')).count();
    let takes_id = entry.usage.contains("<container-id>");
    match (entry.name, count) {
        ("plugin", 0) => Wanted::Words(PluginAction::NAMES.map(str::to_owned).to_vec()),
        ("plugin", _) => Wanted::Plugin,
        ("config", 0) => Wanted::Words(["check", "show"].map(str::to_owned).to_vec()),
        ("completion", 0) => Wanted::Words(["bash", "zsh", "fish"].map(str::to_owned).to_vec()),
        ("create" | "run" | "restore", _) => Wanted::Words(Vec::new()),
        (_, 0) if takes_id => Wanted::Container,
        _ => Wanted::Words(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &Wanted) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(&wanted(&words).1, expected, "{line}");
    }

    #[test]
    fn each_place_has_its_words() {
        check("", &Wanted::Command(commands()));
        check("sta", &Wanted::Command(commands()));
        check("--root /r --debug st", &Wanted::Command(commands()));
        check("state ", &Wanted::Container);
        check("--log x kill ", &Wanted::Container);
        check("kill c1 ", &Wanted::Words(Vec::new()));
        check("plugin health ", &Wanted::Plugin);
        check("run ", &Wanted::Words(Vec::new()));
        let args = vec!["a".to_owned(), String::new()];
        check(
            "hello a ",
            &Wanted::OfPlugin {
                command: "hello".into(),
                args,
            },
        );
        let words = |line: &str| match wanted(&[line.to_owned(), "-".to_owned()]).1 {
            Wanted::Words(words) => words,
            other => panic!("{other:?}"),
        };
        assert!(words("exec").contains(&"--tty".to_owned()));
        assert!(words("--debug").contains(&"--root".to_owned()));
    }

    #[test]
    fn flags_say_where_to_look() {
        let words = ["--root=/r", "--config", "/c", "state", ""].map(str::to_owned);
        let globals = wanted(&words).0;
        assert_eq!(globals.root, Some("/r".into()));
        assert_eq!(globals.config, Some("/c".into()));
    }
}
