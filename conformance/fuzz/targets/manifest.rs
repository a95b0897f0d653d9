//! A plugin's manifest: whatever is accepted means the same when it is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nexcage_plugin_types::Manifest;

fuzz_target!(|data: &[u8]| {
    match Manifest::parse("plugin-manifest.json", data) {
        Ok(manifest) => {
            let printed = manifest.print().unwrap_or_default();
            let again = Manifest::parse("plugin-manifest.json", printed.as_bytes());
            assert!(again.is_ok_and(|again| again == manifest), "{printed}");
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("plugin-manifest.json") && !text.contains('\n'), "{text}");
        }
    }
});
