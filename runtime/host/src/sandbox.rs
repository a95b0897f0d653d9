//! Confining this process before any code of a plugin is in it.
//!
//! The namespaces are those that the runtime started it in. What is done here is done once, in this order, and each step
//! but those of [`Mechanism`] is required.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    Scope,
};
use nexcage_plugin_types::sandbox::{Identity, Mechanism, Sandbox, Strength};
use nexcage_sys::jail::{self, Limits, RootError};
use nexcage_sys::seccomp::{SeccompError, Threads};
use nexcage_sys::{dumpable, fds, process};

use crate::seccomp::{Stage, restrict};

/// The newest Landlock that this code asks for: its scopes hold signals and abstract sockets.
const LANDLOCK: ABI = ABI::V6;

/// The plugin's name in its own root.
const OBJECT: &str = "plugin.so";

/// The host name that a plugin sees.
const HOSTNAME: &str = "plugin";

/// What of the sandbox is in force. The program always has both; tests take one away, to see that the other holds too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// Both.
    All,
    /// Root, limits, user, Linux capabilities, MDWE and Landlock, without the filter of system calls.
    WithoutFilter,
    /// The filter of system calls alone.
    FilterAlone,
}

/// A step that was not done. The process loads nothing and ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The plugin's root was not made.
    #[error("leave the node's files")]
    Root {
        /// The step.
        source: RootError,
    },
    /// The host name was not set.
    #[error("set the host name")]
    Hostname {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The limits were not lowered.
    #[error("lower the limits")]
    Limits {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The bounding set was not emptied.
    #[error("empty the bounding set")]
    Bounding {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The user was not changed.
    #[error("become user {id}")]
    User {
        /// The user's number.
        id: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The Linux capabilities were not given up.
    #[error("give up Linux capabilities")]
    Capabilities {
        /// The kernel's answer.
        source: io::Error,
    },
    /// Programs could still gain privileges.
    #[error("set no_new_privs")]
    NoNewPrivs {
        /// The kernel's answer.
        source: io::Error,
    },
    /// Others could still look into this process.
    #[error("make the process undumpable")]
    Dumpable {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel did not answer whether it has the mechanism.
    #[error("refuse memory that is written and run")]
    Mdwe {
        /// The kernel's answer.
        source: io::Error,
    },
    /// Landlock is there and did not take the rules.
    #[error("restrict the process by Landlock")]
    Landlock {
        /// The step.
        source: landlock::RulesetError,
    },
    /// The root cannot be opened for Landlock's rule.
    #[error("open the root for Landlock")]
    LandlockRoot {
        /// The step.
        source: landlock::PathFdError,
    },
    /// A mechanism that the operator requires is not there.
    #[error("confine the plugin: this kernel lacks {0}, which plugin_manager.sandbox_required asks for")]
    Missing(Mechanism),
    /// Descriptors could not be closed.
    #[error("close descriptors")]
    Descriptors {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The system calls were not restricted.
    #[error("restrict system calls")]
    Seccomp {
        /// The step.
        source: SeccompError,
    },
}

/// The plugin's object as the confined process sees it.
#[must_use]
pub fn object() -> &'static Path {
    Path::new("/plugin.so")
}

/// Confines this process; [`crate::restrict`] does the rest once the plugin has been entered.
///
/// * `keep`: descriptors that stay open, besides 0 to 2.
///
/// Returns how far each mechanism holds that kernels may lack. The process must have one thread.
///
/// # Errors
///
/// [`SandboxError`]; the process is confined in part then, and must end.
pub fn enter(sandbox: &Sandbox, keep: &[RawFd], layers: Layers) -> Result<BTreeMap<Mechanism, Strength>, SandboxError> {
    let held = match layers {
        Layers::FilterAlone => BTreeMap::new(),
        Layers::All | Layers::WithoutFilter => give_up(sandbox)?,
    };
    jail::set_no_new_privs().map_err(|source| SandboxError::NoNewPrivs { source })?;
    fds::close_all_except(keep).map_err(|source| SandboxError::Descriptors { source })?;
    if layers != Layers::WithoutFilter {
        restrict(Stage::Load, Threads::Calling).map_err(|source| SandboxError::Seccomp { source })?;
    }
    Ok(held)
}

/// Gives up everything but system calls.
fn give_up(sandbox: &Sandbox) -> Result<BTreeMap<Mechanism, Strength>, SandboxError> {
    jail::enter_root(Path::new(&sandbox.object), OBJECT).map_err(|source| SandboxError::Root { source })?;
    jail::set_hostname(HOSTNAME).map_err(|source| SandboxError::Hostname { source })?;
    jail::lower_limits(&limits(sandbox)).map_err(|source| SandboxError::Limits { source })?;
    give_up_identity(sandbox.identity)?;
    jail::set_no_new_privs().map_err(|source| SandboxError::NoNewPrivs { source })?;
    dumpable::set_dumpable(false).map_err(|source| SandboxError::Dumpable { source })?;
    let held = BTreeMap::from([
        (Mechanism::Mdwe, mdwe()?),
        (Mechanism::Landlock, restrict_by_landlock()?),
    ]);
    let is_missing = |mechanism: &&Mechanism| held.get(mechanism) == Some(&Strength::None);
    match sandbox.required.iter().find(is_missing) {
        Some(missing) => Err(SandboxError::Missing(*missing)),
        None => Ok(held),
    }
}

/// Addresses of the host itself and its libraries, in MiB.
const OWN_ADDRESSES: u64 = 256;

/// Addresses that the C library sets aside for a thread: its stack and its part of the heap, in MiB.
const THREAD_ADDRESSES: u64 = 72;

fn limits(sandbox: &Sandbox) -> Limits {
    let limits = &sandbox.limits;
    let (memory, threads) = (u64::from(limits.max_memory_mb), u64::from(limits.max_threads));
    let addresses = OWN_ADDRESSES
        .saturating_add(memory)
        .saturating_add(threads.saturating_mul(THREAD_ADDRESSES));
    Limits {
        data: memory << 20,
        addresses: addresses.saturating_mul(1 << 20),
        descriptors: limits.max_file_descriptors.into(),
        threads,
    }
}

fn give_up_identity(identity: Identity) -> Result<(), SandboxError> {
    jail::drop_bounding_set().map_err(|source| SandboxError::Bounding { source })?;
    if let Identity::Own(id) = identity {
        jail::become_user(id).map_err(|source| SandboxError::User { id, source })?;
        // The kernel has forgotten it with the old user. HELLO comes after this, so a runtime that has gone is noticed.
        process::kill_me_with_parent(true);
    }
    jail::drop_capabilities().map_err(|source| SandboxError::Capabilities { source })
}

fn mdwe() -> Result<Strength, SandboxError> {
    let is_held = jail::refuse_exec_gain().map_err(|source| SandboxError::Mdwe { source })?;
    Ok(if is_held { Strength::Full } else { Strength::None })
}

/// Lets this process read files of its root, and refuses all else that Landlock knows.
fn restrict_by_landlock() -> Result<Strength, SandboxError> {
    let failed = |source| SandboxError::Landlock { source };
    let root = PathFd::new("/").map_err(|source| SandboxError::LandlockRoot { source })?;
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(LANDLOCK)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(LANDLOCK)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rule(PathBeneath::new(root, AccessFs::ReadFile)))
        .map_err(failed)?;
    let status = ruleset.restrict_self().map_err(failed)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Strength::Full,
        RulesetStatus::PartiallyEnforced => Strength::Partial,
        RulesetStatus::NotEnforced => Strength::None,
    })
}
