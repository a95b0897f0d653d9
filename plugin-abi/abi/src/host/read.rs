//! Reading a plugin's structs: header first, then no byte beyond the size that the plugin says.

use std::mem::{MaybeUninit, offset_of};

use super::LoadError;
use crate::extension::Extension;
use crate::negotiate::{self, PLUGIN_SIZE_1_0};
use crate::table::{NxcFunction, NxcPlugin, NxcStr};

/// The longest name or version that is kept, in bytes.
const TEXT_MAX: usize = 256;

/// What every struct starts with.
#[derive(Clone, Copy)]
#[repr(C)]
struct Header {
    struct_size: u32,
    api_version: u32,
}

/// Copies a plugin's table, with null for the fields it is too old to have.
pub(super) fn plugin(at: *const NxcPlugin) -> Result<NxcPlugin, LoadError> {
    let header = header("nxc_plugin", at.cast())?;
    negotiate::check_header("nxc_plugin", header.struct_size, header.api_version, PLUGIN_SIZE_1_0)?;
    let mut copy = MaybeUninit::<NxcPlugin>::zeroed();
    let known = (header.struct_size as usize).min(size_of::<NxcPlugin>());
    // SAFETY: the plugin's struct has `struct_size` bytes by the interface, ours at least `known`; they do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(at.cast::<u8>(), copy.as_mut_ptr().cast::<u8>(), known) };
    // SAFETY: zero is a value of every field: numbers, raw pointers and optional functions; the rest came from the plugin.
    let copy = unsafe { copy.assume_init() };
    let functions = [
        ("init", copy.init.is_none()),
        ("deinit", copy.deinit.is_none()),
        ("config_reload", copy.config_reload.is_none()),
        ("health_check", copy.health_check.is_none()),
        ("get_extension", copy.get_extension.is_none()),
    ];
    match functions.into_iter().find(|(_, is_null)| *is_null) {
        Some((function, _)) => Err(LoadError::NullFunction { function }),
        None => Ok(copy),
    }
}

/// Copies the functions of an extension; `None` where the plugin does not have it.
pub(super) fn extension(plugin: &NxcPlugin, extension: Extension) -> Result<Option<Vec<NxcFunction>>, LoadError> {
    let Some(lookup) = plugin.get_extension else {
        return Ok(None);
    };
    // SAFETY: a function of the plugin's table, with the plugin's context and a name that lives for ever.
    let at = unsafe { lookup(plugin.ctx, NxcStr::lend(extension.id().as_bytes())) };
    if at.is_null() {
        return Ok(None);
    }
    let header = header(extension.id(), at.cast())?;
    let least = size_of::<Header>() + extension.functions_1_0() * size_of::<NxcFunction>();
    let least = u32::try_from(least).unwrap_or(u32::MAX);
    negotiate::check_header(extension.id(), header.struct_size, header.api_version, least)?;
    let functions = (0..extension.functions().len()).map(|index| {
        let start = size_of::<Header>() + index * size_of::<NxcFunction>();
        if !negotiate::has_field(header.struct_size, start + size_of::<NxcFunction>()) {
            return None;
        }
        let field = at.cast::<u8>().wrapping_add(start).cast::<NxcFunction>();
        // SAFETY: the field lies inside `struct_size`; the struct is aligned for pointers, and so is every eighth byte.
        unsafe { field.read() }
    });
    Ok(Some(functions.collect()))
}

/// The beginning of a text that the plugin keeps for as long as it is loaded.
pub(super) fn text(of: NxcStr) -> String {
    // SAFETY: the plugin keeps its name and version as they are by the interface.
    let bytes = unsafe { of.bytes() };
    String::from_utf8_lossy(bytes.get(..TEXT_MAX).unwrap_or(bytes)).into_owned()
}

fn header(what: &str, at: *const Header) -> Result<Header, LoadError> {
    const { assert!(offset_of!(NxcPlugin, struct_size) == offset_of!(Header, struct_size)) };
    const { assert!(offset_of!(NxcPlugin, api_version) == offset_of!(Header, api_version)) };
    if !at.cast::<NxcFunction>().is_aligned() {
        return Err(LoadError::Misaligned { what: what.to_owned() });
    }
    // SAFETY: not null (both callers check), aligned, and every struct of the interface starts with a header.
    Ok(unsafe { at.read() })
}
