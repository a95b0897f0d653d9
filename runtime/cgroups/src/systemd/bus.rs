//! A connection to systemd: the D-Bus handshake, one call at a time, and the signal that ends a job.
//!
//! Owns sockets and framing; values are marshalled by zvariant. Knows nothing of control groups.
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use zvariant::serialized::{Context, Data};
use zvariant::{DynamicType, LE, ObjectPath, OwnedObjectPath, OwnedValue, Signature, Value};

use crate::error::CgroupError;

/// How long systemd may take to answer, or to finish a job.
const LIMIT: Duration = Duration::from_secs(30);
/// No answer of systemd is larger; the protocol's own bound is 128 MiB.
const MAX_MESSAGE: usize = 16 << 20;

const SYSTEMD: &str = "org.freedesktop.systemd1";
const SYSTEMD_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const DBUS: &str = "org.freedesktop.DBus";

/// Whose systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    System,
    User,
}

impl Owner {
    /// A rootless caller has a systemd of its own.
    pub(super) fn of(rootless: bool) -> Self {
        if rootless { Self::User } else { Self::System }
    }

    /// Addresses to try, best first; the flag says whether a bus daemon listens there.
    fn addresses(self) -> Vec<(String, bool)> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match self {
            Self::System => vec![
                (
                    env("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or("unix:path=/run/dbus/system_bus_socket".to_owned()),
                    true,
                ),
                ("unix:path=/run/systemd/private".to_owned(), false),
            ],
            Self::User => {
                let runtime = env("XDG_RUNTIME_DIR");
                let bus = runtime.as_ref().map(|dir| (format!("unix:path={dir}/bus"), true));
                let private = runtime
                    .as_ref()
                    .map(|dir| (format!("unix:path={dir}/systemd/private"), false));
                env("DBUS_SESSION_BUS_ADDRESS")
                    .map(|text| (text, true))
                    .into_iter()
                    .chain(bus)
                    .chain(private)
                    .collect()
            }
        }
    }
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// systemd said no.
    #[error("call systemd {member}: {name}: {text}")]
    Refused {
        member: &'static str,
        name: String,
        text: String,
    },
    /// The message did not get there, or the answer makes no sense.
    #[error("call systemd {member}: {why}")]
    Broken { member: &'static str, why: String },
}

impl CallError {
    /// Whether systemd answered with a certain error.
    pub(super) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { name, .. } if name == wanted)
    }

    /// The error for a call about a unit.
    pub(super) fn about(self, unit: &str) -> CgroupError {
        match self {
            Self::Refused { member, name, text } => CgroupError::Unit {
                member,
                unit: unit.to_owned(),
                name,
                text,
            },
            Self::Broken { member, why } => CgroupError::Bus { member, why },
        }
    }
}

/// The header of a message: byte order, kind, flags, version, body length, serial, fields.
pub(super) type Header = (u8, u8, u8, u8, u32, u32, Vec<(u8, OwnedValue)>);

/// Kinds of messages.
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// A message that was received.
pub(super) struct Message {
    pub(super) header: Header,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// A header field that is a text.
    fn text(&self, code: u8) -> Option<&str> {
        let (_, value) = self.header.6.iter().find(|(field, _)| *field == code)?;
        value.downcast_ref::<&str>().ok()
    }

    /// Serial of the call that this answers.
    fn answers(&self) -> Option<u32> {
        let (_, value) = self.header.6.iter().find(|(field, _)| *field == 5)?;
        value.downcast_ref::<u32>().ok()
    }

    /// Reads the body.
    fn read<T: serde::de::DeserializeOwned + zvariant::Type>(&self) -> zvariant::Result<T> {
        let data = Data::new(self.body.as_slice(), Context::new_dbus(LE, 0));
        data.deserialize::<T>().map(|(value, _)| value)
    }
}

/// A connection to systemd.
pub(super) struct Bus {
    socket: UnixStream,
    serial: u32,
    subscribed: bool,
    daemon: bool,
    /// Signals that came in before the answer to a call.
    early: Vec<Message>,
}

/// What is called where.
struct Target {
    path: &'static str,
    destination: &'static str,
    interface: &'static str,
}

const TO_MANAGER: Target = Target {
    path: SYSTEMD_PATH,
    destination: SYSTEMD,
    interface: MANAGER,
};
const TO_DAEMON: Target = Target {
    path: "/org/freedesktop/DBus",
    destination: DBUS,
    interface: DBUS,
};

impl Bus {
    /// Connects to systemd, by the bus or, without a bus daemon, directly.
    ///
    /// # Errors
    ///
    /// [`CgroupError::BusConnect`] for the first address, [`CgroupError::Bus`].
    pub(super) fn connect(owner: Owner) -> Result<Self, CgroupError> {
        let mut first = None;
        for (address, daemon) in owner.addresses() {
            match dial(&address) {
                Ok(socket) => return Self::greet(socket, daemon),
                Err(source) => first = first.or(Some(CgroupError::BusConnect { address, source })),
            }
        }
        Err(first.unwrap_or_else(|| CgroupError::Bus {
            member: "Hello",
            why: "neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set".to_owned(),
        }))
    }

    /// Introduces itself on a fresh connection.
    fn greet(socket: UnixStream, daemon: bool) -> Result<Self, CgroupError> {
        let mut bus = Self {
            socket,
            serial: 0,
            subscribed: false,
            daemon,
            early: Vec::new(),
        };
        bus.authenticate().map_err(|error| CgroupError::Bus {
            member: "AUTH",
            why: error.to_string(),
        })?;
        if daemon {
            bus.send_call(&TO_DAEMON, "Hello", "", &())
                .and_then(|serial| bus.answer("Hello", serial))
                .map_err(|error| error.about(""))?;
        }
        Ok(bus)
    }

    /// Authenticates by the socket's peer credentials; an empty identity works in a user namespace too.
    ///
    /// All is sent at once, as systemd's own client does: a message that reaches systemd in one piece with `BEGIN` is left
    /// lying there.
    fn authenticate(&mut self) -> io::Result<()> {
        self.socket.set_read_timeout(Some(LIMIT))?;
        self.socket.set_write_timeout(Some(LIMIT))?;
        self.socket.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        loop {
            let line = self.read_line()?;
            if line.starts_with("OK") {
                return Ok(());
            }
            if !line.starts_with("DATA") {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("not authenticated: {line}"),
                ));
            }
        }
    }

    /// Reads one line of the handshake.
    fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0_u8];
        while !line.ends_with(b"\r\n") && line.len() < 1024 {
            self.socket.read_exact(&mut byte)?;
            line.extend_from_slice(&byte);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Calls a method of systemd's manager and waits for the answer.
    pub(super) fn call<B: serde::Serialize + DynamicType>(
        &mut self,
        member: &'static str,
        signature: &str,
        body: &B,
    ) -> Result<Message, CallError> {
        let serial = self.send_call(&TO_MANAGER, member, signature, body)?;
        self.answer(member, serial)
    }

    /// Reads a property of systemd's manager.
    pub(super) fn manager_property(&mut self, name: &'static str) -> Result<String, CgroupError> {
        let target = Target {
            interface: "org.freedesktop.DBus.Properties",
            ..TO_MANAGER
        };
        let answer = self
            .send_call(&target, "Get", "ss", &(MANAGER, name))
            .and_then(|serial| self.answer("Get", serial))
            .map_err(|error| error.about(""))?;
        let bad = |why: String| CgroupError::Bus { member: "Get", why };
        let value: OwnedValue = answer.read().map_err(|error| bad(error.to_string()))?;
        value
            .downcast_ref::<&str>()
            .map(str::to_owned)
            .map_err(|error| bad(error.to_string()))
    }

    /// Calls a method that starts a job, and waits until the job has ended.
    ///
    /// Returns the job's result, `done` when all is well.
    pub(super) fn run_job<B: serde::Serialize + DynamicType>(
        &mut self,
        member: &'static str,
        signature: &str,
        body: &B,
    ) -> Result<String, CallError> {
        self.subscribe()?;
        self.early.clear();
        let broken = |why: String| CallError::Broken { member, why };
        let answer = self.call(member, signature, body)?;
        let job = answer
            .read::<OwnedObjectPath>()
            .map_err(|error| broken(error.to_string()))?;
        loop {
            // A job that is done at once may end before its own number is known here.
            let message = match self.early.pop() {
                Some(message) => message,
                None => self.receive().map_err(|error| broken(error.to_string()))?,
            };
            if message.header.1 != SIGNAL || message.text(3) != Some("JobRemoved") {
                continue;
            }
            let (_, path, _, result) = message
                .read::<(u32, OwnedObjectPath, String, String)>()
                .map_err(|error| broken(error.to_string()))?;
            if path == job {
                return Ok(result);
            }
        }
    }

    /// Asks for the signals about jobs, once a connection.
    fn subscribe(&mut self) -> Result<(), CallError> {
        if self.subscribed {
            return Ok(());
        }
        if self.daemon {
            let rule = format!("type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'");
            let serial = self.send_call(&TO_DAEMON, "AddMatch", "s", &(rule.as_str(),))?;
            self.answer("AddMatch", serial)?;
        }
        self.call("Subscribe", "", &())?;
        self.subscribed = true;
        Ok(())
    }

    /// Sends a call.
    fn send_call<B: serde::Serialize + DynamicType>(
        &mut self,
        target: &Target,
        member: &'static str,
        signature: &str,
        body: &B,
    ) -> Result<u32, CallError> {
        self.serial = self.serial.wrapping_add(1).max(1);
        let broken = |why: String| CallError::Broken { member, why };
        let message = encode_call(self.serial, target, member, signature, body).map_err(|e| broken(e.to_string()))?;
        self.socket
            .write_all(&message)
            .map_err(|error| broken(error.to_string()))?;
        Ok(self.serial)
    }

    /// Waits for the answer to a call; what else comes in meanwhile is kept.
    fn answer(&mut self, member: &'static str, serial: u32) -> Result<Message, CallError> {
        loop {
            let message = self.receive().map_err(|error| CallError::Broken {
                member,
                why: error.to_string(),
            })?;
            if message.answers() != Some(serial) {
                self.early.push(message);
                continue;
            }
            match message.header.1 {
                RETURN => return Ok(message),
                ERROR => {
                    let name = message.text(4).unwrap_or("unnamed error").to_owned();
                    let text = message.read::<String>().unwrap_or_default();
                    return Err(CallError::Refused { member, name, text });
                }
                _ => {}
            }
        }
    }

    /// Reads one message.
    fn receive(&mut self) -> io::Result<Message> {
        let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let mut head = vec![0_u8; 16];
        self.socket.read_exact(&mut head)?;
        let number = |at: usize| -> Option<usize> {
            let bytes: [u8; 4] = head.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(bytes)).ok()
        };
        if head.first() != Some(&b'l') {
            return Err(bad("message in a byte order that was not asked for"));
        }
        let (Some(body), Some(fields)) = (number(4), number(12)) else {
            return Err(bad("short message"));
        };
        let padded = fields.saturating_add(7) & !7;
        if padded.saturating_add(body) > MAX_MESSAGE {
            return Err(bad("message too large"));
        }
        head.resize(16 + padded, 0);
        self.socket.read_exact(head.get_mut(16..).unwrap_or_default())?;
        let mut text = vec![0_u8; body];
        self.socket.read_exact(&mut text)?;
        let data = Data::new(head.as_slice(), Context::new_dbus(LE, 0));
        let (header, _) = data.deserialize::<Header>().map_err(|error| bad(&error.to_string()))?;
        Ok(Message { header, body: text })
    }
}

/// Connects to a D-Bus address; only the unix transports are for a machine's own systemd.
fn dial(address: &str) -> io::Result<UnixStream> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "no unix address");
    for one in address.split(';') {
        let Some(pairs) = one.strip_prefix("unix:") else {
            continue;
        };
        for pair in pairs.split(',') {
            let connected = match pair.split_once('=') {
                Some(("path", path)) => UnixStream::connect(unescape(path)),
                Some(("abstract", name)) => {
                    SocketAddr::from_abstract_name(unescape(name)).and_then(|at| UnixStream::connect_addr(&at))
                }
                _ => continue,
            };
            match connected {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

/// Undoes the `%41` escapes of a D-Bus address.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .filter(|_| *first == b'%')
        {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A header field's value.
pub(super) enum Field<'f> {
    Value(Value<'f>),
    /// The body's signature. zvariant would put several values into parentheses, which makes them one.
    Signature(&'f str),
}

/// A text of the type `g`.
struct SignatureText<'f>(&'f str);

impl zvariant::Type for SignatureText<'_> {
    const SIGNATURE: &'static Signature = &Signature::Signature;
}

impl serde::Serialize for SignatureText<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl zvariant::Type for Field<'_> {
    const SIGNATURE: &'static Signature = &Signature::Variant;
}

impl serde::Serialize for Field<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Signature(text) => zvariant::SerializeValue(&SignatureText(text)).serialize(serializer),
        }
    }
}

/// Builds a call: header, padding, body.
fn encode_call<B: serde::Serialize + DynamicType>(
    serial: u32,
    target: &Target,
    member: &str,
    signature: &str,
    body: &B,
) -> zvariant::Result<Vec<u8>> {
    let context = Context::new_dbus(LE, 0);
    let body = if signature.is_empty() {
        Vec::new()
    } else {
        zvariant::to_bytes(context, body)?.bytes().to_vec()
    };
    let length = u32::try_from(body.len()).map_err(|_long| zvariant::Error::OutOfBounds)?;
    let mut fields: Vec<(u8, Field<'_>)> = vec![
        (1, Field::Value(Value::from(ObjectPath::try_from(target.path)?))),
        (2, Field::Value(Value::from(target.interface))),
        (3, Field::Value(Value::from(member))),
        (6, Field::Value(Value::from(target.destination))),
    ];
    if !signature.is_empty() {
        fields.push((8, Field::Signature(signature)));
    }
    let header = (b'l', CALL, 0_u8, 1_u8, length, serial, fields);
    let mut message = zvariant::to_bytes(context, &header)?.bytes().to_vec();
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend_from_slice(&body);
    Ok(message)
}

#[cfg(test)]
mod tests;
