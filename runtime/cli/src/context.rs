//! What every command starts from.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use nexcage_backend_libcontainer::Libcontainer;
use nexcage_cgroups::Driver;
use nexcage_oci::Bundle;
use nexcage_plugin_types::Configuration;
use nexcage_plugin_types::message::{Failure, LogLevel};
use nexcage_plugins::audit::Audit;
use nexcage_plugins::broker::Containers;
use nexcage_plugins::configuration;
use nexcage_plugins::connection::Reply;
use nexcage_plugins::journal::Journal;
use nexcage_plugins::ledger::Ledger;
use nexcage_plugins::process::Privileges;
use nexcage_plugins::registry::Registry;
use nexcage_plugins::running::Node;
use nexcage_runtime::{Runtime, Store};
use nexcage_sys::pidfd::{ExitStatus, PidFd};
use nexcage_sys::userns;

use crate::args::{Cgroups, Globals};
use crate::{report, root};

/// The plugin host's program.
const PLUGIN_HOST: &str = "nexcage-plugin-host";

/// Whether this process lacks privileges over the node.
fn is_rootless(globals: &Globals) -> bool {
    // When the map cannot be read, privileges over the node cannot be told from those over a namespace: assume less.
    globals
        .rootless
        .unwrap_or_else(|| userns::euid() != 0 || userns::is_in_user_namespace().unwrap_or(true))
}

/// The runtime on the state directory of the command line.
pub(crate) fn runtime(globals: &Globals) -> Result<Runtime> {
    let store = Store::new(root::state_root(globals)?);
    Ok(Runtime::new(store, Box::new(Libcontainer), is_rootless(globals)))
}

/// The cgroup driver of the command line.
pub(crate) fn driver(globals: &Globals) -> Driver {
    match globals.cgroups {
        Cgroups::Systemd => Driver::Systemd,
        Cgroups::Fs | Cgroups::Disabled => Driver::Cgroupfs,
    }
}

/// Protects the program and executes it again if need be; for commands that enter containers.
pub(crate) fn seal() -> Result<()> {
    let argv: Vec<_> = std::env::args_os().collect();
    nexcage_sys::seal::ensure_sealed(&argv)
        .map(drop)
        .context("protect the running program")
}

/// Loads a bundle, its warnings on standard error.
pub(crate) fn load_bundle(path: Option<&Path>) -> Result<Bundle> {
    let path = path.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let bundle = Bundle::load(&path)?;
    for warning in &bundle.warnings {
        report::warning(&warning.to_string());
    }
    Ok(bundle)
}

/// Socket of whoever waits for the container to be ready.
pub(crate) fn notify_socket() -> Option<PathBuf> {
    std::env::var_os("NOTIFY_SOCKET")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Starts a container and, where somebody waits for its readiness, returns once it is ready or has ended.
pub(crate) fn start(runtime: &Runtime, id: &str) -> Result<()> {
    let Some(relay) = runtime.listen_for_ready(id, notify_socket().as_deref(), None)? else {
        return Ok(runtime.start(id)?);
    };
    let init = PidFd::open(runtime.snapshot(id)?.pid()).context("open init's pidfd")?;
    runtime.start(id)?;
    relay.wait(&init)?;
    Ok(())
}

/// The program's exit code for a process that ended.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(u8::try_from(status.code()).unwrap_or(u8::MAX))
}

/// The operator's configuration.
pub(crate) fn configuration(globals: &Globals) -> Result<Configuration> {
    Ok(configuration::load(globals.config.as_deref())?.configuration)
}

/// The plugins that are there; a folder that is not is worth a warning.
pub(crate) fn registry(globals: &Globals) -> Result<Registry> {
    let registry = Registry::discover(configuration(globals)?)?;
    if registry.is_missing() {
        let folder = &registry.configuration().plugin_manager.plugin_dir;
        report::warning(&format!(
            "plugin directory {folder:?} is not there: no plugin will be found"
        ));
    }
    Ok(registry)
}

/// What plugins run on, its folder of the state root made.
pub(crate) fn node(globals: &Globals) -> Result<Node> {
    let root = root::state_root(globals)?;
    // No container has such an id.
    let folder = root.join("@plugins");
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.with_context(|| format!("make {folder:?}"))?;
    Ok(Node {
        program: plugin_host(),
        configuration: globals.config.clone(),
        containers: containers(globals, &root),
        privileges: match userns::euid() == 0 && !userns::is_in_user_namespace().unwrap_or(true) {
            true => Privileges::Root,
            false => Privileges::User,
        },
        nexcage: crate::version::semantic(),
        patience: None,
        log_level: LogLevel::Info,
        audit: Audit::new(folder.join("audit.jsonl")),
        ledger: Ledger::new(folder.clone()),
        journal: Journal::new(folder),
    })
}

/// This program, as plugins' containers are handed to it; `None` where it cannot be found again.
fn containers(globals: &Globals, root: &Path) -> Option<Containers> {
    let mut flags = vec!["--root".to_owned(), root.to_str()?.to_owned()];
    match globals.cgroups {
        Cgroups::Systemd => flags.push("--systemd-cgroup".to_owned()),
        Cgroups::Disabled => flags.extend(["--cgroup-manager", "disabled"].map(str::to_owned)),
        Cgroups::Fs => {}
    }
    Some(Containers {
        program: std::env::current_exe().ok()?,
        flags,
    })
}

/// The plugin host: beside this program, or where packages put it.
fn plugin_host() -> PathBuf {
    let beside = std::env::current_exe().map(|program| program.with_file_name(PLUGIN_HOST));
    match beside {
        Ok(program) if program.is_file() => program,
        _ => Path::new("/usr/libexec/nexcage").join(PLUGIN_HOST),
    }
}

/// What a plugin answered, or the error that its answer is.
pub(crate) fn answer(reply: Reply) -> Result<Vec<u8>> {
    if reply.status == 0 {
        return Ok(reply.body);
    }
    let failure: Failure = serde_json::from_slice(&reply.body).unwrap_or(Failure { message: String::new() });
    let status = i32::try_from(reply.status).unwrap_or(i32::MAX);
    bail!("the plugin answered with status {status}: {}", failure.message)
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
