use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nexcage_plugin_types::frame::{Decoder, Frame, HEADER_LEN, Kind, MAX_BODY, Method, PROTOCOL};
use nexcage_plugin_types::message::{Hello, LogLevel, LogLine, Metric};
use nexcage_plugin_types::session::Limits;
use nexcage_sys::scm;

use super::{Answer, CallError, Connection, Effects};

/// Long enough that no test meets it.
const AMPLE: Duration = Duration::from_secs(60);

/// For what is to be late.
const SHORT: Duration = Duration::from_millis(30);

#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    metrics: Vec<String>,
    asked: Vec<(u32, Vec<u8>)>,
    answer: Answer,
}

impl Effects for Seen {
    fn log(&mut self, line: LogLine) {
        self.lines.push(line.message);
    }

    fn metric(&mut self, metric: Metric) {
        self.metrics.push(metric.name);
    }

    fn broker(&mut self, method: u32, body: &[u8], _deadline: Instant) -> Answer {
        self.asked.push((method, body.to_vec()));
        std::mem::take(&mut self.answer)
    }
}

/// The other end, as a test plays it.
struct Peer {
    socket: UnixStream,
    decoder: Decoder,
}

impl Peer {
    fn read(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return frame;
            }
            let mut buffer = [0; 4096];
            let count = self.socket.read(&mut buffer).unwrap();
            assert!(count > 0, "the runtime closed the socket");
            self.decoder.push(&buffer[..count]);
        }
    }

    fn say(&mut self, kind: Kind, id: u32, body: &str) {
        self.socket
            .write_all(&Frame::new(kind, id, body.into()).to_bytes().unwrap())
            .unwrap();
    }

    /// Waits until the runtime has closed its end.
    fn wait_end(&mut self) {
        let mut rest = Vec::new();
        let _end = self.socket.read_to_end(&mut rest);
    }
}

fn hello() -> Hello {
    Hello {
        protocol: [PROTOCOL, PROTOCOL],
        nexcage: "0.1.0".into(),
        plugin: "test".into(),
        config: serde_json::Value::Null,
        log_level: LogLevel::Info,
    }
}

const READY: &str = r#"{"protocol":1,"api":65536,"extensions":[]}"#;

/// A connection to a peer that has said READY and now plays its part.
fn connected(part: impl FnOnce(&mut Peer) + Send + 'static) -> (Connection, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let peer = thread::spawn(move || {
        let mut peer = Peer {
            socket: theirs,
            decoder: Decoder::default(),
        };
        assert_eq!(peer.read().kind, Kind::Hello);
        peer.say(Kind::Ready, 0, READY);
        part(&mut peer);
    });
    let opened = Connection::open(ours, &hello(), Limits::default(), AMPLE, &mut Seen::default());
    (opened.unwrap().0, peer)
}

fn call(connection: &mut Connection, seen: &mut Seen, timeout: Duration) -> Result<Vec<u8>, CallError> {
    let reply = connection.call(Method::HEALTH_CHECK, b"{}".to_vec(), timeout, seen)?;
    Ok(reply.body)
}

/// What a call ends with when the host plays this part; the connection is then of no more use.
#[track_caller]
fn check_broken(timeout: Duration, expected: &str, part: impl FnOnce(&mut Peer) + Send + 'static) {
    let (mut connection, peer) = connected(|peer| {
        peer.read();
        part(peer);
    });
    let error = call(&mut connection, &mut Seen::default(), timeout).unwrap_err();
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    assert_eq!(format!("{error}{}", source.unwrap_or_default()), expected);
    assert!(!connection.is_usable());
    let again = call(&mut connection, &mut Seen::default(), AMPLE).unwrap_err();
    assert!(matches!(again, CallError::Closed), "{again}");
    drop(connection);
    peer.join().unwrap();
}

#[test]
fn a_call_carries_its_deadline_and_gets_its_answer() {
    let (mut connection, peer) = connected(|peer| {
        for _ in 0..3 {
            let frame = peer.read();
            assert_eq!((frame.kind, frame.method), (Kind::Call, Method::HEALTH_CHECK.number()));
            assert!(frame.deadline.is_some_and(|left| left <= AMPLE && left > AMPLE / 2));
            peer.say(Kind::Log, frame.id, r#"{"level":"warn","message":"a\u001bb"}"#);
            peer.say(Kind::Metric, frame.id, r#"{"name":"calls","kind":"counter","value":1}"#);
            peer.say(Kind::Reply, frame.id, &frame.id.to_string());
        }
    });
    let mut seen = Seen::default();
    for expected in ["1", "2", "3"] {
        assert_eq!(call(&mut connection, &mut seen, AMPLE).unwrap(), expected.as_bytes());
    }
    assert_eq!(seen.lines, ["a\\u{1b}b"; 3]);
    assert_eq!(seen.metrics, ["calls"; 3]);
    peer.join().unwrap();
}

#[test]
fn an_effect_is_answered_with_a_descriptor() {
    let (mut connection, peer) = connected(|peer| {
        let id = peer.read().id;
        let ask = Frame {
            method: 9,
            ..Frame::new(Kind::BrokerCall, id, b"[1]".to_vec())
        };
        peer.socket.write_all(&ask.to_bytes().unwrap()).unwrap();
        let (first, fd) = scm::receive_fd(peer.socket.as_fd()).unwrap();
        peer.decoder.push(&first);
        let answer = peer.read();
        assert_eq!(
            (answer.kind, answer.id, answer.method, answer.status),
            (Kind::BrokerReply, id, 9, 0)
        );
        File::from(fd).write_all(b"through the pipe").unwrap();
        peer.say(Kind::Reply, id, "");
    });
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut seen = Seen {
        answer: Answer {
            body: vec![b' '; 100_000],
            fd: Some(writer.into()),
            ..Answer::default()
        },
        ..Seen::default()
    };
    call(&mut connection, &mut seen, AMPLE).unwrap();
    assert_eq!(seen.asked, [(9, b"[1]".to_vec())]);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through the pipe");
    peer.join().unwrap();
}

#[test]
fn descriptors_of_a_host_never_arrive() {
    let (reader, writer) = std::io::pipe().unwrap();
    let (mut connection, peer) = connected(move |peer| {
        let id = peer.read().id;
        let bytes = Frame::new(Kind::Reply, id, Vec::new()).to_bytes().unwrap();
        scm::send_fd(peer.socket.as_fd(), &bytes, writer.as_fd()).unwrap();
    });
    call(&mut connection, &mut Seen::default(), AMPLE).unwrap();
    peer.join().unwrap();
    // The peer has closed its own: whoever still held one would keep the pipe from ending.
    let mut rest = Vec::new();
    File::from(OwnedFd::from(reader)).read_to_end(&mut rest).unwrap();
    assert!(connection.is_usable());
}

#[test]
fn a_host_that_obeys_a_cancellation_can_be_called_again() {
    let (late, is_late) = mpsc::channel();
    let (mut connection, peer) = connected(move |peer| {
        let id = peer.read().id;
        is_late.recv().unwrap();
        peer.say(Kind::Reply, id, "late");
        let frame = peer.read();
        assert_eq!((frame.kind, frame.id), (Kind::Cancel, id));
        let id = peer.read().id;
        peer.say(Kind::Reply, id, "in time");
    });
    // The answer is on its way when the deadline passes: the runtime finds both.
    late.send(()).unwrap();
    let first = call(&mut connection, &mut Seen::default(), Duration::ZERO).unwrap_err();
    if matches!(first, CallError::Deadline { is_usable: true, .. }) {
        assert_eq!(call(&mut connection, &mut Seen::default(), AMPLE).unwrap(), b"in time");
    } else {
        // On a busy machine the answer may come after the grace; then the host counts as lost.
        assert!(matches!(first, CallError::Deadline { is_usable: false, .. }), "{first}");
        assert!(!connection.is_usable());
    }
    drop(connection);
    let _late = peer.join();
}

#[test]
fn a_silent_host_is_given_up_at_the_deadline() {
    check_broken(SHORT, "no answer in 30 ms", Peer::wait_end);
}

#[test]
fn a_dribbling_host_is_given_up_at_the_deadline() {
    check_broken(SHORT, "no answer in 30 ms", |peer| {
        let bytes = Frame::new(Kind::Reply, 1, Vec::new()).to_bytes().unwrap();
        let (last, first) = bytes.split_last().unwrap();
        for byte in first {
            peer.socket.write_all(&[*byte]).unwrap();
        }
        peer.wait_end();
        let _closed = peer.socket.write_all(&[*last]);
    });
}

#[test]
fn a_host_that_does_not_read_is_given_up_at_the_deadline() {
    let (mut connection, peer) = connected(|_peer| {});
    let (ours, theirs) = UnixStream::pair().unwrap();
    peer.join().unwrap();
    connection.socket = ours;
    connection.socket.set_nonblocking(true).unwrap();
    let error = connection.call(Method::HEALTH_CHECK, vec![b' '; MAX_BODY], SHORT, &mut Seen::default());
    assert!(
        matches!(error, Err(CallError::Deadline { is_usable: false, .. })),
        "{error:?}"
    );
    drop(theirs);
}

#[test]
fn a_flood_of_log_lines_ends_the_call() {
    check_broken(
        AMPLE,
        "plugin host broke the protocol: more than 4096 frames during one call",
        |peer| {
            let line = Frame::new(Kind::Log, 1, br#"{"level":"info","message":"x"}"#.to_vec());
            let bytes = line.to_bytes().unwrap();
            while peer.socket.write_all(&bytes).is_ok() {}
        },
    );
}

#[test]
fn what_is_no_frame_ends_the_call() {
    check_broken(
        AMPLE,
        "read from plugin host: frame type 65535: this side knows 1 to 12",
        |peer| {
            let mut bytes = [0xff; HEADER_LEN];
            bytes[..4].fill(0);
            bytes[6..8].fill(0);
            peer.socket.write_all(&bytes).unwrap();
            peer.wait_end();
        },
    );
    let too_long = "read from plugin host: frame body of 4294967295 bytes: at most 1048576 are allowed";
    check_broken(AMPLE, too_long, |peer| {
        peer.socket.write_all(&[0xff; HEADER_LEN]).unwrap();
        peer.wait_end();
    });
}

#[test]
fn a_forged_answer_ends_the_call() {
    let text = "plugin host broke the protocol: REPLY for call 7, which is not open";
    check_broken(AMPLE, text, |peer| {
        peer.say(Kind::Reply, 7, "");
        peer.wait_end();
    });
}

#[test]
fn a_host_that_crashes_is_an_error_at_once() {
    check_broken(AMPLE, "plugin host ended without an answer", |_peer| {});
    check_broken(AMPLE, "plugin host ended without an answer", |peer| {
        peer.socket.write_all(&[0; 7]).unwrap();
    });
}

#[test]
fn the_reason_of_a_host_is_told_and_harmless() {
    check_broken(AMPLE, "plugin host: out of \\u{a}memory", |peer| {
        peer.say(Kind::Error, 0, r#"{"message":"out of \nmemory"}"#);
    });
    check_broken(AMPLE, "plugin host: ended the conversation without a reason", |peer| {
        peer.say(Kind::Error, 0, "[");
    });
}

#[test]
fn a_plugin_that_cannot_be_loaded_says_why() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let body = br#"{"message":"no entry function"}"#.to_vec();
    theirs
        .write_all(&Frame::new(Kind::Error, 0, body).to_bytes().unwrap())
        .unwrap();
    drop(theirs);
    let opened = Connection::open(ours, &hello(), Limits::default(), AMPLE, &mut Seen::default());
    assert_eq!(opened.unwrap_err().to_string(), "plugin host: no entry function");
}

#[test]
fn a_host_of_another_release_is_refused() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let body = READY.replace("\"protocol\":1", "\"protocol\":2").into_bytes();
    theirs
        .write_all(&Frame::new(Kind::Ready, 0, body).to_bytes().unwrap())
        .unwrap();
    let opened = Connection::open(ours, &hello(), Limits::default(), AMPLE, &mut Seen::default());
    let expected = "plugin host speaks protocol 2, this nexcage speaks 1: install both from one release";
    assert_eq!(opened.unwrap_err().to_string(), expected);
}

#[test]
fn a_body_that_is_too_long_is_an_error_before_it_is_sent() {
    let (mut connection, peer) = connected(|peer| {
        let id = peer.read().id;
        peer.say(Kind::Reply, id, "");
    });
    let long = connection.call(Method::HEALTH_CHECK, vec![0; MAX_BODY + 1], AMPLE, &mut Seen::default());
    let expected = "write CALL of 1048577 bytes for the plugin host: at most 1048576 are allowed";
    assert_eq!(long.unwrap_err().to_string(), expected);
    drop(call(&mut connection, &mut Seen::default(), AMPLE).unwrap());
    peer.join().unwrap();
}

#[test]
fn ping_and_goodbye_are_answered() {
    let (mut connection, peer) = connected(|peer| {
        assert_eq!(peer.read().kind, Kind::Ping);
        peer.say(Kind::Ping, 0, "");
        assert_eq!(peer.read().kind, Kind::Goodbye);
        peer.say(Kind::Log, 0, r#"{"level":"info","message":"bye"}"#);
        peer.say(Kind::Goodbye, 0, "");
    });
    let mut seen = Seen::default();
    connection.ping(AMPLE, &mut seen).unwrap();
    connection.close(AMPLE, &mut seen).unwrap();
    assert_eq!(seen.lines, ["bye"]);
    peer.join().unwrap();
}
