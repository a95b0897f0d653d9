//! The host's table, for every thread of the plugin.

use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, Ordering};

use nexcage_plugin_abi::negotiate::{HOST_SIZE_1_0, check_header};
pub use nexcage_plugin_abi::status::Level;
use nexcage_plugin_abi::status::Status;
use nexcage_plugin_abi::table::{NxcHost, NxcStr};
use serde_json::Value;

use crate::PluginError;

/// The table of the host that entered this plugin; null before.
static HOST: AtomicPtr<NxcHost> = AtomicPtr::new(std::ptr::null_mut());

/// A host's table. It lives for as long as the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host(&'static NxcHost);

// SAFETY: the interface lets every function of the table be called from any thread, and the table never changes.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    /// Takes the host's table for this plugin.
    ///
    /// # Safety
    ///
    /// `host` is what a host gave to the entry function.
    pub(crate) unsafe fn take(host: *const NxcHost) -> Result<(), PluginError> {
        if host.is_null() || !host.is_aligned() {
            return Err(PluginError::invalid_argument("the host gave no table"));
        }
        // SAFETY: not null and aligned, and every table starts with its size.
        let size = unsafe { (*host).struct_size };
        // SAFETY: as above; the version follows.
        let version = unsafe { (*host).api_version };
        check_header("nxc_host", size, version, HOST_SIZE_1_0)
            .map_err(|mismatch| PluginError::unsupported(mismatch.to_string()))?;
        HOST.store(host.cast_mut(), Ordering::Release);
        Ok(())
    }

    /// The host, once the plugin has been entered.
    pub(crate) fn find() -> Option<Self> {
        let host = HOST.load(Ordering::Acquire);
        // SAFETY: `take` stored a checked table, which lives for as long as the process and is never written.
        unsafe { host.as_ref() }.map(Self)
    }

    pub(crate) fn table(self) -> &'static NxcHost {
        self.0
    }

    pub(crate) fn reply(self, call: u64, bytes: &[u8]) -> i32 {
        let Some(write) = self.0.reply_write else {
            return Status::Internal.code();
        };
        // SAFETY: a function of the host's table, with its context and bytes that live during the call.
        unsafe { write(self.0.ctx, call, NxcStr::lend(bytes)) }
    }
}

/// Logs a line, from any thread; before the plugin was entered there is nobody to tell.
///
/// * `target`: the part of the plugin that says it.
pub fn log(level: Level, target: &str, text: &str) {
    let Some(Host(host)) = Host::find() else { return };
    let Some(log) = host.log else { return };
    let (target, text) = (NxcStr::lend(target.as_bytes()), NxcStr::lend(text.as_bytes()));
    // SAFETY: a function of the host's table, with its context and texts that live during the call.
    unsafe { log(host.ctx, level as u32, target, text) }
}

/// Reports a measured value, from any thread.
///
/// * `name`: letters, digits and underscores, the unit last.
/// * `labels`: what it belongs to.
pub fn metric(name: &str, value: f64, labels: &[(&str, &str)]) {
    let Some(Host(host)) = Host::find() else { return };
    let Some(metric) = host.metric else { return };
    let labels: serde_json::Map<String, Value> = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
        .collect();
    let labels = Value::Object(labels).to_string();
    let (name, labels) = (NxcStr::lend(name.as_bytes()), NxcStr::lend(labels.as_bytes()));
    // SAFETY: a function of the host's table, with its context and texts that live during the call.
    unsafe { metric(host.ctx, name, value, labels) }
}

/// Bytes that the other side lent for a call.
///
/// # Safety
///
/// They stay as they are for `'a`.
pub(crate) unsafe fn borrow<'a>(bytes: NxcStr) -> &'a [u8] {
    // SAFETY: as the caller says.
    unsafe { bytes.bytes() }
}

/// The context of a plugin's table, as what it was made of.
///
/// # Safety
///
/// `ctx` was made of a `&'static T`.
pub(crate) unsafe fn context<T>(ctx: *mut c_void) -> &'static T {
    // SAFETY: as the caller says.
    unsafe { &*ctx.cast::<T>() }
}

/// The size of a table, for its first field.
pub(crate) const fn size<T>() -> u32 {
    assert!(size_of::<T>() < 4096, "tables are small");
    #[expect(clippy::cast_possible_truncation, reason = "checked above, when it is compiled")]
    let size = size_of::<T>() as u32;
    size
}
