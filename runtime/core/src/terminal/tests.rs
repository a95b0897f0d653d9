use std::io::{Read, Write, pipe};

use super::*;

/// A terminal request whose caller is a pseudo terminal, with its other ends.
struct Setup {
    request: TerminalRequest,
    caller: pty::PtyPair,
    keyboard: io::PipeWriter,
    screen: io::PipeReader,
}

fn setup() -> Setup {
    let caller = pty::open_pair().unwrap();
    let ((input, keyboard), (screen, output)) = (pipe().unwrap(), pipe().unwrap());
    let slave = caller.slave.try_clone().unwrap();
    let request = TerminalRequest::with_streams(slave, input.into(), output.into()).unwrap();
    Setup {
        request,
        caller,
        keyboard,
        screen,
    }
}

/// Plays the backend: makes the container's terminal and sends its master. Returns the container's end.
fn send_master(request: &TerminalRequest) -> OwnedFd {
    let pair = pty::open_pair().unwrap();
    scm::send_fd(request.console(), b"/dev/pts/0", pair.master.as_fd()).unwrap();
    pair.slave
}

fn step(terminal: &mut Terminal) {
    let (sides, ready): (Vec<Side>, Vec<Ready>) = {
        let watches = terminal.watches();
        let list: Vec<Watch<'_>> = watches.iter().map(|(_, watch)| *watch).collect();
        let ready = poll::wait(&list, Some(std::time::Duration::from_secs(20))).unwrap();
        (watches.iter().map(|(side, _)| *side).collect(), ready)
    };
    assert!(
        ready.iter().any(|ready| *ready != Ready::default()),
        "nothing becomes ready: {terminal:?}"
    );
    sides
        .into_iter()
        .zip(ready)
        .for_each(|(side, ready)| terminal.on_ready(side, ready));
}

#[test]
fn a_backend_that_sends_nothing_is_an_error_and_the_caller_stays_cooked() {
    let setup = setup();
    assert!(matches!(
        setup.request.receive(),
        Err(TerminalError::Receive {
            source: ScmError::Closed
        })
    ));
}

#[test]
fn something_else_than_a_terminal_is_refused() {
    let setup = setup();
    let null = std::fs::File::open("/dev/null").unwrap();
    scm::send_fd(setup.request.console(), b"x", null.as_fd()).unwrap();
    assert!(matches!(setup.request.receive(), Err(TerminalError::SetUp { .. })));
}

#[test]
fn the_window_size_goes_over_at_first_and_on_resize() {
    let setup = setup();
    let first = WindowSize { rows: 24, columns: 80 };
    pty::write_window_size(setup.caller.master.as_fd(), first).unwrap();
    let slave = send_master(&setup.request);
    let terminal = setup.request.receive().unwrap();
    assert_eq!(pty::read_window_size(slave.as_fd()).unwrap(), first);
    let second = WindowSize { rows: 50, columns: 132 };
    pty::write_window_size(setup.caller.master.as_fd(), second).unwrap();
    terminal.resize();
    assert_eq!(pty::read_window_size(slave.as_fd()).unwrap(), second);
}

#[test]
fn typed_bytes_reach_the_container_and_the_end_of_input_does_not() {
    let mut setup = setup();
    let slave = send_master(&setup.request);
    let mut terminal = setup.request.receive().unwrap();
    setup.keyboard.write_all(b"hello\n").unwrap();
    step(&mut terminal);
    let mut buffer = [0; 64];
    assert_eq!(poll::read(slave.as_fd(), &mut buffer).unwrap(), Some(6));
    drop(setup.keyboard);
    // The echo of the container's terminal and the closed keyboard.
    while terminal.watches().iter().any(|(side, _)| *side == Side::Input) {
        step(&mut terminal);
    }
    poll::set_nonblocking(slave.as_fd()).unwrap();
    assert_eq!(
        poll::read(slave.as_fd(), &mut buffer).unwrap(),
        None,
        "the container sees no end of input"
    );
}

#[test]
fn output_written_before_the_end_is_drained_although_others_hold_the_terminal() {
    let setup = setup();
    let slave = send_master(&setup.request);
    let terminal = setup.request.receive().unwrap();
    let text = "0123456789\n".repeat(300);
    assert_eq!(poll::write(slave.as_fd(), text.as_bytes()).unwrap(), Some(text.len()));
    terminal.drain().unwrap();
    let mut screen = setup.screen;
    let mut seen = String::new();
    screen.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, text);
    drop(slave);
}

#[test]
fn a_terminal_closed_and_opened_again_works_on() {
    let setup = setup();
    let pair = pty::open_pair().unwrap();
    let keep = pair.master.try_clone().unwrap();
    scm::send_fd(setup.request.console(), b"x", pair.master.as_fd()).unwrap();
    let mut terminal = setup.request.receive().unwrap();
    let path = std::fs::read_link(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&pair.slave)
    ))
    .unwrap();
    drop(pair.slave);
    step(&mut terminal);
    assert!(terminal.is_hung_up());
    assert!(
        terminal.watches().iter().all(|(side, _)| *side == Side::Output),
        "a hung up terminal is not polled"
    );
    let again = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    poll::write(again.as_fd(), b"back").unwrap();
    terminal.look_again();
    assert!(!terminal.is_hung_up());
    let mut screen = setup.screen;
    let mut buffer = [0; 4];
    screen.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"back");
    drop(keep);
}

#[test]
fn a_caller_that_stops_reading_hangs_the_container_up() {
    let setup = setup();
    let slave = send_master(&setup.request);
    let mut terminal = setup.request.receive().unwrap();
    drop(setup.screen);
    poll::write(slave.as_fd(), b"x").unwrap();
    step(&mut terminal);
    let mut buffer = [0; 4];
    assert!(matches!(poll::read(slave.as_fd(), &mut buffer), Ok(Some(0)) | Err(_)));
}

#[test]
fn a_socket_goes_with_a_detached_terminal_only() {
    assert_eq!(check(true, true, true), Ok(()));
    assert_eq!(check(true, false, false), Ok(()));
    assert_eq!(check(false, false, true), Ok(()));
    assert_eq!(check(false, false, false), Ok(()));
    assert_eq!(check(true, false, true), Err(ConsoleError::NoSocket));
    assert_eq!(check(false, true, true), Err(ConsoleError::NoTerminal));
    assert_eq!(check(false, true, false), Err(ConsoleError::NoTerminal));
    assert_eq!(check(true, true, false), Err(ConsoleError::NoTerminal));
}
