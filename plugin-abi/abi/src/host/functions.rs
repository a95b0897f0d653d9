//! The functions that a plugin is offered: each turns C values into Rust ones and hands over to [`Host`](super::Host).

use std::ffi::c_void;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd};

use super::{Failure, REPLY_MAX, Side};
use crate::negotiate;
use crate::status::{Level, Status};
use crate::table::{self, NxcHost, NxcSink, NxcStr};

/// The smallest sink: the size that version 1.0 had.
const SINK_SIZE_1_0: u32 = 32;

/// The host's table for one plugin.
pub(super) fn offer(side: &'static Side) -> NxcHost {
    NxcHost {
        struct_size: u32::try_from(size_of::<NxcHost>()).unwrap_or(u32::MAX),
        api_version: table::NXC_API_VERSION,
        ctx: std::ptr::from_ref(side).cast_mut().cast(),
        log: Some(log),
        metric: Some(metric),
        broker_call: Some(broker_call),
        reply_write: Some(reply_write),
        cancelled: Some(cancelled),
        deadline_ms: Some(deadline_ms),
    }
}

/// # Safety
///
/// `ctx` is what [`offer`] put into the table.
unsafe fn side(ctx: *mut c_void) -> &'static Side {
    // SAFETY: `offer` stored a shared reference that lives for ever, and nothing makes an exclusive one of it.
    unsafe { &*ctx.cast::<Side>() }
}

unsafe extern "C" fn log(ctx: *mut c_void, level: u32, target: NxcStr, message: NxcStr) {
    // SAFETY: the plugin hands back the context of our table.
    let side = unsafe { side(ctx) };
    // SAFETY: lent for this call by the interface.
    let target = unsafe { target.bytes() };
    // SAFETY: lent for this call by the interface.
    let message = unsafe { message.bytes() };
    side.host.log(
        Level::from_code(level),
        &String::from_utf8_lossy(target),
        &String::from_utf8_lossy(message),
    );
}

unsafe extern "C" fn metric(ctx: *mut c_void, name: NxcStr, value: f64, labels: NxcStr) {
    // SAFETY: the plugin hands back the context of our table.
    let side = unsafe { side(ctx) };
    // SAFETY: lent for this call by the interface.
    let name = unsafe { name.bytes() };
    // SAFETY: lent for this call by the interface.
    let labels = unsafe { labels.bytes() };
    side.host.metric(&String::from_utf8_lossy(name), value, labels);
}

unsafe extern "C" fn broker_call(
    ctx: *mut c_void,
    call: u64,
    method: NxcStr,
    input: NxcStr,
    sink: *const NxcSink,
) -> i32 {
    // SAFETY: the plugin hands back the context of our table.
    let side = unsafe { side(ctx) };
    // SAFETY: lent for this call by the interface.
    let method = unsafe { method.bytes() };
    // SAFETY: lent for this call by the interface.
    let input = unsafe { input.bytes() };
    if sink.is_null() || !sink.is_aligned() {
        return Status::InvalidArgument.code();
    }
    // SAFETY: not null, aligned, and lent for this call; it has the size of 1.0 or the check below refuses it unread.
    let sink = unsafe { &*sink };
    if negotiate::check_header("nxc_sink", sink.struct_size, sink.api_version, SINK_SIZE_1_0).is_err() {
        return Status::InvalidArgument.code();
    }
    match side.host.broker_call(call, &String::from_utf8_lossy(method), input) {
        Ok(answer) => deliver(sink, &answer.json, answer.descriptors),
        Err(Failure { status, text }) => {
            // The status of the effect matters more than whether its text was taken.
            let _taken = deliver(sink, text.as_bytes(), Vec::new());
            status.code()
        }
    }
}

/// Gives an answer to a sink. Descriptors that it does not take are closed.
fn deliver(sink: &NxcSink, bytes: &[u8], descriptors: Vec<OwnedFd>) -> i32 {
    if let Some(write) = sink.write {
        // SAFETY: a function of the plugin's sink, with its context and bytes that live during the call.
        let code = unsafe { write(sink.ctx, NxcStr::lend(bytes)) };
        if code != table::NXC_OK {
            return code;
        }
    }
    for descriptor in descriptors {
        let Some(take) = sink.descriptor else { continue };
        // SAFETY: a function of the plugin's sink, with its context and an open descriptor.
        let code = unsafe { take(sink.ctx, descriptor.as_raw_fd()) };
        if code != table::NXC_OK {
            return code;
        }
        // The plugin has taken it over, so it is not ours to close any more.
        let _plugins = descriptor.into_raw_fd();
    }
    table::NXC_OK
}

unsafe extern "C" fn reply_write(ctx: *mut c_void, call: u64, bytes: NxcStr) -> i32 {
    // SAFETY: the plugin hands back the context of our table.
    let side = unsafe { side(ctx) };
    let mut replies = side.replies();
    let Some(reply) = replies.get_mut(&call) else {
        return Status::InvalidArgument.code();
    };
    // Before a byte is read: a length that cannot be is no reason to look.
    if reply.bytes.len().saturating_add(bytes.len) > REPLY_MAX {
        reply.overflowed = true;
        return Status::ResourceLimit.code();
    }
    // SAFETY: lent for this call by the interface.
    let bytes = unsafe { bytes.bytes() };
    reply.bytes.extend_from_slice(bytes);
    table::NXC_OK
}

unsafe extern "C" fn cancelled(ctx: *mut c_void, call: u64) -> i32 {
    // SAFETY: the plugin hands back the context of our table.
    let side = unsafe { side(ctx) };
    i32::from(side.host.is_cancelled(call))
}

unsafe extern "C" fn deadline_ms(ctx: *mut c_void, call: u64) -> i64 {
    // SAFETY: the plugin hands back the context of our table.
    let side = unsafe { side(ctx) };
    side.host
        .time_left(call)
        .map_or(-1, |left| i64::try_from(left.as_millis()).unwrap_or(i64::MAX))
}
