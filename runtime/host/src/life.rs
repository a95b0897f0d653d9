//! A host's life: it reads how it is to be confined, confines itself, says so, loads its plugin and serves it.
//!
//! Its stdin is the socket to the runtime, its stdout a second socket: the description of the sandbox comes in there, and the
//! report goes out, before any code of the plugin runs. What is said there is the host's own word.

use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use nexcage_plugin_abi::host::{Host as Offered, LoadError, Loaded};
use nexcage_plugin_types::sandbox::{LIBRARIES, MAX, Report, Sandbox};
use nexcage_sys::{fds, poll};

use crate::sandbox::{self, Layers};
use crate::seccomp::{Stage, restrict};
use crate::serve::{Steps, chain, serve};
use nexcage_sys::seccomp::Threads;

/// The lowest descriptor that is no standard one.
const FIRST: i32 = 3;

/// How code gets into this process.
#[derive(Debug)]
pub struct Loader<P, L> {
    /// Loads one of [`LIBRARIES`], before the process is confined.
    pub preload: P,
    /// Loads the plugin; its constructors and its entry function run in here.
    pub load: L,
}

/// Lives as the host of one plugin. The process must have one thread.
///
/// * `layers`: all, unless a test wants to see what holds without one.
///
/// Returns what the process exits with; the runtime has been told why.
pub fn live<P, L>(loader: Loader<P, L>, layers: Layers) -> ExitCode
where
    P: Fn(&str) -> Result<(), LoadError>,
    L: FnOnce(&Path, Box<dyn Offered>) -> Result<Loaded, LoadError>,
{
    let Some((socket, channel)) = descriptors() else {
        // Started by hand: nobody reads a report, and standard error may be closed.
        return ExitCode::from(2);
    };
    let confined = read(&channel).and_then(|sandbox| {
        let report = confine(&sandbox, &loader.preload, [&socket, &channel], layers)?;
        Ok((sandbox, report))
    });
    match confined {
        Ok((sandbox, report)) => {
            // Closed by this: nothing that the plugin does can be read as the report.
            if !tell(channel, &report) {
                return ExitCode::FAILURE;
            }
            run(&sandbox, layers, loader.load, socket)
        }
        Err(text) => {
            tell(channel, &Report::Failed(text));
            ExitCode::FAILURE
        }
    }
}

/// Socket and channel, away from the standard descriptors, which become `/dev/null`.
fn descriptors() -> Option<(UnixStream, UnixStream)> {
    let take = |number| -> Option<OwnedFd> { fds::move_above(fds::take_inherited(number)?, FIRST).ok() };
    let (socket, channel) = (take(0)?, take(1)?);
    fds::replace_standard(2, 0).ok()?;
    fds::replace_standard(2, 1).ok()?;
    Some((socket.into(), channel.into()))
}

fn read(channel: &UnixStream) -> Result<Sandbox, String> {
    let failed = |error: &dyn std::error::Error| format!("read the description of the sandbox: {error}");
    let mut bytes = Vec::new();
    let cap = u64::try_from(MAX).unwrap_or(u64::MAX);
    let read = channel.take(cap).read_to_end(&mut bytes);
    read.map_err(|error| failed(&error))?;
    serde_json::from_slice(&bytes).map_err(|error| failed(&error))
}

fn confine(
    sandbox: &Sandbox,
    preload: &impl Fn(&str) -> Result<(), LoadError>,
    keep: [&UnixStream; 2],
    layers: Layers,
) -> Result<Report, String> {
    let is_wanted = |name: &&str| sandbox.libraries.iter().any(|wanted| wanted == name);
    for library in LIBRARIES.into_iter().filter(is_wanted) {
        preload(library).map_err(|error| chain(&error))?;
    }
    if !sandbox.is_enabled {
        return Ok(Report::Unconfined);
    }
    let held = sandbox::enter(sandbox, &keep.map(|socket| socket.as_raw_fd()), layers);
    held.map(Report::Confined).map_err(|error| chain(&error))
}

fn run(
    sandbox: &Sandbox,
    layers: Layers,
    load: impl FnOnce(&Path, Box<dyn Offered>) -> Result<Loaded, LoadError>,
    socket: UnixStream,
) -> ExitCode {
    let object = if sandbox.is_enabled && layers != Layers::FilterAlone {
        sandbox::object()
    } else {
        Path::new(&sandbox.object)
    };
    let tighten = || {
        if sandbox.is_enabled && layers != Layers::WithoutFilter {
            restrict(Stage::Run, Threads::All)?;
        }
        Ok(())
    };
    let steps = Steps {
        load: |offered| load(object, offered),
        tighten,
    };
    ExitCode::from(u8::from(serve(socket, steps).is_err()))
}

/// Says how this process is confined. Nothing but `write` and `close` is used: the filter is in force.
fn tell(channel: UnixStream, report: &Report) -> bool {
    let bytes = serde_json::to_vec(report).unwrap_or_default();
    // A new socket takes more than the longest report at once.
    let written = poll::write(channel.as_fd(), &bytes);
    written.is_ok_and(|count| count == Some(bytes.len()))
}
