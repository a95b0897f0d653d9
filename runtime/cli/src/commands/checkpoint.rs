//! `checkpoint`, and what it shares with `restore`.

use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use nexcage_backend::{CriuOptions, ManageCgroups};
use nexcage_runtime::{CheckpointOptions, check_parent};
use nexcage_sys::fds;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::args::{CgroupsMode, CheckpointArgs, CriuArgs, Globals};
use crate::context;

/// Where the images go without `--image-path`.
const IMAGES: &str = "checkpoint";

/// The directories of the command line, absolute.
pub(super) struct Paths {
    pub(super) images: PathBuf,
    work: Option<PathBuf>,
}

impl Paths {
    pub(super) fn of(args: &CriuArgs) -> Result<Self> {
        let given = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        let absolute = |path: PathBuf| std::path::absolute(&path).with_context(|| format!("find {path:?}"));
        Ok(Self {
            images: absolute(given(&args.image_path).unwrap_or_else(|| IMAGES.into()))?,
            work: given(&args.work_path).map(absolute).transpose()?,
        })
    }

    pub(super) fn options(&self, args: &CriuArgs) -> CriuOptions<'_> {
        CriuOptions {
            image_path: &self.images,
            work_path: self.work.as_deref(),
            tcp_established: args.tcp_established,
            ext_unix_sk: args.ext_unix_sk,
            shell_job: args.shell_job,
            file_locks: args.file_locks,
            manage_cgroups: args.manage_cgroups_mode.map(mode),
            lazy_pages: args.lazy_pages,
            auto_dedup: args.auto_dedup,
        }
    }
}

const fn mode(mode: CgroupsMode) -> ManageCgroups {
    match mode {
        CgroupsMode::Soft => ManageCgroups::Soft,
        CgroupsMode::Full => ManageCgroups::Full,
        CgroupsMode::Strict => ManageCgroups::Strict,
        CgroupsMode::Ignore => ManageCgroups::Ignore,
    }
}

pub(super) fn run(globals: &Globals, args: &CheckpointArgs) -> Result<ExitCode> {
    let status_fd = status_fd(args)?;
    let runtime = context::runtime(globals)?;
    let paths = Paths::of(&args.criu)?;
    make_images_dir(&paths.images)?;
    let parent_path = args.parent_path.as_deref().filter(|path| !path.as_os_str().is_empty());
    if let Some(parent) = parent_path {
        check_parent(&paths.images, parent)?;
    }
    let options = CheckpointOptions {
        criu: paths.options(&args.criu),
        parent_path,
        leave_running: args.leave_running,
        pre_dump: args.pre_dump,
        tcp_skip_in_flight: args.tcp_skip_in_flight,
        link_remap: args.link_remap,
        status_fd,
        page_server: args
            .page_server
            .as_ref()
            .map(|server| (server.address.as_str(), server.port)),
    };
    runtime.checkpoint(&args.id, options)?;
    Ok(ExitCode::SUCCESS)
}

fn make_images_dir(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("make the directory of --image-path {path:?}"))
}

/// Takes the descriptor of `--status-fd`, which must be open for writing.
fn status_fd(args: &CheckpointArgs) -> Result<Option<OwnedFd>> {
    let number = args.status_fd;
    if number == -1 || !args.criu.lazy_pages {
        return Ok(None);
    }
    let flags = fcntl(number, FcntlArg::F_GETFL)
        .map(OFlag::from_bits_retain)
        .with_context(|| format!("invalid --status-fd argument {number}"))?;
    if flags & OFlag::O_ACCMODE == OFlag::O_RDONLY {
        bail!("invalid --status-fd argument {number}: not writable");
    }
    if number < 3 {
        bail!("invalid --status-fd argument {number}: it is a standard descriptor, use one from 3 up");
    }
    Ok(fds::take_inherited(number))
}
