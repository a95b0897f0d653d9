//! A host's whole life as a process: this program starts itself as the host, under the real filter of system calls, with a
//! plugin in it that does what it is told, good or bad.
#![expect(unsafe_code, reason = "the plugin is on the other side of the C interface")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test program: it prints, and ends at the first surprise"
)]

use std::ffi::c_void;
use std::hint::black_box;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nexcage_plugin_abi::extension::Extension;
use nexcage_plugin_abi::host::Loaded;
use nexcage_plugin_abi::table::{NXC_API_VERSION, NXC_OK, NxcCliCommand, NxcHost, NxcPlugin, NxcStr};
use nexcage_plugin_host::life::{Loader, live};
use nexcage_plugin_host::sandbox::Layers;
use nexcage_plugin_types::frame::{Method, PROTOCOL};
use nexcage_plugin_types::manifest::ResourceRequirements;
use nexcage_plugin_types::message::{Hello, LogLevel, LogLine, Metric};
use nexcage_plugin_types::session::Limits;
use nexcage_plugins::connection::{Answer, CallError, Effects};
use nexcage_plugins::process::{Confinement, HostProcess, Privileges, Start, StartError};
use nexcage_sys::process::effective_uid;

const AMPLE: Duration = Duration::from_secs(60);

/// The host's table, for the plugin of this process.
static HOST: std::sync::OnceLock<usize> = std::sync::OnceLock::new();

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--host") {
        return host();
    }
    let mut failed = 0;
    for (name, case) in CASES {
        let is_ok = catch_unwind(case).is_ok();
        println!("test {name} ... {}", if is_ok { "ok" } else { "FAILED" });
        failed += usize::from(!is_ok);
    }
    println!("{} passed, {failed} failed", CASES.len() - failed);
    ExitCode::from(u8::from(failed > 0))
}

/// The host: the plugin is in this program already.
fn host() -> ExitCode {
    let loader = Loader {
        preload: |_name: &str| Ok(()),
        // SAFETY: the entry function below follows the interface.
        load: |_object: &Path, offered| unsafe { Loaded::enter(entry, offered) },
    };
    live(loader, Layers::All)
}

unsafe extern "C" fn nothing(_ctx: *mut c_void, _call: u64, _input: NxcStr) -> i32 {
    NXC_OK
}

unsafe extern "C" fn init(_ctx: *mut c_void, _call: u64, input: NxcStr) -> i32 {
    // SAFETY: lent for this call.
    let config = unsafe { input.bytes() };
    if config == b"\"abort\"" {
        std::process::abort();
    }
    if config == b"\"hang\"" {
        spin();
    }
    NXC_OK
}

/// Does what it is told, and replies what came of it.
unsafe extern "C" fn execute(_ctx: *mut c_void, call: u64, input: NxcStr) -> i32 {
    // SAFETY: lent for this call.
    let told = String::from_utf8_lossy(unsafe { input.bytes() }).into_owned();
    let answer = match told.as_str() {
        "abort" => std::process::abort(),
        "exit" => {
            // SAFETY: ends this process at once.
            unsafe { libc::_exit(0) }
        }
        "spin" => spin(),
        "overflow" => recurse(0),
        "fault" => {
            let nowhere = black_box(std::ptr::without_provenance::<u64>(8));
            // SAFETY: none: the plugin is meant to crash here, and its process is all that does.
            unsafe { nowhere.read_volatile() }
        }
        "socket" => {
            // SAFETY: three integers.
            let made = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
            u64::from(made >= 0)
        }
        "execve" => {
            let none = [std::ptr::null()];
            // SAFETY: the path and both lists end with NUL.
            unsafe { libc::execve(c"/bin/true".as_ptr(), none.as_ptr(), none.as_ptr()) };
            1
        }
        "kill" => {
            let parent = std::os::unix::process::parent_id().cast_signed();
            // SAFETY: two integers.
            let killed = unsafe { libc::kill(parent, 0) };
            u64::from(killed == 0)
        }
        "threads" => u64::from(std::thread::spawn(|| 7_u8).join().is_ok_and(|seven| seven == 7)),
        _ => 42,
    };
    reply(call, &answer.to_string());
    NXC_OK
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

#[expect(unconditional_recursion, reason = "the plugin is meant to run out of stack")]
fn recurse(depth: u64) -> u64 {
    let ballast = black_box([depth; 512]);
    recurse(depth + 1) + ballast.iter().sum::<u64>()
}

fn reply(call: u64, text: &str) {
    let host: *const NxcHost = std::ptr::with_exposed_provenance(*HOST.get().unwrap());
    // SAFETY: the host keeps its table for as long as its process.
    let host = unsafe { &*host };
    // SAFETY: a function of the host's table, with its context.
    unsafe { host.reply_write.unwrap()(host.ctx, call, NxcStr::lend(text.as_bytes())) };
}

unsafe extern "C" fn extension(_ctx: *mut c_void, name: NxcStr) -> *const c_void {
    // SAFETY: lent for this call.
    if unsafe { name.bytes() } != Extension::CliCommand.id().as_bytes() {
        return std::ptr::null();
    }
    let table = Box::leak(Box::new(NxcCliCommand {
        struct_size: u32::try_from(size_of::<NxcCliCommand>()).unwrap(),
        api_version: NXC_API_VERSION,
        list_commands: None,
        help: None,
        validate: None,
        execute: Some(execute),
        complete: None,
    }));
    (&raw const *table).cast()
}

unsafe extern "C" fn entry(_host_api: u32, host: *const NxcHost, plugin: *mut *const NxcPlugin) -> i32 {
    HOST.set(host.expose_provenance()).unwrap();
    let table = Box::leak(Box::new(NxcPlugin {
        struct_size: u32::try_from(size_of::<NxcPlugin>()).unwrap(),
        api_version: NXC_API_VERSION,
        ctx: std::ptr::null_mut(),
        name: NxcStr::lend(b"test"),
        version: NxcStr::lend(b"1.0.0"),
        init: Some(init),
        deinit: Some(nothing),
        config_reload: Some(nothing),
        health_check: Some(nothing),
        get_extension: Some(extension),
    }));
    // SAFETY: the host gives a place to store the table's address in.
    unsafe { *plugin = table };
    NXC_OK
}

struct Deaf;

impl Effects for Deaf {
    fn log(&mut self, line: LogLine) {
        panic!("log: {}", line.message);
    }

    fn metric(&mut self, metric: Metric) {
        panic!("metric: {}", metric.name);
    }

    fn broker(&mut self, method: u32, _body: &[u8], _deadline: Instant) -> Answer {
        panic!("broker call {method}");
    }
}

fn start_with(program: &Path, config: &str, timeout: Duration) -> Result<HostProcess, StartError> {
    let hello = Hello {
        protocol: [PROTOCOL, PROTOCOL],
        nexcage: "0.1.0".into(),
        plugin: "test".into(),
        config: serde_json::Value::String(config.into()),
        log_level: LogLevel::Warn,
    };
    let start = Start {
        program,
        argv: &["nexcage-plugin-host", "--host"],
        confinement: Confinement {
            object: std::env::current_exe().unwrap(),
            is_enabled: true,
            limits: ResourceRequirements::default(),
            libraries: Vec::new(),
            required: Vec::new(),
            privileges: if effective_uid() == 0 {
                Privileges::Root
            } else {
                Privileges::User
            },
        },
        hello: &hello,
        limits: Limits::default(),
        timeout,
    };
    HostProcess::start(start, &mut Deaf).map(|(host, _, _)| host)
}

fn started() -> HostProcess {
    start_with(&std::env::current_exe().unwrap(), "ok", AMPLE).unwrap()
}

fn tell(host: &mut HostProcess, what: &str, timeout: Duration) -> Result<String, CallError> {
    let execute = Method::of(Extension::CliCommand.id(), "execute").unwrap();
    let reply = host.connection().call(execute, what.into(), timeout, &mut Deaf)?;
    assert_eq!(reply.status, 0);
    Ok(String::from_utf8(reply.body).unwrap())
}

/// Zombies are gone too.
#[track_caller]
fn check_gone(pid: i32) {
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is left");
}

const CASES: [(&str, fn()); 8] = [
    ("a_host_serves_and_ends", serves_and_ends),
    ("a_dropped_host_is_killed", dropped),
    ("a_plugin_that_crashes_is_an_error_at_once", crashes),
    ("a_plugin_that_spins_is_ended_at_the_deadline", spins),
    ("a_plugin_that_does_not_start_leaves_no_process", does_not_start),
    ("a_plugin_may_have_threads", threads),
    ("a_plugin_has_no_sockets_programs_or_signals", confined),
    ("a_program_that_is_none_is_an_error_that_names_it", no_program),
];

fn serves_and_ends() {
    let mut host = started();
    let pid = host.pid();
    for _ in 0..3 {
        assert_eq!(tell(&mut host, "answer", AMPLE).unwrap(), "42");
    }
    host.close(AMPLE, &mut Deaf).unwrap();
    check_gone(pid);
}

fn dropped() {
    let host = started();
    let pid = host.pid();
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    drop(host);
    check_gone(pid);
}

fn crashes() {
    for crash in ["abort", "exit", "overflow", "fault"] {
        let mut host = started();
        let pid = host.pid();
        assert!(
            matches!(tell(&mut host, crash, AMPLE), Err(CallError::Closed)),
            "{crash}"
        );
        drop(host);
        check_gone(pid);
    }
}

fn spins() {
    let mut host = started();
    let pid = host.pid();
    let error = tell(&mut host, "spin", Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, CallError::Deadline { is_usable: false, .. }), "{error}");
    drop(host);
    check_gone(pid);
}

fn does_not_start() {
    let exe = std::env::current_exe().unwrap();
    let error = start_with(&exe, "abort", AMPLE).unwrap_err();
    let text = error.to_string();
    // The first process of a pid namespace gets no SIGABRT of its own; what abort does next ends it.
    assert_eq!(text, "start plugin \"test\" (signal 11)");
    let error = start_with(&exe, "hang", Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.to_string(), "start plugin \"test\"");
    let children = nexcage_sys::procfs::read_children(std::process::id().cast_signed()).unwrap();
    assert!(children.is_empty(), "{children:?}");
}

fn threads() {
    let mut host = started();
    assert_eq!(tell(&mut host, "threads", AMPLE).unwrap(), "1");
}

fn confined() {
    let mut host = started();
    assert_eq!(tell(&mut host, "socket", AMPLE).unwrap(), "0");
    assert_eq!(tell(&mut host, "kill", AMPLE).unwrap(), "0");
    assert!(matches!(tell(&mut host, "execve", AMPLE), Err(CallError::Closed)));
}

fn no_program() {
    let error = start_with(Path::new("/nonexistent/host"), "ok", AMPLE).unwrap_err();
    let StartError::Launch { source } = error else {
        panic!("{error}")
    };
    assert_eq!(source.to_string(), "execute \"/nonexistent/host\"");
}
