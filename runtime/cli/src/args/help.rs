//! Help texts, rendered by clap from the same definitions that read the command line.

use clap::{Arg, ArgAction};

use super::dialect::Kind;
use super::entries::{self, ENTRIES, Entry};
use super::globals::{self, Described};

const ABOUT: &str = "OCI container runtime";
const NOTES: &str = "To start a container from a bundle (a directory with config.json and a root filesystem):\n\n    \
                     nexcage run --bundle DIR <container-id>\n\n\
                     \"nexcage help COMMAND\" shows the options of a command.";

/// Builds the clap command of the whole program, for man pages and shell completions.
#[must_use]
pub fn full_command() -> clap::Command {
    let program = clap::Command::new("nexcage")
        .about(ABOUT)
        .after_help(NOTES)
        .override_usage("nexcage [global options] <command> [options] [arguments...]")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .subcommand_help_heading("Commands")
        .next_help_heading("Global options")
        .args(globals::FLAGS.iter().map(described));
    let program = ENTRIES
        .iter()
        .fold(program, |program, entry| program.subcommand(documented(entry)));
    program.subcommand(
        clap::Command::new("help")
            .about("Show the commands, or the options of one")
            .disable_help_flag(true),
    )
}

fn described(flag: &Described) -> Arg {
    let arg = Arg::new(flag.name).long(flag.name).help(flag.help).hide(flag.hidden);
    let arg = if flag.kind == Kind::Switch {
        arg.action(ArgAction::SetTrue)
    } else {
        arg.value_name(flag.value)
    };
    match flag.letter {
        Some(letter) => arg.short(letter),
        None => arg,
    }
}

fn documented(entry: &Entry) -> clap::Command {
    let usage = format!("nexcage {} {}", entry.name, entry.usage);
    entry
        .command()
        .about(entry.about)
        .after_help(entry.notes)
        .override_usage(usage.trim_end().to_owned())
        .disable_help_subcommand(true)
        .arg(
            Arg::new("help")
                .short('h')
                .long("help")
                .action(ArgAction::SetTrue)
                .help("show help"),
        )
}

/// Renders the help of a sub-command; `None` when there is none of that name.
pub(super) fn of_command(name: &str) -> Option<String> {
    entries::find(name).map(of_entry)
}

/// Renders the help of a sub-command.
pub(super) fn of_entry(entry: &Entry) -> String {
    documented(entry).render_help().to_string()
}

/// Renders the program's own help.
pub(super) fn of_program() -> String {
    full_command().render_help().to_string()
}
