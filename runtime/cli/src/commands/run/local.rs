//! `run --rootfs` and `run --image`: a bundle for one run, in the foreground, of which nothing stays.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use nexcage_image::{
    Budget, Cache, Image, Overlay, Privilege, Reference, Scratch, User, make_private, make_workdir, restore_implied,
};
use nexcage_oci::{Bundle, Status};
use nexcage_runtime::foreground::Foreground;
use nexcage_runtime::{DeleteOptions, Error, Runtime, StoreError};
use nexcage_sys::file::{self, Durability};
use nexcage_sys::signals::Signal;
use nexcage_sys::{fds, userns};
use serde::{Deserialize, Serialize};

use super::config::{Plan, args_of, texts};
use super::observer::Waiting;
use super::{prepare, privilege, run_in};
use crate::args::{Globals, RunArgs};
use crate::{context, report, root};

const SYSTEM_DATA: &str = "/var/lib/nexcage";
/// At the end of a directory's name, as with Podman: changes go to an overlay.
const OVERLAY_SUFFIX: &[u8] = b":O";
/// Says in a temporary bundle whose it is.
const OWNER: &str = "owner.json";

/// A signal came before there was a container to get it.
#[derive(Debug, thiserror::Error)]
#[error("interrupted by {0}")]
struct Interrupted(Signal);

/// The container of a temporary bundle.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    root: PathBuf,
    id: String,
}

/// What both kinds of run share.
struct Local<'a> {
    globals: &'a Globals,
    args: &'a RunArgs,
    runtime: Runtime,
    foreground: Foreground,
    waiting: Waiting,
    privilege: Privilege,
    data: PathBuf,
    scratch: Scratch,
}

/// What a container runs on.
struct Rootfs {
    path: PathBuf,
    overlay: Option<Overlay>,
}

/// Runs a command in a directory, or in an overlay over it.
pub(super) fn run_rootfs(globals: &Globals, args: &RunArgs, rootfs: &Path, command: &[OsString]) -> Result<ExitCode> {
    let (directory, is_overlay) = match rootfs.as_os_str().as_bytes().strip_suffix(OVERLAY_SUFFIX) {
        Some(directory) => (PathBuf::from(OsString::from_vec(directory.to_vec())), true),
        None => (rootfs.to_owned(), false),
    };
    let path = directory
        .canonicalize()
        .with_context(|| format!("open root filesystem {directory:?}"))?;
    if !path.is_dir() {
        bail!("open root filesystem {directory:?}: not a directory: give the folder that holds bin, etc and the rest");
    }
    let words = texts(command)?;
    run(globals, args, |local| {
        let rootfs = if is_overlay {
            local.stack(&[path])?
        } else {
            Rootfs { path, overlay: None }
        };
        let plan = local.plan(&rootfs.path, words);
        local.run(rootfs, plan)
    })
}

/// Runs a command in an image.
pub(super) fn run_image(globals: &Globals, args: &RunArgs, image: &Path, command: &[OsString]) -> Result<ExitCode> {
    let reference = Reference::parse(image.as_os_str())?;
    let limit = match args.image_limit {
        Some(-1) => u64::MAX,
        Some(limit) => u64::try_from(limit).context("read --image-limit")?,
        None => Budget::BYTES,
    };
    run(globals, args, |local| {
        let image = Image::open(&reference, local.scratch.path(), limit, &mut local.waiting);
        local.check_interrupted()?;
        let image = image?;
        let words = args_of(image.config(), command)?;
        let cache = Cache::open(&local.data, local.privilege)?;
        let budget = Budget::new(limit, Budget::ENTRIES);
        let layers = image.unpack(&cache, budget, &mut local.waiting);
        local.check_interrupted()?;
        let layers = layers?;
        let rootfs = local.stack(&layers)?;
        restore_implied(&layers, &rootfs.path, local.privilege)?;
        let config = image.config();
        let mut plan = local.plan(&rootfs.path, words);
        plan.env = config.env().clone().unwrap_or_default();
        plan.cwd = config
            .working_dir()
            .clone()
            .filter(|dir| !dir.is_empty())
            .unwrap_or_else(|| "/".to_owned());
        make_workdir(&rootfs.path, Path::new(&plan.cwd))?;
        plan.user = User::find(&rootfs.path, config.user().as_deref().unwrap_or_default())?;
        local.run(rootfs, plan)
    })
}

/// Prepares a run, and removes all of it afterwards.
fn run(globals: &Globals, args: &RunArgs, body: impl FnOnce(&mut Local<'_>) -> Result<ExitCode>) -> Result<ExitCode> {
    let mut local = Local::prepare(globals, args)?;
    let outcome = body(&mut local);
    // The bar must not be in the way of what is said next.
    let Local { scratch, waiting, .. } = local;
    drop(waiting);
    let outcome = match (outcome, scratch.close()) {
        (Err(error), Err(left)) if error.downcast_ref::<Interrupted>().is_none() => {
            Err(anyhow::anyhow!("{error:#} (and {left:#})"))
        }
        (Ok(_), Err(left)) => Err(left.into()),
        (outcome, _) => outcome,
    };
    match outcome {
        Err(error) => match error.downcast_ref::<Interrupted>() {
            Some(Interrupted(signal)) => {
                report::warning(&format!("{error:#}"));
                Ok(ExitCode::from(u8::try_from(128 + signal.as_raw()).unwrap_or(u8::MAX)))
            }
            None => Err(error),
        },
        outcome => outcome,
    }
}

impl<'a> Local<'a> {
    fn prepare(globals: &'a Globals, args: &'a RunArgs) -> Result<Self> {
        fds::fill_stdio().context("open /dev/null on closed standard descriptors")?;
        let globals_root = root::state_root(globals)?;
        let runtime = context::runtime(globals)?;
        let data = data_directory(args)?;
        let foreground = prepare(args.no_subreaper)?;
        let waiting = Waiting::open().context("listen for signals")?;
        let privilege = privilege::enter_mount_namespace()?;
        make_private(&data)?;
        let scratch = Scratch::make(&data, |bundle| may_remove(globals, bundle))?;
        let local = Self {
            globals,
            args,
            runtime,
            foreground,
            waiting,
            privilege,
            data,
            scratch,
        };
        let owner = Owner {
            root: globals_root,
            id: local.id().to_owned(),
        };
        local.write(
            OWNER,
            &serde_json::to_vec(&owner).context("write the bundle's owner as JSON")?,
        )?;
        Ok(local)
    }

    fn id(&self) -> &str {
        self.args.id.as_deref().unwrap_or(self.scratch.id())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(file::write_atomic(
            &self.scratch.path().join(name),
            bytes,
            0o600,
            Durability::Volatile,
        )?)
    }

    fn check_interrupted(&mut self) -> Result<()> {
        match self.waiting.stopped_by() {
            Some(signal) => Err(Interrupted(signal).into()),
            None => Ok(()),
        }
    }

    fn stack(&self, layers: &[PathBuf]) -> Result<Rootfs> {
        let overlay = Overlay::mount(layers, self.scratch.path(), self.privilege)?;
        Ok(Rootfs {
            path: overlay.target().to_owned(),
            overlay: Some(overlay),
        })
    }

    fn plan(&self, rootfs: &Path, args: Vec<String>) -> Plan {
        Plan {
            rootfs: rootfs.to_owned(),
            args,
            env: Vec::new(),
            cwd: "/".to_owned(),
            user: User::default(),
            terminal: std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
            rootless: self.privilege != Privilege::Node,
        }
    }

    /// Runs the container to its end, and takes its root filesystem away again.
    fn run(&mut self, rootfs: Rootfs, mut plan: Plan) -> Result<ExitCode> {
        self.check_user(&mut plan)?;
        let config = serde_json::to_vec(&plan.config()).context("write config as JSON")?;
        self.write("config.json", &config)?;
        let bundle = Bundle::load(self.scratch.path())?;
        let id = self.id().to_owned();
        let status = run_in(&self.foreground, (&self.runtime, self.globals, self.args), &id, bundle)?;
        self.runtime.delete(&id, DeleteOptions { force: true })?;
        if let Some(overlay) = rootfs.overlay {
            overlay.unmount()?;
        }
        Ok(context::exit_code(status))
    }

    /// With one id there is no other user, and no group to be a member of.
    fn check_user(&self, plan: &mut Plan) -> Result<()> {
        if self.privilege != Privilege::Flat {
            return Ok(());
        }
        let (uid, gid) = (plan.user.uid, plan.user.gid);
        if (uid, gid) != (0, 0) {
            bail!(
                "run as {uid}:{gid}, the image's user: you have one id only: install newuidmap, and add yourself to \
                 /etc/subuid and /etc/subgid"
            );
        }
        plan.user.groups.clear();
        Ok(())
    }
}

/// Where layers and temporary bundles are.
fn data_directory(args: &RunArgs) -> Result<PathBuf> {
    if let Some(given) = &args.image_cache {
        return std::path::absolute(given).with_context(|| format!("resolve --image-cache {given:?}"));
    }
    if userns::euid() == 0 && !userns::is_in_user_namespace().context("read the uid map")? {
        return Ok(SYSTEM_DATA.into());
    }
    let folder = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
    };
    folder("XDG_DATA_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("nexcage"))
        .context("find a directory for image layers: set HOME or XDG_DATA_HOME, or give --image-cache")
}

/// Whether nothing needs a leftover bundle any more. A container of it that has stopped, or was never complete, is
/// removed first; one that lives on, because only its runtime was killed, keeps its bundle.
fn may_remove(globals: &Globals, bundle: &Path) -> bool {
    let Some(owner) = read_owner(bundle) else {
        return true;
    };
    let globals = Globals {
        root: Some(owner.root),
        ..globals.clone()
    };
    let Ok(runtime) = context::runtime(&globals) else {
        return false;
    };
    match runtime.snapshot(&owner.id) {
        Err(Error::Store(StoreError::NotFound(_))) => true,
        // The id belongs to another container now.
        Ok(found) if found.record.bundle != bundle => true,
        Ok(found) if matches!(found.status, Status::Created | Status::Running | Status::Paused) => false,
        _ => runtime.delete(&owner.id, DeleteOptions { force: true }).is_ok(),
    }
}

fn read_owner(bundle: &Path) -> Option<Owner> {
    const MAX_OWNER: u64 = 64 << 10;
    serde_json::from_slice(&file::read_capped(&bundle.join(OWNER), MAX_OWNER).ok()?).ok()
}
