//! What a plugin host sends to the runtime: frames out of any bytes, held against the rules of a conversation.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use nexcage_plugin_types::frame::Decoder;
use nexcage_plugin_types::message;
use nexcage_plugin_types::session::{Heard, Limits, Runtime};

fuzz_target!(|data: &[u8]| {
    let limits = Limits {
        frames_per_call: 8,
        bytes_per_call: 4096,
        broker_per_call: 3,
        reports_per_second: 10,
        reports_burst: 4,
        dropped: 5,
    };
    let start = Instant::now();
    let mut runtime = Runtime::new(limits, start);
    let mut decoder = Decoder::default();
    let (mut is_over, mut reports) = (false, 0_u32);
    for (index, piece) in data.chunks(7).enumerate() {
        decoder.push(piece);
        while let Ok(Some(frame)) = decoder.next_frame() {
            let now = start + Duration::from_millis(u64::try_from(index).unwrap_or(0));
            let heard = runtime.accept(&frame, now);
            assert!(!is_over || heard.is_err(), "{frame:?} after the end");
            match heard {
                Ok(Heard::Ready | Heard::Reply) => assert!(runtime.open_call().is_ok()),
                Ok(Heard::Broker) => runtime.answer(),
                Ok(Heard::Report) => {
                    reports += 1;
                    let line = message::parse::<message::LogLine>(&frame).map(|line| line.to_printable());
                    assert!(line.is_ok_and(|line| !line.message.contains(char::is_control)) || frame.body.len() < 4096);
                }
                Ok(Heard::Gone | Heard::Failed) | Err(_) => is_over = true,
                Ok(_) => {}
            }
        }
    }
    // The burst, what time gave back, and no more.
    let passed = u32::try_from(data.len() / 7).unwrap_or(u32::MAX);
    assert!(reports <= limits.reports_burst + passed / 100 + 1, "{reports} reports");
    assert!(runtime.dropped() <= limits.dropped + 1);
});
