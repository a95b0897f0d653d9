//! Both real ends of the wire: the runtime's connection here, the host in a thread, a plugin made of C tables in it.
#![expect(
    unsafe_code,
    reason = "the plugin of these tests is on the other side of the C interface"
)]

use std::ffi::c_void;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nexcage_plugin_abi::extension::Extension;
use nexcage_plugin_abi::host::Loaded;
use nexcage_plugin_abi::table::{
    NXC_API_VERSION, NXC_INTERNAL, NXC_LOG_DEBUG, NXC_LOG_WARN, NXC_OK, NXC_TIMEOUT, NxcCliCommand, NxcHost, NxcPlugin,
    NxcSink, NxcStr,
};
use nexcage_plugin_types::broker::Effect;
use nexcage_plugin_types::frame::{Frame, Kind, Method, PROTOCOL};
use nexcage_plugin_types::message::{Hello, LogLevel, LogLine, Metric, Ready};
use nexcage_plugin_types::session::Limits;
use nexcage_plugins::connection::{Answer, CallError, Connection, Effects};

use super::{ServeError, Steps, serve};

const AMPLE: Duration = Duration::from_secs(60);

/// What the test plugin keeps: the host's table.
struct Context {
    host: *const NxcHost,
}

impl Context {
    /// # Safety
    ///
    /// `ctx` comes from [`entry`].
    unsafe fn of(ctx: *mut c_void) -> &'static NxcHost {
        // SAFETY: `entry` leaked the context.
        let context = unsafe { &*ctx.cast::<Self>() };
        // SAFETY: the host keeps its table for as long as the plugin.
        unsafe { &*context.host }
    }
}

fn text(bytes: NxcStr) -> String {
    // SAFETY: lent for the call that this is used in.
    String::from_utf8_lossy(unsafe { bytes.bytes() }).into_owned()
}

fn log(host: &NxcHost, level: u32, message: &str) {
    let (target, message) = (NxcStr::lend(b"test"), NxcStr::lend(message.as_bytes()));
    // SAFETY: a function of the host's table, with its context.
    unsafe { host.log.unwrap()(host.ctx, level, target, message) };
}

fn reply(host: &NxcHost, call: u64, bytes: &[u8]) {
    // SAFETY: a function of the host's table, with its context.
    let code = unsafe { host.reply_write.unwrap()(host.ctx, call, NxcStr::lend(bytes)) };
    assert_eq!(code, NXC_OK);
}

/// Refuses to start when its configuration says so.
unsafe extern "C" fn init(ctx: *mut c_void, call: u64, input: NxcStr) -> i32 {
    // SAFETY: the host hands back our context.
    let host = unsafe { Context::of(ctx) };
    let config = text(input);
    log(host, NXC_LOG_WARN, &format!("start with {config}"));
    log(host, NXC_LOG_DEBUG, "not wanted");
    if config.contains("refuse") {
        reply(host, call, b"it is too\nlate");
        return NXC_INTERNAL;
    }
    NXC_OK
}

unsafe extern "C" fn deinit(ctx: *mut c_void, _call: u64, _input: NxcStr) -> i32 {
    // SAFETY: the host hands back our context.
    let host = unsafe { Context::of(ctx) };
    log(host, NXC_LOG_WARN, "end");
    NXC_OK
}

/// Replies what it gets, and the time that is left.
unsafe extern "C" fn echo(ctx: *mut c_void, call: u64, input: NxcStr) -> i32 {
    // SAFETY: the host hands back our context.
    let host = unsafe { Context::of(ctx) };
    // SAFETY: a function of the host's table, with its context.
    let left = unsafe { host.deadline_ms.unwrap()(host.ctx, call) };
    reply(
        host,
        call,
        format!("{} {}", text(input), left > 0 && left <= 60_000).as_bytes(),
    );
    NXC_OK
}

/// Works until it is told to stop.
unsafe extern "C" fn wait(ctx: *mut c_void, call: u64, _input: NxcStr) -> i32 {
    // SAFETY: the host hands back our context.
    let host = unsafe { Context::of(ctx) };
    // SAFETY: a function of the host's table, with its context.
    while unsafe { host.cancelled.unwrap()(host.ctx, call) } == 0 {
        thread::yield_now();
    }
    NXC_TIMEOUT
}

/// Asks for the effect that it is given, writes to a descriptor that comes, and replies what comes with it.
unsafe extern "C" fn ask(ctx: *mut c_void, call: u64, input: NxcStr) -> i32 {
    // SAFETY: the host hands back our context.
    let host = unsafe { Context::of(ctx) };
    let mut answer: Vec<u8> = Vec::new();
    let sink = NxcSink {
        struct_size: u32::try_from(size_of::<NxcSink>()).unwrap(),
        api_version: NXC_API_VERSION,
        ctx: (&raw mut answer).cast(),
        write: Some(sink_write),
        descriptor: Some(sink_descriptor),
    };
    // SAFETY: a function of the host's table, with its context and a sink that lives during the call.
    let code = unsafe { host.broker_call.unwrap()(host.ctx, call, input, NxcStr::lend(b"{}"), &raw const sink) };
    reply(host, call, &answer);
    code
}

unsafe extern "C" fn sink_write(ctx: *mut c_void, bytes: NxcStr) -> i32 {
    // SAFETY: the sink's context is the vector of `ask`.
    let answer = unsafe { &mut *ctx.cast::<Vec<u8>>() };
    answer.extend_from_slice(text(bytes).as_bytes());
    NXC_OK
}

unsafe extern "C" fn sink_descriptor(_ctx: *mut c_void, fd: i32) -> i32 {
    // SAFETY: the descriptor is ours from here on.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(b"from the plugin").unwrap();
    NXC_OK
}

unsafe extern "C" fn extension(_ctx: *mut c_void, name: NxcStr) -> *const c_void {
    if text(name) != Extension::CliCommand.id() {
        return std::ptr::null();
    }
    let table = NxcCliCommand {
        struct_size: u32::try_from(size_of::<NxcCliCommand>()).unwrap(),
        api_version: NXC_API_VERSION,
        list_commands: None,
        help: Some(wait),
        validate: Some(ask),
        execute: Some(echo),
        complete: None,
    };
    Box::leak(Box::new(table)) as *const NxcCliCommand as *const c_void
}

unsafe extern "C" fn entry(_host_api: u32, host: *const NxcHost, plugin: *mut *const NxcPlugin) -> i32 {
    let context = Box::leak(Box::new(Context { host }));
    let table = Box::leak(Box::new(NxcPlugin {
        struct_size: u32::try_from(size_of::<NxcPlugin>()).unwrap(),
        api_version: NXC_API_VERSION,
        ctx: (&raw mut *context).cast(),
        name: NxcStr::lend(b"test"),
        version: NxcStr::lend(b"1.2.3"),
        init: Some(init),
        deinit: Some(deinit),
        config_reload: Some(echo),
        health_check: Some(echo),
        get_extension: Some(extension),
    }));
    // SAFETY: the host gives a place to store the table's address in.
    unsafe { *plugin = table };
    NXC_OK
}

#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    asked: Vec<Effect>,
    answer: Answer,
}

impl Effects for Seen {
    fn log(&mut self, line: LogLine) {
        self.lines.push(line.message);
    }

    fn metric(&mut self, _metric: Metric) {}

    fn broker(&mut self, method: u32, _body: &[u8], _deadline: Instant) -> Answer {
        self.asked.extend(Effect::from_number(method));
        std::mem::take(&mut self.answer)
    }
}

type Served = JoinHandle<Result<(), ServeError>>;

fn hello(config: &str) -> Hello {
    Hello {
        protocol: [PROTOCOL, PROTOCOL],
        nexcage: "0.1.0".into(),
        plugin: "test".into(),
        config: serde_json::Value::String(config.into()),
        log_level: LogLevel::Info,
    }
}

fn host(socket: UnixStream) -> Served {
    thread::spawn(move || {
        let steps = Steps {
            // SAFETY: the entry function above follows the interface.
            load: |offered| unsafe { Loaded::enter(entry, offered) },
            tighten: || Ok(()),
        };
        serve(socket, steps)
    })
}

fn started(seen: &mut Seen) -> (Connection, Ready, Served) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let served = host(theirs);
    let (connection, ready) = Connection::open(ours, &hello("x"), Limits::default(), AMPLE, seen).unwrap();
    (connection, ready, served)
}

fn method(function: &str) -> Method {
    Method::of(Extension::CliCommand.id(), function).unwrap()
}

#[track_caller]
fn check(connection: &mut Connection, seen: &mut Seen, function: &str, input: &str, expected: (u32, &str)) {
    let reply = connection.call(method(function), input.into(), AMPLE, seen).unwrap();
    assert_eq!(
        (reply.status, String::from_utf8(reply.body).unwrap().as_str()),
        expected
    );
}

#[test]
fn a_plugin_is_loaded_called_and_taken_down() {
    let mut seen = Seen::default();
    let (mut connection, ready, served) = started(&mut seen);
    assert_eq!(
        (ready.api, ready.extensions),
        (NXC_API_VERSION, vec!["nexcage.cli_command/1".to_owned()])
    );
    for _ in 0..3 {
        check(&mut connection, &mut seen, "execute", "{}", (0, "{} true"));
        connection.ping(AMPLE, &mut seen).unwrap();
    }
    let health = connection
        .call(Method::HEALTH_CHECK, Vec::new(), AMPLE, &mut seen)
        .unwrap();
    assert_eq!(health.body, b" true");
    connection.close(AMPLE, &mut seen).unwrap();
    served.join().unwrap().unwrap();
    assert_eq!(seen.lines, ["start with \"x\"", "end"]);
}

#[test]
fn every_method_of_the_wire_is_a_function_of_the_interface() {
    let mut methods = Method::all();
    for extension in Extension::ALL {
        for function in extension.functions() {
            assert_eq!(
                methods.next().and_then(Method::function),
                Some((extension.id(), *function))
            );
        }
    }
    assert_eq!(methods.next(), None);
}

#[test]
fn a_function_that_the_plugin_lacks_is_unsupported() {
    let mut seen = Seen::default();
    let (mut connection, _, _served) = started(&mut seen);
    let text = r#"{"message":"call nexcage.cli_command/1 complete: the plugin does not have it"}"#;
    check(&mut connection, &mut seen, "complete", "", (2, text));
    let backend = Method::of("nexcage.backend/1", "create").unwrap();
    assert_eq!(
        connection.call(backend, Vec::new(), AMPLE, &mut seen).unwrap().status,
        2
    );
}

#[test]
fn an_effect_and_its_descriptor_reach_the_plugin() {
    let mut seen = Seen::default();
    let (mut connection, _, _served) = started(&mut seen);
    let (mut reader, writer) = std::io::pipe().unwrap();
    seen.answer = Answer {
        body: b"[1,2]".to_vec(),
        fd: Some(writer.into()),
        ..Answer::default()
    };
    check(&mut connection, &mut seen, "validate", "file.open", (0, "[1,2]"));
    let mut written = String::new();
    reader.read_to_string(&mut written).unwrap();
    assert_eq!(written, "from the plugin");
    assert_eq!(seen.asked, [Effect::FileOpen]);
}

#[test]
fn an_effect_that_is_refused_says_why() {
    let mut seen = Seen::default();
    let (mut connection, _, _served) = started(&mut seen);
    seen.answer = Answer {
        status: 3,
        body: br#"{"message":"capability host_command is not granted"}"#.to_vec(),
        fd: None,
    };
    let text = r#"{"message":"capability host_command is not granted"}"#;
    check(&mut connection, &mut seen, "validate", "command.execute", (3, text));
    let unknown = r#"{"message":"broker call \"host.reboot\" is unknown"}"#;
    check(&mut connection, &mut seen, "validate", "host.reboot", (2, unknown));
    assert_eq!(seen.asked, [Effect::CommandExecute]);
}

#[test]
fn a_plugin_hears_that_it_is_cancelled() {
    let mut seen = Seen::default();
    let (mut connection, _, served) = started(&mut seen);
    let waited = connection.call(method("help"), Vec::new(), Duration::from_millis(20), &mut seen);
    match waited.unwrap_err() {
        CallError::Deadline { is_usable: true, .. } => check(&mut connection, &mut seen, "execute", "a", (0, "a true")),
        // On a busy machine the plugin's answer may come after the grace; it has ended all the same.
        CallError::Deadline { .. } => {}
        error => panic!("{error}"),
    }
    // Nothing of the plugin runs on: the host sees the end of the socket.
    drop(connection);
    assert!(matches!(served.join().unwrap(), Err(ServeError::Socket { .. })));
}

#[test]
fn a_plugin_that_does_not_start_is_told_in_one_line() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let served = host(theirs);
    let opened = Connection::open(ours, &hello("refuse"), Limits::default(), AMPLE, &mut Seen::default());
    let text = "plugin host: start the plugin: call init: internal: it is too\\u{a}late";
    assert_eq!(opened.unwrap_err().to_string(), text);
    assert!(matches!(served.join().unwrap(), Err(ServeError::Init { .. })));
}

#[test]
fn another_plugin_than_the_manifest_names_is_refused() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let served = host(theirs);
    let other = Hello {
        plugin: "other".into(),
        ..hello("x")
    };
    let opened = Connection::open(ours, &other, Limits::default(), AMPLE, &mut Seen::default());
    let text = "plugin host: load plugin \"other\": its file says that it is \"test\"";
    assert_eq!(opened.unwrap_err().to_string(), text);
    assert!(matches!(served.join().unwrap(), Err(ServeError::Name { .. })));
}

#[test]
fn a_sandbox_that_cannot_be_tightened_ends_the_host() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let served = thread::spawn(move || {
        let steps = Steps {
            // SAFETY: the entry function above follows the interface.
            load: |offered| unsafe { Loaded::enter(entry, offered) },
            tighten: || Err("no seccomp".into()),
        };
        serve(theirs, steps)
    });
    let body = serde_json::to_vec(&hello("x")).unwrap();
    ours.write_all(&Frame::new(Kind::Hello, 0, body).to_bytes().unwrap())
        .unwrap();
    assert!(matches!(served.join().unwrap(), Err(ServeError::Tighten { .. })));
    let mut told = String::new();
    ours.read_to_string(&mut told).unwrap();
    assert!(told.contains("tighten the sandbox: no seccomp"), "{told:?}");
}

#[test]
fn a_runtime_of_another_release_is_refused() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let served = host(theirs);
    let newer = Hello {
        protocol: [2, 3],
        ..hello("x")
    };
    let body = serde_json::to_vec(&newer).unwrap();
    ours.write_all(&Frame::new(Kind::Hello, 0, body).to_bytes().unwrap())
        .unwrap();
    let text = "speak protocol 1: the runtime knows 2 to 3: install both from one release";
    assert_eq!(served.join().unwrap().unwrap_err().to_string(), text);
}

#[test]
fn what_is_no_runtime_is_left() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let served = host(theirs);
    ours.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(matches!(served.join().unwrap(), Err(ServeError::Frame { .. })));
}
