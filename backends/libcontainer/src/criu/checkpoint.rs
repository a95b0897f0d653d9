//! Saving a container.

use std::io::Write;
use std::os::fd::{OwnedFd, RawFd};

use nexcage_backend::{Checkpoint, Container, Error};
use nexcage_sys::file::{self, Durability};
use rust_criu::rust_criu_protobuf::rpc::{Criu_opts, Criu_page_server_info, Criu_req, Criu_req_type};

use super::explain;
use super::mount_points::Root;
use super::options::{self, Folders, text};
use super::version::{self, Feature};
use super::worker::{Setup, Worker};

const LOG: &str = "dump.log";
/// What init's standard descriptors are, beside the images: the restored ones are matched with it.
pub(super) const STDIO_FILE: &str = "descriptors.json";

/// Saves the container. On failure it goes on as before.
pub(crate) fn checkpoint(container: &Container<'_>, request: Checkpoint<'_>) -> Result<(), Error> {
    let init = container.init.ok_or(Error::NotRunning)?.pid;
    version::require()?;
    if request.pre_dump || request.parent_path.is_some() {
        version::require_feature(Feature::MemoryTracking)?;
    }
    if request.criu.lazy_pages {
        version::require_feature(Feature::LazyPages)?;
    }
    let folders = Folders::open(&request.criu, LOG)?;
    let mut opts = options::common(request.spec, &request.criu, &folders, LOG);
    what_is_saved(&mut opts, container, &request, init)?;
    how_it_is_saved(&mut opts, &request)?;
    let mut message = Criu_req::new();
    let (action, kind) = if request.pre_dump {
        ("pre-dump", Criu_req_type::PRE_DUMP)
    } else {
        write_stdio(&request)?;
        ("dump", Criu_req_type::DUMP)
    };
    message.set_type(kind);
    message.opts = Some(opts).into();
    let mut status_fd = request.status_fd;
    let inherit: Vec<RawFd> = folders.fds().collect();
    let worker = Worker::start(&Setup {
        inherit: &inherit,
        ..Setup::PLAIN
    })?;
    let outcome = worker.converse(&message, &mut |notify, _fds| {
        if notify.script() == "status-ready" {
            tell_ready(status_fd.take());
        }
        Ok(())
    });
    outcome.map(drop).map_err(|failure| {
        if !request.paused {
            thaw(container);
        }
        explain(action, failure, &folders.log)
    })
}

fn what_is_saved(
    opts: &mut Criu_opts,
    container: &Container<'_>,
    request: &Checkpoint<'_>,
    init: i32,
) -> Result<(), Error> {
    opts.set_pid(init);
    opts.set_root(text(container.rootfs)?);
    opts.freeze_cgroup = container.cgroup.path_of("freezer").map(|p| text(&p)).transpose()?;
    for namespace in options::joined(request.spec) {
        if namespace.is_external() {
            opts.external.push(namespace.to_save()?);
        }
    }
    if request.pre_dump {
        return Ok(());
    }
    let root = Root::open(container.rootfs).map_err(|error| Error::Launch {
        step: "open the root filesystem",
        source: std::io::Error::other(error),
    })?;
    for external in options::externals(request.spec, &root, container.bundle, container.cgroup) {
        opts.ext_mnt.push(external.to_save()?);
    }
    opts.ext_mnt.extend(options::masked_files(request.spec, init)?);
    Ok(())
}

fn how_it_is_saved(opts: &mut Criu_opts, request: &Checkpoint<'_>) -> Result<(), Error> {
    opts.set_leave_running(request.leave_running);
    opts.set_tcp_skip_in_flight(request.tcp_skip_in_flight);
    opts.set_link_remap(request.link_remap);
    if let Some(parent) = request.parent_path {
        opts.set_parent_img(text(parent)?);
        opts.set_track_mem(true);
    }
    if let Some((address, port)) = request.page_server {
        let mut server = Criu_page_server_info::new();
        server.set_address(address.to_owned());
        server.set_port(i32::from(port));
        opts.ps = Some(server).into();
    }
    Ok(())
}

fn write_stdio(request: &Checkpoint<'_>) -> Result<(), Error> {
    let failed = |source| Error::Launch {
        step: "write the names of the standard descriptors beside the images",
        source,
    };
    let bytes = serde_json::to_vec(request.stdio).map_err(|e| failed(e.into()))?;
    let path = request.criu.image_path.join(STDIO_FILE);
    file::write_atomic(&path, &bytes, 0o600, Durability::Volatile).map_err(|e| failed(std::io::Error::other(e)))
}

/// A reader that has gone is no reason to give up.
fn tell_ready(status: Option<OwnedFd>) {
    let Some(status) = status else { return };
    if let Err(error) = std::fs::File::from(status).write_all(&[0]) {
        tracing::warn!(%error, "status descriptor not told");
    }
}

/// A worker that was killed leaves the container frozen.
fn thaw(container: &Container<'_>) {
    if let Err(error) = container.cgroup.thaw() {
        tracing::warn!(container = %container.id, %error, "container stays frozen: use resume");
    }
}
