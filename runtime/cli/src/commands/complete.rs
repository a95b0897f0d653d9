//! Completion in shells: the scripts, and the words that they ask for.

use std::ffi::OsString;

use anyhow::Result;
use nexcage_plugins::registry::Registry;
use nexcage_runtime::Store;

use super::extension;
use crate::args::{self, CompletionArgs, Globals, Shell, Wanted};
use crate::{context, output, report, root};

/// The most words that are offered.
const MOST: usize = 1000;

const BASH: &str = r#"_nexcage() {
    local IFS=$'\n'
    COMPREPLY=($(compgen -W "$(nexcage __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o bashdefault -o default -F _nexcage nexcage
"#;

const ZSH: &str = r#"#compdef nexcage
_nexcage() {
    local -a offered
    offered=("${(@f)$(nexcage __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$offered" ]]; then
        compadd -a offered
    else
        _files
    fi
}
if [[ "$funcstack[1]" = _nexcage ]]; then
    _nexcage "$@"
else
    compdef _nexcage nexcage
fi
"#;

const FISH: &str = r#"function __nexcage_complete
    set -l words (commandline -opc) (commandline -ct)
    nexcage __complete $words[2..-1] 2>/dev/null
end
complete -c nexcage -a '(__nexcage_complete)'
"#;

/// Prints a shell's script.
pub(super) fn script(args: CompletionArgs) -> Result<()> {
    output::print(match args.shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
    })
}

/// The words that may stand at the end of a command line, one a line; none where nothing is known.
pub(crate) fn lines(words: &[OsString]) -> String {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (globals, wanted) = args::wanted(&words);
    // A shell has no use for an error in the middle of a line.
    let offered = offered(&globals, wanted).unwrap_or_default();
    let typed = words.last().map_or("", String::as_str);
    // A space would need quoting, which differs from shell to shell.
    let is_usable = |word: &&String| word.starts_with(typed) && !word.contains(char::is_whitespace);
    let usable = offered.iter().filter(is_usable).take(MOST);
    usable.map(|word| report::one_line(word) + "\n").collect()
}

fn offered(globals: &Globals, wanted: Wanted) -> Result<Vec<String>> {
    match wanted {
        Wanted::Words(words) => Ok(words),
        Wanted::Command(mut words) => {
            words.extend(extension::names(globals));
            Ok(words)
        }
        Wanted::Container => {
            let ids = Store::new(root::state_root(globals)?).ids()?;
            Ok(ids.iter().map(ToString::to_string).collect())
        }
        Wanted::Plugin => {
            let registry = Registry::discover(context::configuration(globals)?)?;
            Ok(registry
                .plugins()
                .map(|package| package.manifest().name.to_string())
                .collect())
        }
        Wanted::OfPlugin { command, args } => extension::complete(globals, &command, &args),
    }
}
