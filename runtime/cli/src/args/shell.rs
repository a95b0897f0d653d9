//! Flags of `completion`.

/// Arguments of `completion`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct CompletionArgs {
    /// bash, zsh or fish
    #[arg(value_name = "shell", value_parser = parse_shell)]
    pub shell: Shell,
}

/// A shell whose completion is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

fn parse_shell(text: &str) -> Result<Shell, String> {
    match text {
        "bash" => Ok(Shell::Bash),
        "zsh" => Ok(Shell::Zsh),
        "fish" => Ok(Shell::Fish),
        _ => Err("unknown shell: want bash, zsh or fish".into()),
    }
}
