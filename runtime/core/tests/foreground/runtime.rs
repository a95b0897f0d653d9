//! The runtime's part, with a shell in place of a container.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nexcage_runtime::foreground::{Adoption, Foreground};
use nexcage_runtime::terminal::TerminalRequest;
use nexcage_sys::fork::fork_child;
use nexcage_sys::signals::restore_for_child;
use nexcage_sys::{pty, scm};

pub(crate) fn play(mode: &str, script: &str) -> ExitCode {
    let foreground = Foreground::prepare(Adoption::Subreaper).unwrap();
    let request = match mode {
        "terminal" => match TerminalRequest::open() {
            Ok(request) => Some(request),
            Err(error) => {
                eprintln!("{}", nexcage_runtime::chain(&error));
                return ExitCode::from(99);
            }
        },
        _ => None,
    };
    let (mut go, ready) = std::io::pipe().unwrap();
    let child = fork_child(None, || {
        restore_for_child(foreground.child_mask()).unwrap();
        // A session of its own with the terminal as its controlling one, as a container has.
        let mut command = Command::new("setsid");
        command.args(request.as_ref().map(|_| "-c")).args(["sh", "-c", script]);
        if let Some(request) = &request {
            let slave = make_terminal(request);
            command
                .stdin(slave.try_clone().unwrap())
                .stdout(slave.try_clone().unwrap())
                .stderr(slave);
        }
        // A container's program starts when its terminal is set up.
        go.read_exact(&mut [0]).unwrap();
        panic!("exec sh: {}", command.exec());
    })
    .unwrap();
    let terminal = request.map(|request| request.receive().unwrap());
    (&ready).write_all(b".").unwrap();
    let status = foreground.wait(child.pid, &child.pidfd, terminal, None).unwrap();
    ExitCode::from(u8::try_from(status.code()).unwrap())
}

fn make_terminal(request: &TerminalRequest) -> OwnedFd {
    let pair = pty::open_pair().unwrap();
    scm::send_fd(request.console(), b"/dev/pts/0", pair.master.as_fd()).unwrap();
    pair.slave
}
