//! Flags of `plugin` and `config`.

use super::query::Format;

/// What is done with plugins. The number says how many arguments follow: at least, at most.
macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident $name:literal $least:literal $most:expr,)*) => {
        /// What is done with plugins.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum PluginAction {
            $($(#[$doc])* $variant,)*
        }

        impl PluginAction {
            /// Every action's name, in the order of help.
            pub const NAMES: [&str; [$($name),*].len()] = [$($name),*];

            fn parse(text: &str) -> Option<Self> {
                match text {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name as the user types it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// How many arguments follow it, at least and at most.
            #[must_use]
            pub const fn arity(self) -> (usize, usize) {
                match self {
                    $(Self::$variant => ($least, $most),)*
                }
            }
        }
    };
}

actions! {
    /// List what is in the plugin directory.
    List "list" 0 0,
    /// Show what a plugin declares, has and is confined by.
    Info "info" 1 1,
    /// Let a plugin be loaded.
    Enable "enable" 1 1,
    /// Keep a plugin from being loaded.
    Disable "disable" 1 1,
    /// Try a plugin anew, with the configuration that holds now.
    Reload "reload" 0 usize::MAX,
    /// Ask plugins how they are.
    Health "health" 0 usize::MAX,
    /// Show how calls of plugins went.
    Stats "stats" 0 usize::MAX,
    /// Show what a plugin logged.
    Logs "logs" 1 1,
    /// Check manifest and files of a package.
    Validate "validate" 1 1,
    /// Print a manifest in its new form.
    Migrate "migrate" 1 1,
    /// Load a package in its sandbox, and try all that it has.
    Test "test" 1 1,
    /// Show what plugins tried and may not.
    Violations "violations" 0 usize::MAX,
    /// Show the audit log, or verify it.
    Audit "audit" 0 usize::MAX,
}

/// Arguments of `plugin`.
#[derive(Clone, Debug, clap::Args)]
pub struct PluginArgs {
    /// how the answer is printed: table or json
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = Format::parse)]
    pub format: Format,
    /// how many lines of a log are shown, the newest
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
    pub lines: usize,
    /// look whether the audit log was changed, instead of showing it
    #[arg(long)]
    pub verify: bool,
    /// list, info, enable, disable, reload, health, stats, logs, validate, migrate, test, violations or audit
    #[arg(value_name = "action", value_parser = parse_action)]
    pub action: PluginAction,
    /// names of plugins, or the path of a package
    #[arg(value_name = "name")]
    pub names: Vec<String>,
}

fn parse_action(text: &str) -> Result<PluginAction, String> {
    PluginAction::parse(text).ok_or_else(|| format!("unknown action: want one of {}", PluginAction::NAMES.join(", ")))
}

/// What is done with the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigAction {
    /// Say whether it is good.
    Check,
    /// Print what holds.
    Show,
}

/// Arguments of `config`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ConfigArgs {
    /// check or show
    #[arg(value_name = "action", value_parser = parse_config_action)]
    pub action: ConfigAction,
}

fn parse_config_action(text: &str) -> Result<ConfigAction, String> {
    match text {
        "check" => Ok(ConfigAction::Check),
        "show" => Ok(ConfigAction::Show),
        _ => Err("unknown action: want check or show".into()),
    }
}
