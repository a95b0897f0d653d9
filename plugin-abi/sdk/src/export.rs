//! The C side of a plugin, for [`crate::export_plugin!`].

use std::any::Any;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use nexcage_plugin_abi::negotiate;
use nexcage_plugin_abi::status::Status;
use nexcage_plugin_abi::table::{NXC_API_VERSION, NXC_OK, NxcStr};
pub use nexcage_plugin_abi::table::{NxcEntry, NxcHost, NxcPlugin};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::host::{Host, borrow, context, size};
use crate::{Call, Plugin, PluginError};

/// The place of a plugin: empty until `init`.
pub struct Slot<P> {
    plugin: AtomicPtr<P>,
    table: OnceLock<Table>,
    name: &'static str,
    version: &'static str,
    find: fn(&[u8]) -> *const c_void,
}

/// The tables of a plugin's extensions, each with its name.
pub struct Tables<P>(PhantomData<P>);

/// A plugin's own table.
struct Table(NxcPlugin);

// SAFETY: the table is only read; its pointers lead to statics.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl<P: Plugin> Slot<P> {
    /// An empty place.
    #[must_use]
    pub const fn new(name: &'static str, version: &'static str, find: fn(&[u8]) -> *const c_void) -> Self {
        Self {
            plugin: AtomicPtr::new(std::ptr::null_mut()),
            table: OnceLock::new(),
            name,
            version,
            find,
        }
    }

    /// The plugin, between `init` and `deinit`.
    fn plugin(&self) -> Option<&'static P> {
        let plugin = self.plugin.load(Ordering::Acquire);
        // SAFETY: null, or what `start` leaked, of which only shared references are made.
        unsafe { plugin.as_ref() }
    }

    /// Keeps a plugin for as long as the process: threads of it may go on after `deinit`.
    fn start(&self, started: P) -> Result<(), PluginError> {
        let started = Box::into_raw(Box::new(started));
        let was_empty =
            self.plugin
                .compare_exchange(std::ptr::null_mut(), started, Ordering::AcqRel, Ordering::Acquire);
        was_empty
            .map(drop)
            .map_err(|_other| PluginError::internal("the plugin was started before"))
    }

    fn table(&'static self) -> &'static NxcPlugin {
        let make = || {
            Table(NxcPlugin {
                struct_size: size::<NxcPlugin>(),
                api_version: NXC_API_VERSION,
                ctx: std::ptr::from_ref(self).cast_mut().cast(),
                name: NxcStr::lend(self.name.as_bytes()),
                version: NxcStr::lend(self.version.as_bytes()),
                init: Some(init::<P>),
                deinit: Some(deinit::<P>),
                config_reload: Some(config_reload::<P>),
                health_check: Some(health_check::<P>),
                get_extension: Some(get_extension::<P>),
            })
        };
        &self.table.get_or_init(make).0
    }
}

/// Enters a plugin.
///
/// # Safety
///
/// Called by a host, as the interface describes it.
pub unsafe fn enter<P: Plugin>(
    slot: &'static Slot<P>,
    host_api: u32,
    host: *const NxcHost,
    plugin: *mut *const NxcPlugin,
) -> i32 {
    if negotiate::check_version("the host", host_api).is_err() {
        return Status::Unsupported.code();
    }
    // SAFETY: given by the host.
    if let Err(error) = unsafe { Host::take(host) } {
        return error.status.code();
    }
    if plugin.is_null() {
        return Status::InvalidArgument.code();
    }
    // SAFETY: the host gives a place for the table's address.
    unsafe { *plugin = slot.table() };
    NXC_OK
}

/// Runs a function of the plugin's extension: reads its input, catches its panic, writes its reply.
///
/// # Safety
///
/// `ctx` is that of the plugin's table, `input` is lent for the call.
pub(crate) unsafe fn run<P: Plugin, I: DeserializeOwned, O: Serialize>(
    ctx: *mut c_void,
    call: u64,
    input: NxcStr,
    body: fn(&P, &Call, I) -> Result<O, PluginError>,
) -> i32 {
    // SAFETY: `Slot::table` made the context of a static slot.
    let slot = unsafe { context::<Slot<P>>(ctx) };
    // SAFETY: lent for the call.
    let input = unsafe { borrow(input) };
    answer(call, || {
        let Some(plugin) = slot.plugin() else {
            return Err(PluginError::internal("the plugin was not started"));
        };
        let Some(host) = Host::find() else {
            return Err(PluginError::internal("the plugin was not entered"));
        };
        body(plugin, &Call::new(call, host), parse(input)?)
    })
}

fn parse<I: DeserializeOwned>(input: &[u8]) -> Result<I, PluginError> {
    let input = if input.is_empty() { b"null" } else { input };
    serde_json::from_slice(input).map_err(|error| PluginError::invalid_argument(format!("read the input: {error}")))
}

/// Replies what a function returns; a panic of it stays in it.
fn answer<O: Serialize>(call: u64, body: impl FnOnce() -> Result<O, PluginError>) -> i32 {
    let caught = catch_unwind(AssertUnwindSafe(body));
    let result = caught.unwrap_or_else(|panic| Err(PluginError::internal(format!("panicked: {}", text_of(panic)))));
    let Some(host) = Host::find() else {
        return Status::Internal.code();
    };
    let bytes = result.and_then(|value| {
        serde_json::to_vec(&value).map_err(|error| PluginError::internal(format!("write the reply: {error}")))
    });
    match bytes {
        // A function without a reply has none.
        Ok(bytes) if bytes == b"null" => NXC_OK,
        Ok(bytes) => host.reply(call, &bytes),
        Err(error) => {
            // The status says that it failed, whether its text was taken or not.
            let _taken = host.reply(call, error.text.as_bytes());
            error.status.code()
        }
    }
}

fn text_of(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    // Its destructor may panic, too, and nothing above this would stop it.
    std::mem::forget(panic);
    text.unwrap_or_else(|| "no text".to_owned())
}

unsafe extern "C" fn init<P: Plugin>(ctx: *mut c_void, call: u64, input: NxcStr) -> i32 {
    // SAFETY: `Slot::table` made the context of a static slot.
    let slot = unsafe { context::<Slot<P>>(ctx) };
    // SAFETY: lent for the call.
    let input = unsafe { borrow(input) };
    answer(call, || slot.start(P::init(parse::<Value>(input)?)?))
}

unsafe extern "C" fn deinit<P: Plugin>(ctx: *mut c_void, call: u64, input: NxcStr) -> i32 {
    let body = |plugin: &P, _call: &Call, _input: Value| {
        plugin.deinit();
        Ok(())
    };
    // SAFETY: as the host gave them.
    let code = unsafe { run::<P, Value, ()>(ctx, call, input, body) };
    // SAFETY: `Slot::table` made the context of a static slot.
    let slot = unsafe { context::<Slot<P>>(ctx) };
    slot.plugin.store(std::ptr::null_mut(), Ordering::Release);
    code
}

unsafe extern "C" fn config_reload<P: Plugin>(ctx: *mut c_void, call: u64, input: NxcStr) -> i32 {
    // SAFETY: as the host gave them.
    unsafe { run::<P, Value, ()>(ctx, call, input, |plugin, _call, config| plugin.config_reload(config)) }
}

unsafe extern "C" fn health_check<P: Plugin>(ctx: *mut c_void, call: u64, input: NxcStr) -> i32 {
    // SAFETY: as the host gave them.
    unsafe { run::<P, Value, _>(ctx, call, input, |plugin, _call, _input| Ok(plugin.health_check())) }
}

unsafe extern "C" fn get_extension<P: Plugin>(ctx: *mut c_void, name: NxcStr) -> *const c_void {
    // SAFETY: `Slot::table` made the context of a static slot.
    let slot = unsafe { context::<Slot<P>>(ctx) };
    // SAFETY: lent for the call.
    (slot.find)(unsafe { borrow(name) })
}
