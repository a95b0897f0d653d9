//! What the runtime sends to a plugin host: one call at a time, ids that count up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nexcage_plugin_types::frame::{Decoder, Kind};
use nexcage_plugin_types::session::{Asked, Host};

fuzz_target!(|data: &[u8]| {
    let mut host = Host::default();
    let mut decoder = Decoder::default();
    decoder.push(data);
    let (mut is_greeted, mut last) = (false, 0);
    while let Ok(Some(frame)) = decoder.next_frame() {
        // What is sent is what was read.
        let again = frame.to_bytes().unwrap_or_default();
        let mut second = Decoder::default();
        second.push(&again);
        assert_eq!(second.next_frame(), Ok(Some(frame.clone())));
        match host.accept(&frame) {
            Ok(Asked::Load) => {
                assert!(!is_greeted);
                is_greeted = true;
            }
            Ok(asked) => {
                assert!(is_greeted, "{frame:?} before HELLO");
                if asked == Asked::Call {
                    assert!(frame.kind == Kind::Call && frame.id > last);
                    last = frame.id;
                    assert_eq!(host.call(), last);
                    if frame.method % 2 == 0 {
                        host.reply();
                    } else {
                        host.ask();
                    }
                }
            }
            Err(_) => break,
        }
    }
});
