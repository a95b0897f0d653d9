//! What C sees: structs, constants and function types. `cargo xtask header` makes `plugin-abi/include/nexcage_plugin.h` from this file.
//!
//! Fields are only ever appended, and every struct starts with its size and the version that its maker was built for.

use core::ffi::{c_char, c_void};

/// The interface version of this header: major in the upper 16 bits, minor in the lower 16.
pub const NXC_API_VERSION: u32 = 0x0001_0000;

/// Success.
pub const NXC_OK: i32 = 0;
/// An argument is missing, malformed or out of range.
pub const NXC_INVALID_ARGUMENT: i32 = 1;
/// The function, command or hook point is none that the callee knows.
pub const NXC_UNSUPPORTED: i32 = 2;
/// The capability for it was not granted.
pub const NXC_PERMISSION_DENIED: i32 = 3;
/// The named thing does not exist.
pub const NXC_NOT_FOUND: i32 = 4;
/// The deadline passed, or the call was cancelled.
pub const NXC_TIMEOUT: i32 = 5;
/// A limit of memory, size, rate or number was reached.
pub const NXC_RESOURCE_LIMIT: i32 = 6;
/// Anything else that went wrong inside the callee.
pub const NXC_INTERNAL: i32 = 7;

/// Log level: the operation failed.
pub const NXC_LOG_ERROR: u32 = 1;
/// Log level: it goes on with less.
pub const NXC_LOG_WARN: u32 = 2;
/// Log level: a status changed.
pub const NXC_LOG_INFO: u32 = 3;
/// Log level: steps.
pub const NXC_LOG_DEBUG: u32 = 4;
/// Log level: everything else.
pub const NXC_LOG_TRACE: u32 = 5;

/// Bytes of someone else, UTF-8 unless said otherwise, without a final zero. Valid during the call only.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NxcStr {
    /// The first byte; may be null when `len` is 0.
    pub ptr: *const c_char,
    /// Number of bytes.
    pub len: usize,
}

/// Takes the answer of a broker call. The plugin owns it; the host uses it during the call only.
#[repr(C)]
#[derive(Debug)]
pub struct NxcSink {
    /// `sizeof(nxc_sink)`.
    pub struct_size: u32,
    /// `NXC_API_VERSION`.
    pub api_version: u32,
    /// Handed to both functions.
    pub ctx: *mut c_void,
    /// Takes the next bytes of the answer: JSON, or the error's text when the call fails.
    pub write: Option<unsafe extern "C" fn(ctx: *mut c_void, bytes: NxcStr) -> i32>,
    /// Takes a descriptor that comes with the answer; it is the plugin's from then on if this returns `NXC_OK`. Where
    /// this is null, the host closes the descriptor.
    pub descriptor: Option<unsafe extern "C" fn(ctx: *mut c_void, fd: i32) -> i32>,
}

/// What the host offers. Valid from `nexcage_plugin_entry` until `deinit` has returned; every function may be called
/// from any thread. Functions beyond `struct_size` do not exist.
#[repr(C)]
#[derive(Debug)]
pub struct NxcHost {
    /// `sizeof(nxc_host)` of the host.
    pub struct_size: u32,
    /// `NXC_API_VERSION` of the host.
    pub api_version: u32,
    /// Handed to every function.
    pub ctx: *mut c_void,
    /// Writes a log line. `level` is one of `NXC_LOG_*`.
    pub log: Option<unsafe extern "C" fn(ctx: *mut c_void, level: u32, target: NxcStr, message: NxcStr)>,
    /// Reports a measured value; `labels` is a JSON object of strings, or empty.
    pub metric: Option<unsafe extern "C" fn(ctx: *mut c_void, name: NxcStr, value: f64, labels: NxcStr)>,
    /// Asks the broker for an effect, during a call: `input` and the answer are JSON.
    pub broker_call: Option<
        unsafe extern "C" fn(ctx: *mut c_void, call: u64, method: NxcStr, input: NxcStr, sink: *const NxcSink) -> i32,
    >,
    /// Appends bytes to the reply of a call: JSON, or the error's text when the call returns another status than `NXC_OK`.
    pub reply_write: Option<unsafe extern "C" fn(ctx: *mut c_void, call: u64, bytes: NxcStr) -> i32>,
    /// Tells whether a call was cancelled (1) or not (0).
    pub cancelled: Option<unsafe extern "C" fn(ctx: *mut c_void, call: u64) -> i32>,
    /// Milliseconds that a call has left; 0 when its deadline has passed, -1 when it has none.
    pub deadline_ms: Option<unsafe extern "C" fn(ctx: *mut c_void, call: u64) -> i64>,
}

/// Every function of a plugin but `get_extension`: `ctx` is the plugin's, `call` the number under which to reply,
/// `input` JSON. May be called from several threads at once, but for `init` and `deinit`.
pub type NxcFunction = Option<unsafe extern "C" fn(ctx: *mut c_void, call: u64, input: NxcStr) -> i32>;

/// A plugin. The plugin owns it and keeps it as it is until its process ends.
#[repr(C)]
#[derive(Debug)]
pub struct NxcPlugin {
    /// `sizeof(nxc_plugin)` of the plugin.
    pub struct_size: u32,
    /// `NXC_API_VERSION` of the plugin.
    pub api_version: u32,
    /// Handed to every function of the plugin and of its extensions.
    pub ctx: *mut c_void,
    /// The plugin's name, as in its manifest.
    pub name: NxcStr,
    /// The plugin's version, as in its manifest.
    pub version: NxcStr,
    /// Called once, first. `input` is the plugin's configuration.
    pub init: NxcFunction,
    /// Called once, last. `input` is empty.
    pub deinit: NxcFunction,
    /// `input` is the new configuration. A plugin that refuses it keeps the old one.
    pub config_reload: NxcFunction,
    /// Replies `{"healthy": true|false, "message": "..."}`. `input` is empty.
    pub health_check: NxcFunction,
    /// The table of an extension, such as `nexcage.hook/1`; null when the plugin has none of that name.
    pub get_extension: Option<unsafe extern "C" fn(ctx: *mut c_void, name: NxcStr) -> *const c_void>,
}

/// `nexcage.cli_command/1`: commands of the plugin in nexcage's command line.
#[repr(C)]
#[derive(Debug)]
pub struct NxcCliCommand {
    /// `sizeof(nxc_cli_command)`.
    pub struct_size: u32,
    /// `NXC_API_VERSION`.
    pub api_version: u32,
    /// Replies `[{"name": "...", "about": "..."}, ...]`. `input` is empty.
    pub list_commands: NxcFunction,
    /// `{"command"}`: replies the help text as a JSON string.
    pub help: NxcFunction,
    /// `{"command", "args": [...]}`: returns `NXC_INVALID_ARGUMENT` with a text for arguments that `execute` would refuse.
    pub validate: NxcFunction,
    /// `{"command", "args": [...], "terminals": ["stdin", ...]}`: replies `{"exit_code": N, "stdout": "...", "stderr": "..."}`,
    /// each optional. While it runs, broker call `stream.open` with `{"stream": "stdin"}` gives the caller's stream itself;
    /// `terminals` names those that are terminals.
    pub execute: NxcFunction,
    /// `{"command", "args": [...]}`: replies the words that may stand in place of the last argument.
    pub complete: NxcFunction,
}

/// `nexcage.hook/1`: events of hook points.
#[repr(C)]
#[derive(Debug)]
pub struct NxcHook {
    /// `sizeof(nxc_hook)`.
    pub struct_size: u32,
    /// `NXC_API_VERSION`.
    pub api_version: u32,
    /// `{"point": "...", "data": {...}}`: replies `{"verdict": "allow"}`, `{"verdict": "adjust", "patch": [...]}` (a JSON
    /// Patch) or `{"verdict": "deny", "reason": "..."}`.
    pub event: NxcFunction,
}

/// `nexcage.backend/1`: what makes a container real. The inputs are objects with the container's `id`.
#[repr(C)]
#[derive(Debug)]
pub struct NxcBackend {
    /// `sizeof(nxc_backend)`.
    pub struct_size: u32,
    /// `NXC_API_VERSION`.
    pub api_version: u32,
    /// Replies what the backend can do. `input` is empty.
    pub features: NxcFunction,
    /// `{"id", "bundle", "config"}`: makes a container whose program waits for `start`.
    pub create: NxcFunction,
    /// `{"id"}`: runs the container's program.
    pub start: NxcFunction,
    /// `{"id", "signal"}`: signals the container's program.
    pub kill: NxcFunction,
    /// `{"id"}`: removes the container.
    pub remove: NxcFunction,
    /// `{"id"}`: replies the container's state.
    pub state: NxcFunction,
    /// `{"id", "process"}`: runs another program in the container.
    pub exec: NxcFunction,
    /// `{"id"}`: freezes the container.
    pub pause: NxcFunction,
    /// `{"id"}`: thaws the container.
    pub resume: NxcFunction,
    /// `{"id", "resources"}`: changes the container's limits.
    pub update: NxcFunction,
}

/// `nexcage.integration/1`: a system beside nexcage, such as a cluster manager.
#[repr(C)]
#[derive(Debug)]
pub struct NxcIntegration {
    /// `sizeof(nxc_integration)`.
    pub struct_size: u32,
    /// `NXC_API_VERSION`.
    pub api_version: u32,
    /// Makes ready to talk to the system. `input` is empty.
    pub connect: NxcFunction,
    /// Ends that. `input` is empty.
    pub disconnect: NxcFunction,
    /// `{"method", "params"}`: replies what the system answers.
    pub request: NxcFunction,
}

/// `nexcage.monitoring/1`: measured values.
#[repr(C)]
#[derive(Debug)]
pub struct NxcMonitoring {
    /// `sizeof(nxc_monitoring)`.
    pub struct_size: u32,
    /// `NXC_API_VERSION`.
    pub api_version: u32,
    /// Replies `[{"name", "value", "labels": {...}}, ...]`. `input` is empty.
    pub collect: NxcFunction,
}

/// `nexcage.storage/1`: volumes. The inputs are objects with the volume's `name`.
#[repr(C)]
#[derive(Debug)]
pub struct NxcStorage {
    /// `sizeof(nxc_storage)`.
    pub struct_size: u32,
    /// `NXC_API_VERSION`.
    pub api_version: u32,
    /// `{"name", "options"}`: makes a volume.
    pub create: NxcFunction,
    /// `{"name"}`: replies where the volume is to be found.
    pub attach: NxcFunction,
    /// `{"name"}`: ends what `attach` began.
    pub detach: NxcFunction,
    /// `{"name"}`: removes a volume.
    pub remove: NxcFunction,
    /// Replies the names of the volumes. `input` is empty.
    pub list: NxcFunction,
}

/// `nexcage.network/1`: a container's networks.
#[repr(C)]
#[derive(Debug)]
pub struct NxcNetwork {
    /// `sizeof(nxc_network)`.
    pub struct_size: u32,
    /// `NXC_API_VERSION`.
    pub api_version: u32,
    /// `{"id", "network", "options"}`: replies the interfaces made.
    pub attach: NxcFunction,
    /// `{"id", "network"}`: ends what `attach` began.
    pub detach: NxcFunction,
    /// `{"id"}`: replies the container's interfaces.
    pub status: NxcFunction,
}

/// `nexcage.security/1`: decides on containers.
#[repr(C)]
#[derive(Debug)]
pub struct NxcSecurity {
    /// `sizeof(nxc_security)`.
    pub struct_size: u32,
    /// `NXC_API_VERSION`.
    pub api_version: u32,
    /// `{"id", "config"}`: replies a verdict, as a hook does.
    pub check: NxcFunction,
}

/// The one symbol of a plugin, `nexcage_plugin_entry`. `host_api` is the host's `NXC_API_VERSION`. It stores the plugin
/// and returns `NXC_OK`, or returns another status.
pub type NxcEntry = unsafe extern "C" fn(host_api: u32, host: *const NxcHost, plugin: *mut *const NxcPlugin) -> i32;

impl NxcStr {
    /// Lends text for a call.
    #[must_use]
    pub const fn lend(bytes: &[u8]) -> Self {
        Self {
            ptr: bytes.as_ptr().cast(),
            len: bytes.len(),
        }
    }

    /// The bytes, or nothing where there is no pointer.
    ///
    /// # Safety
    ///
    /// `ptr` is null or points to `len` bytes that nobody changes or frees during `'a`.
    #[must_use]
    pub const unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() || self.len == 0 || self.len > isize::MAX as usize {
            return &[];
        }
        // SAFETY: not null, and the caller vouches for `len` bytes that stay as they are; the length fits an isize.
        unsafe { std::slice::from_raw_parts(self.ptr.cast(), self.len) }
    }
}
