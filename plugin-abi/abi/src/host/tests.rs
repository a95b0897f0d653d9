use std::ffi::c_void;
use std::ptr::null;

use super::*;
use crate::table::{NXC_API_VERSION, NXC_INTERNAL, NXC_NOT_FOUND, NXC_OK, NXC_RESOURCE_LIMIT};

struct Quiet;

impl Host for Quiet {
    fn log(&self, _level: Level, _target: &str, _message: &str) {}
    fn metric(&self, _name: &str, _value: f64, _labels: &[u8]) {}
    fn broker_call(&self, _call: u64, method: &str, _input: &[u8]) -> Result<Answer, Failure> {
        Err(Failure {
            status: Status::PermissionDenied,
            text: format!("{method} is not granted"),
        })
    }
    fn is_cancelled(&self, call: u64) -> bool {
        call == 13
    }
    fn time_left(&self, call: u64) -> Option<Duration> {
        (call == 13).then(|| Duration::from_millis(250))
    }
}

/// The offered table of the last entry; each test that uses it holds its context alone.
struct Context {
    host: *const NxcHost,
    table: NxcPlugin,
    hook: [usize; 3],
}

unsafe extern "C" fn nothing(_ctx: *mut c_void, _call: u64, _input: NxcStr) -> i32 {
    NXC_OK
}

/// Replies its input; `!` fails with it, `>` replies until there is no more room.
unsafe extern "C" fn echo(ctx: *mut c_void, call: u64, input: NxcStr) -> i32 {
    // SAFETY: the context is that of `entry`.
    let context = unsafe { &*ctx.cast::<Context>() };
    // SAFETY: the host's table lives for ever.
    let host = unsafe { &*context.host };
    let write = host.reply_write.unwrap();
    // SAFETY: lent for the call.
    let bytes = unsafe { input.bytes() };
    // SAFETY: the host's own function and context.
    let mut code = unsafe { write(host.ctx, call, input) };
    while code == NXC_OK && bytes == b">" {
        // SAFETY: the host's own function and context.
        code = unsafe { write(host.ctx, call, NxcStr::lend(&[0; 4096])) };
    }
    match bytes {
        b"!" => NXC_NOT_FOUND,
        b">" => {
            assert_eq!(code, NXC_RESOURCE_LIMIT);
            NXC_OK
        }
        _ => code,
    }
}

unsafe extern "C" fn extension(ctx: *mut c_void, name: NxcStr) -> *const c_void {
    // SAFETY: the context is that of `entry`.
    let context = unsafe { &*ctx.cast::<Context>() };
    // SAFETY: lent for the call.
    if unsafe { name.bytes() } == b"nexcage.hook/1" {
        context.hook.as_ptr().cast()
    } else {
        null()
    }
}

fn plugin(ctx: *mut c_void, size: u32, version: u32) -> NxcPlugin {
    NxcPlugin {
        struct_size: size,
        api_version: version,
        ctx,
        name: NxcStr::lend(b"test"),
        version: NxcStr::lend(b"1.2.3"),
        init: Some(nothing),
        deinit: Some(nothing),
        config_reload: Some(nothing),
        health_check: Some(echo),
        get_extension: Some(extension),
    }
}

unsafe fn enter_with(host: *const NxcHost, out: *mut *const NxcPlugin, change: impl FnOnce(&mut Context)) -> i32 {
    let context = Box::leak(Box::new(Context {
        host,
        table: plugin(std::ptr::null_mut(), 88, NXC_API_VERSION),
        hook: [16 | (NXC_API_VERSION as usize) << 32, echo as *const () as usize, 0],
    }));
    change(context);
    context.table.ctx = std::ptr::from_mut(context).cast();
    // SAFETY: the loader gives a place for the pointer.
    unsafe { *out = &raw const context.table };
    NXC_OK
}

macro_rules! entry {
    ($name:ident, |$context:ident| $change:expr) => {
        unsafe extern "C" fn $name(_api: u32, host: *const NxcHost, out: *mut *const NxcPlugin) -> i32 {
            // SAFETY: handed on as it came.
            unsafe { enter_with(host, out, |$context: &mut Context| $change) }
        }
    };
}

entry!(good, |_context| {});
entry!(other_major, |context| context.table.api_version = 0x0002_0001);
entry!(newer_minor, |context| context.table.api_version = NXC_API_VERSION + 5);
entry!(short, |context| context.table.struct_size = 80);
entry!(no_init, |context| context.table.init = None);
entry!(short_hook, |context| context.hook[0] =
    8 | (NXC_API_VERSION as usize) << 32);
entry!(null_hook, |context| context.hook[1] = 0);

unsafe extern "C" fn no_table(_api: u32, _host: *const NxcHost, _out: *mut *const NxcPlugin) -> i32 {
    NXC_OK
}

unsafe extern "C" fn failing(_api: u32, _host: *const NxcHost, _out: *mut *const NxcPlugin) -> i32 {
    NXC_INTERNAL
}

fn load(entry: NxcEntry) -> Result<Loaded, LoadError> {
    // SAFETY: the entries of this file follow the interface, or are refused by their first bytes.
    unsafe { Loaded::enter(entry, Box::new(Quiet)) }
}

#[track_caller]
fn check_refused(entry: NxcEntry, expected: &str) {
    assert_eq!(load(entry).unwrap_err().to_string(), expected);
}

#[test]
fn what_does_not_fit_is_refused() {
    check_refused(
        other_major,
        "nxc_plugin has plugin API 2.1, this side has 1.0: build both for one major version",
    );
    check_refused(
        short,
        "nxc_plugin says a struct_size of 80, version 1.0 has 88: set it to the struct's sizeof",
    );
    check_refused(
        no_init,
        "read nxc_plugin: init is null: set every function of nxc_plugin",
    );
    check_refused(
        short_hook,
        "nexcage.hook/1 says a struct_size of 8, version 1.0 has 16: set it to the struct's sizeof",
    );
    check_refused(
        no_table,
        "enter the plugin: it returned success but stored no nxc_plugin",
    );
    check_refused(failing, "enter the plugin: it returned status 7 (internal)");
}

#[test]
fn a_newer_minor_loads() {
    let loaded = load(newer_minor).unwrap();
    assert_eq!(loaded.api_version().to_string(), "1.5");
}

#[test]
fn a_null_function_of_an_extension_is_missing() {
    let loaded = load(null_hook).unwrap();
    let event = Function::Of(Extension::Hook, "event");
    assert!(!loaded.has(event));
    let error = loaded.call(event, 1, b"").unwrap_err();
    assert_eq!(
        error.to_string(),
        "call nexcage.hook/1 event: the plugin does not have it"
    );
    assert!(!loaded.has(Function::Of(Extension::Backend, "create")));
    assert!(!loaded.has(Function::Of(Extension::Hook, "nosuch")));
}

#[test]
fn replies_and_errors_come_back() {
    let loaded = load(good).unwrap();
    assert_eq!((loaded.name(), loaded.version()), ("test", "1.2.3"));
    let event = Function::Of(Extension::Hook, "event");
    assert_eq!(loaded.call(event, 1, b"{}").unwrap(), b"{}");
    assert_eq!(loaded.call(Function::Init, 1, b"{}").unwrap(), b"");
    let failed = |status, text: &str| CallError::Failed {
        function: "nexcage.hook/1 event".to_owned(),
        source: Failure {
            status,
            text: text.to_owned(),
        },
    };
    assert_eq!(loaded.call(event, 1, b"!").unwrap_err(), failed(Status::NotFound, "!"));
    assert_eq!(
        loaded.call(event, 1, b">").unwrap_err(),
        failed(Status::ResourceLimit, "the reply is longer than 1048576 bytes")
    );
}

#[test]
fn a_reply_needs_a_call_under_way() {
    let loaded = load(good).unwrap();
    let host = functions::offer(loaded.side);
    let write = host.reply_write.unwrap();
    // SAFETY: our own function and context.
    let code = unsafe { write(host.ctx, 99, NxcStr::lend(b"x")) };
    assert_eq!(Status::from_code(code), Some(Status::InvalidArgument));
    assert!(loaded.begin(5));
    let busy = loaded.call(Function::Init, 5, b"").unwrap_err();
    assert_eq!(busy.to_string(), "call init: call 5 is under way");
}

#[test]
fn deadline_and_cancel_are_told() {
    let loaded = load(good).unwrap();
    let host = functions::offer(loaded.side);
    let (deadline, cancelled) = (host.deadline_ms.unwrap(), host.cancelled.unwrap());
    let ask = |call| {
        // SAFETY: our own function and context.
        let left = unsafe { deadline(host.ctx, call) };
        // SAFETY: our own function and context.
        (left, unsafe { cancelled(host.ctx, call) })
    };
    assert_eq!(ask(13), (250, 1));
    assert_eq!(ask(1), (-1, 0));
}

/// Collects what a broker call answers.
unsafe extern "C" fn collect(ctx: *mut c_void, bytes: NxcStr) -> i32 {
    // SAFETY: the context is the test's own vector.
    let answer = unsafe { &mut *ctx.cast::<Vec<u8>>() };
    // SAFETY: lent for the call.
    answer.extend_from_slice(unsafe { bytes.bytes() });
    NXC_OK
}

#[test]
fn a_refused_broker_call_says_why() {
    let loaded = load(good).unwrap();
    let host = functions::offer(loaded.side);
    let broker = host.broker_call.unwrap();
    let mut answer = Vec::<u8>::new();
    let mut sink = crate::table::NxcSink {
        struct_size: 32,
        api_version: NXC_API_VERSION,
        ctx: std::ptr::from_mut(&mut answer).cast(),
        write: Some(collect),
        descriptor: None,
    };
    // SAFETY: our own function and context, and a sink that lives during the call.
    let code = unsafe { broker(host.ctx, 1, NxcStr::lend(b"dial"), NxcStr::lend(b"{}"), &raw const sink) };
    assert_eq!(Status::from_code(code), Some(Status::PermissionDenied));
    assert_eq!(answer, b"dial is not granted");
    sink.struct_size = 24;
    // SAFETY: as above.
    let code = unsafe { broker(host.ctx, 1, NxcStr::lend(b"dial"), NxcStr::lend(b"{}"), &raw const sink) };
    assert_eq!(Status::from_code(code), Some(Status::InvalidArgument));
}
