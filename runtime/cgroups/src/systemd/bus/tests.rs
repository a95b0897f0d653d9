use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use super::*;

/// A socket in a folder of its own, removed in the end.
struct Place(std::path::PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("nexcage-bus-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn socket(&self) -> std::path::PathBuf {
        self.0.join("bus")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{:?}: {error}", self.0);
        }
    }
}

/// Encodes an answer or a signal.
fn encode<B: serde::Serialize + DynamicType>(
    kind: u8,
    fields: Vec<(u8, Value<'_>)>,
    signature: &str,
    body: &B,
) -> Vec<u8> {
    let context = Context::new_dbus(LE, 0);
    let body = zvariant::to_bytes(context, body).unwrap().bytes().to_vec();
    let mut fields: Vec<_> = fields
        .into_iter()
        .map(|(code, value)| (code, Field::Value(value)))
        .collect();
    fields.push((8, Field::Signature(signature)));
    let header = (
        b'l',
        kind,
        0_u8,
        1_u8,
        u32::try_from(body.len()).unwrap(),
        1_u32,
        fields,
    );
    let mut message = zvariant::to_bytes(context, &header).unwrap().bytes().to_vec();
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend_from_slice(&body);
    message
}

/// Plays systemd on a socket: authenticates, then answers each call with the messages of a function.
fn serve(
    place: &Place,
    answer: impl Fn(&str, u32, &Message) -> Vec<Vec<u8>> + Send + 'static,
) -> JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(place.socket()).unwrap();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut peer = Bus {
            socket,
            serial: 0,
            subscribed: false,
            daemon: false,
            early: Vec::new(),
        };
        assert_eq!(peer.read_line().unwrap(), "\0AUTH EXTERNAL");
        assert_eq!(peer.read_line().unwrap(), "DATA");
        assert_eq!(peer.read_line().unwrap(), "BEGIN");
        peer.socket.write_all(b"DATA\r\nOK 0123\r\n").unwrap();
        let mut calls = Vec::new();
        while let Ok(message) = peer.receive() {
            let member = message.text(3).unwrap().to_owned();
            for bytes in answer(&member, message.header.5, &message) {
                peer.socket.write_all(&bytes).unwrap();
            }
            calls.push(member);
        }
        calls
    })
}

/// Connects to the played systemd.
fn connect(place: &Place) -> Bus {
    let socket = dial(&format!("unix:path={}", place.socket().display())).unwrap();
    Bus::greet(socket, false).unwrap()
}

fn returned<B: serde::Serialize + DynamicType>(serial: u32, signature: &str, body: &B) -> Vec<u8> {
    encode(RETURN, vec![(5, Value::from(serial))], signature, body)
}

#[test]
fn a_job_ends_with_its_own_signal() {
    let place = Place::new("job");
    let served = serve(&place, |member, serial, message| {
        let job = |id: u32| ObjectPath::try_from(format!("/org/freedesktop/systemd1/job/{id}")).unwrap();
        let removed = |id: u32, result: &str| {
            encode(
                SIGNAL,
                vec![(3, Value::from("JobRemoved"))],
                "uoss",
                &(id, job(id), "u.scope", result),
            )
        };
        match member {
            "StartTransientUnit" => {
                let (name, mode, properties, aux) = message
                    .read::<(
                        String,
                        String,
                        Vec<(String, OwnedValue)>,
                        Vec<(String, Vec<(String, OwnedValue)>)>,
                    )>()
                    .unwrap();
                assert_eq!((name.as_str(), mode.as_str(), aux.len()), ("u.scope", "replace", 0));
                assert_eq!(properties[0].0, "PIDs");
                assert_eq!(properties[0].1.to_string(), "[uint32 7]");
                vec![
                    removed(1, "failed"),
                    returned(serial, "o", &job(2)),
                    removed(3, "failed"),
                    removed(2, "done"),
                ]
            }
            // Done before it is answered.
            "StopUnit" => vec![removed(5, "done"), removed(6, "failed"), returned(serial, "o", &job(5))],
            _ => vec![returned(serial, "s", &"")],
        }
    });
    let mut bus = connect(&place);
    let properties = vec![("PIDs".to_owned(), Value::from(vec![7_u32]))];
    let aux: Vec<(String, Vec<(String, Value<'static>)>)> = Vec::new();
    let body = ("u.scope", "replace", properties, aux);
    assert_eq!(
        bus.run_job("StartTransientUnit", "ssa(sv)a(sa(sv))", &body).unwrap(),
        "done"
    );
    assert_eq!(bus.run_job("StopUnit", "ss", &("u.scope", "replace")).unwrap(), "done");
    drop(bus);
    assert_eq!(served.join().unwrap(), ["Subscribe", "StartTransientUnit", "StopUnit"]);
}

#[test]
fn several_values_are_no_structure() {
    let message = encode_call(1, &TO_MANAGER, "StopUnit", "ss", &("a", "b")).unwrap();
    let field = b"\x08\x01g\0\x02ss\0";
    assert!(
        message.windows(field.len()).any(|window| window == field),
        "{message:?}"
    );
    assert!(message.ends_with(b"\x01\0\0\0a\0\0\0\x01\0\0\0b\0"), "{message:?}");
}

#[test]
fn an_error_keeps_its_name_and_text() {
    let place = Place::new("error");
    let served = serve(&place, |_, serial, _| {
        let fields = vec![
            (5, Value::from(serial)),
            (4, Value::from("org.freedesktop.systemd1.UnitExists")),
        ];
        vec![encode(ERROR, fields, "s", &"Unit u.scope already exists.")]
    });
    let mut bus = connect(&place);
    let error = bus.call("StopUnit", "ss", &("u.scope", "replace")).err().unwrap();
    assert!(error.is("org.freedesktop.systemd1.UnitExists"));
    let text = error.about("u.scope").to_string();
    let expected =
        "unable to StopUnit unit \"u.scope\": org.freedesktop.systemd1.UnitExists: Unit u.scope already exists.";
    assert_eq!(text, expected);
    drop(bus);
    served.join().unwrap();
}

#[test]
fn properties_of_the_manager_are_read() {
    let place = Place::new("property");
    let served = serve(&place, |member, serial, message| {
        assert_eq!(member, "Get");
        let (interface, name) = message.read::<(String, String)>().unwrap();
        assert_eq!((interface.as_str(), name.as_str()), (MANAGER, "Version"));
        vec![returned(serial, "v", &Value::from("252.39"))]
    });
    let mut bus = connect(&place);
    assert_eq!(bus.manager_property("Version").unwrap(), "252.39");
    drop(bus);
    served.join().unwrap();
}

#[test]
fn a_peer_that_talks_nonsense_is_an_error() {
    for answer in [
        &b"\0\0\0\0"[..],
        b"B\x02\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0",
        b"l\x02\0\x01\xff\xff\xff\xff\0\0\0\x01\0\0\0\0",
    ] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answer).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let mut bus = Bus {
            socket: ours,
            serial: 0,
            subscribed: false,
            daemon: false,
            early: Vec::new(),
        };
        let error = bus.call("StopUnit", "ss", &("u.scope", "replace")).err().unwrap();
        assert!(matches!(error, CallError::Broken { .. }), "{error}");
    }
}

#[test]
fn addresses_are_unescaped_and_tried_in_turn() {
    assert_eq!(unescape("/a%20b%2"), "/a b%2");
    let place = Place::new("address");
    let _listener = UnixListener::bind(place.socket()).unwrap();
    let path = place.socket().display().to_string().replace('-', "%2d");
    assert!(dial(&format!("tcp:host=x;unix:path=/no/such;unix:path={path},guid=00")).is_ok());
    assert_eq!(
        dial("unix:path=/no/such").err().unwrap().kind(),
        io::ErrorKind::NotFound
    );
    assert_eq!(dial("tcp:host=x").err().unwrap().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_real_bus_daemon_takes_the_handshake_and_the_calls() {
    let place = Place::new("daemon");
    let Some(mut daemon) = start_daemon(&place) else { return };
    let socket = dial(&format!("unix:path={}", place.socket().display())).unwrap();
    let mut bus = Bus::greet(socket, true).unwrap();
    let error = bus.call("GetUnit", "s", &("u.scope",)).err().unwrap();
    assert!(error.is("org.freedesktop.DBus.Error.ServiceUnknown"), "{error}");
    let error = bus.run_job("StopUnit", "ss", &("u.scope", "replace")).err().unwrap();
    assert!(error.is("org.freedesktop.DBus.Error.ServiceUnknown"), "{error}");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

/// Starts a bus daemon of the test's own.
#[expect(clippy::disallowed_methods, reason = "a plain child of the test")]
fn start_daemon(place: &Place) -> Option<std::process::Child> {
    let config = place.0.join("bus.conf");
    let text = format!(
        "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
         <policy context='default'><allow send_destination='*'/><allow receive_sender='*'/><allow own='*'/></policy>\
         </busconfig>",
        place.socket().display()
    );
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&config)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .unwrap();
    let spawned = std::process::Command::new("dbus-daemon")
        .args(["--nofork", "--nosyslog", &format!("--config-file={}", config.display())])
        .stdin(std::process::Stdio::null())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            println!("not run: dbus-daemon: {error}");
            return None;
        }
    };
    let deadline = std::time::Instant::now() + LIMIT;
    while dial(&format!("unix:path={}", place.socket().display())).is_err() {
        if let Some(status) = child.try_wait().unwrap() {
            panic!("dbus-daemon ended: {status}");
        }
        assert!(std::time::Instant::now() < deadline, "dbus-daemon not ready in time");
        std::thread::yield_now();
    }
    Some(child)
}
