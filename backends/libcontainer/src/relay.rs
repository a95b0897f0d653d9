//! The program that libcontainer runs as its only OCI hook.
//!
//! libcontainer reaches the moments of the hooks, but runs them without working directory, order of errors or their
//! output. So the config it is given names this relay instead; it hands the prestart and createRuntime moments to the
//! runtime, and runs createContainer hooks itself, since it is started in the container's namespaces.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nexcage_oci::hooks::{self, HookOptions, HookStage};
use oci_spec::OciSpecError;
use oci_spec::runtime::{Hook, HookBuilder, Hooks, HooksBuilder};

use crate::link::{self, FromContainer, HookOrder, ToContainer};

/// First argument by which the program knows that it was started as the relay.
pub const RELAY_ARG: &str = "hook-relay";

const RUNTIME: &str = "runtime";
const CONTAINER: &str = "container";

/// The hooks to give libcontainer in place of the configured ones, or `None` when the config has none that run before
/// the start.
pub(crate) fn replace(configured: Option<&Hooks>, link: i32) -> Result<Option<Hooks>, OciSpecError> {
    let Some(configured) = configured else { return Ok(None) };
    let any = |hooks: &Option<Vec<Hook>>| hooks.as_ref().is_some_and(|h| !h.is_empty());
    let runtime = any(configured.prestart()) || any(configured.create_runtime());
    let container = any(configured.create_container());
    if !runtime && !container {
        return Ok(None);
    }
    let mut hooks = HooksBuilder::default();
    if runtime {
        hooks = hooks.create_runtime(vec![relay(RUNTIME, link)?]);
    }
    if container {
        hooks = hooks.create_container(vec![relay(CONTAINER, link)?]);
    }
    hooks.build().map(Some)
}

fn relay(stage: &str, link: i32) -> Result<Hook, OciSpecError> {
    HookBuilder::default()
        .path(PathBuf::from("/proc/self/exe"))
        .args(
            ["nexcage", RELAY_ARG, stage, &link.to_string()]
                .map(str::to_owned)
                .to_vec(),
        )
        .build()
}

/// Runs the relay; `args` are those after [`RELAY_ARG`].
///
/// Returns the exit code: 0 when the hooks of the stage succeeded.
pub fn run(args: &[String]) -> u8 {
    let [stage, link] = args else { return 2 };
    let Some(link) = link.parse().ok().and_then(nexcage_sys::fds::take_inherited) else {
        return 2;
    };
    u8::from(!relayed(stage, &link))
}

fn relayed(stage: &str, link: &OwnedFd) -> bool {
    match stage {
        RUNTIME => matches!(link::ask(link, &FromContainer::RuntimeHooks), Ok(ToContainer::Go)),
        CONTAINER => match link::ask(link, &FromContainer::ContainerHooks) {
            Ok(ToContainer::Hooks(order)) => run_here(link, &order),
            _ => false,
        },
        _ => false,
    }
}

fn run_here(link: &OwnedFd, order: &HookOrder) -> bool {
    let done = hooks::run(
        HookStage::CreateContainer,
        &order.hooks,
        &order.state,
        &HookOptions::default(),
    )
    .map_err(|e| crate::report::chain(&e));
    let succeeded = done.is_ok();
    matches!(
        link::ask(link, &FromContainer::ContainerHooksDone(done)),
        Ok(ToContainer::Go)
    ) && succeeded
}

/// Clears close-on-exec on the link's container end, so that the relay inherits it.
pub(crate) fn inheritable(link: BorrowedFd<'_>) -> std::io::Result<()> {
    nexcage_sys::fds::set_cloexec(link.as_raw_fd(), false)
}
