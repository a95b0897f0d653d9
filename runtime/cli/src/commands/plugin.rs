//! `plugin`: looking after plugins.

mod list;
mod package;
mod records;
mod run;

use std::process::ExitCode;

use anyhow::{Result, bail};
use nexcage_plugin_types::text::PluginName;
use nexcage_plugins::package::Package;
use nexcage_plugins::registry::Registry;

use crate::args::{Globals, PluginAction, PluginArgs};

pub(super) fn run(globals: &Globals, args: &PluginArgs) -> Result<ExitCode> {
    check_arity(args)?;
    let done = |result: Result<()>| result.map(|()| ExitCode::SUCCESS);
    let name = args.names.first().map_or("", String::as_str);
    match args.action {
        PluginAction::List => done(list::list(globals, args.format)),
        PluginAction::Info => done(list::info(globals, name, args.format)),
        PluginAction::Enable => done(list::enable(globals, name, true)),
        PluginAction::Disable => done(list::enable(globals, name, false)),
        PluginAction::Reload => done(run::reload(globals, &args.names)),
        PluginAction::Health => run::health(globals, &args.names, args.format),
        PluginAction::Stats => done(records::stats(globals, &args.names, args.format)),
        PluginAction::Logs => done(records::logs(globals, name, args.lines, args.format)),
        PluginAction::Validate => done(package::validate(name.as_ref())),
        PluginAction::Migrate => done(package::migrate(name.as_ref())),
        PluginAction::Test => run::test(globals, name.as_ref()),
        PluginAction::Violations => done(records::violations(globals, &args.names, args.lines, args.format)),
        PluginAction::Audit if args.verify => records::verify(globals, args.format),
        PluginAction::Audit => done(records::audit(globals, &args.names, args.lines, args.format)),
    }
}

fn check_arity(args: &PluginArgs) -> Result<()> {
    let (least, most) = args.action.arity();
    let action = args.action.name();
    match args.names.len() {
        count if count < least => bail!("\"nexcage plugin {action}\" requires a name: see \"nexcage plugin --help\""),
        count if count > most => bail!("\"nexcage plugin {action}\" takes {most} name(s), {count} are given"),
        _ => Ok(()),
    }
}

/// The plugins that are named; all that are enabled where none is.
fn chosen<'a>(registry: &'a Registry, names: &[String]) -> Result<Vec<&'a Package>> {
    if names.is_empty() {
        let is_enabled = |package: &&Package| registry.configuration().is_enabled(&package.manifest().name);
        return Ok(registry.plugins().filter(is_enabled).collect());
    }
    let found = names.iter().map(|name| Ok(registry.find(name)?));
    found.collect()
}

/// The name of a plugin that need not be there any more.
fn name(text: &str) -> Result<PluginName> {
    Ok(text.parse()?)
}
