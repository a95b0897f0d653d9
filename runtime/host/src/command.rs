//! A program of the node that the broker runs for a plugin: this process confines itself and becomes it.
//!
//! Its stdin is a socket, from which the description comes; why it did not become the program goes back there.

use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use nexcage_plugin_types::sandbox::{Command, CommandConfinement, Identity};
use nexcage_sys::jail::{self, Limits};
use nexcage_sys::{fds, launch};

use crate::serve::chain;

/// The argument by which the host's program is asked for this.
pub const ARGUMENT: &str = "--command";

/// Bytes of the longest description: arguments and input.
const MAX: u64 = 4 << 20;

/// What a program may use: enough for a tool, too little for a bomb.
const LIMITS: Limits = Limits {
    data: 1 << 30,
    addresses: 8 << 30,
    descriptors: 1024,
    threads: 256,
};

/// Becomes the program that the description names. The process must have one thread.
///
/// Returns only when it did not; the runtime has been told why.
#[must_use]
pub fn run() -> ExitCode {
    let socket = fds::take_inherited(0).and_then(|fd| fds::move_above(fd, 3).ok());
    let Some(mut socket) = socket.map(UnixStream::from) else {
        return ExitCode::from(2);
    };
    let why = become_it(&socket);
    // The runtime sees that the program did not start in any case.
    let _told = socket.write_all(why.as_bytes());
    ExitCode::from(126)
}

fn become_it(socket: &UnixStream) -> String {
    match prepare(socket) {
        Err(text) => text,
        Ok(command) => {
            let error = launch::become_program(&command.program, &command.argv, &command.env);
            format!("execute {:?}: {error}", command.program)
        }
    }
}

fn prepare(socket: &UnixStream) -> Result<Command, String> {
    let mut bytes = Vec::new();
    let read = socket.take(MAX).read_to_end(&mut bytes);
    read.map_err(|error| format!("read what to run: {error}"))?;
    let command: Command = serde_json::from_slice(&bytes).map_err(|error| format!("read what to run: {error}"))?;
    give(&command.stdin).map_err(|error| format!("give the program its input: {error}"))?;
    if let Some(confinement) = &command.confinement {
        confine(confinement)?;
    }
    Ok(command)
}

/// Makes a text the standard input.
fn give(text: &str) -> io::Result<()> {
    let mut file = nexcage_sys::file::in_memory()?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    // It may have become standard input itself, and would be closed with its owner.
    let file = fds::move_above(OwnedFd::from(file), 3)?;
    fds::replace_standard(file.as_raw_fd(), 0)
}

fn confine(confinement: &CommandConfinement) -> Result<(), String> {
    let step = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let writable: Vec<&Path> = confinement.writable.iter().map(Path::new).collect();
    jail::enter_read_only(&writable).map_err(|error| chain(&error))?;
    jail::set_hostname("command").map_err(step("set the host name"))?;
    jail::lower_limits(&LIMITS).map_err(step("lower the limits"))?;
    jail::drop_bounding_set().map_err(step("empty the bounding set"))?;
    if let Identity::Own(id) = confinement.identity {
        jail::become_user(id).map_err(step("change the user"))?;
        nexcage_sys::process::kill_me_with_parent(true);
    }
    jail::drop_capabilities().map_err(step("give up Linux capabilities"))?;
    jail::set_no_new_privs().map_err(step("set no_new_privs"))
}
