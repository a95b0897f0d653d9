use std::time::Duration;

use proptest::prelude::*;

use super::{Decoder, Frame, FrameError, HEADER_LEN, Header, Kind, MAX_BODY, Method};

fn any_frame() -> impl Strategy<Value = Frame> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    let deadline = prop::option::of((1..u32::MAX).prop_map(|micros| Duration::from_micros(micros.into())));
    let body = prop::collection::vec(any::<u8>(), 0..200);
    (kind, any::<u32>(), any::<u32>(), any::<u32>(), deadline, body).prop_map(
        |(kind, id, method, status, deadline, body)| Frame {
            kind,
            id,
            method,
            status,
            deadline,
            body,
        },
    )
}

fn header(change: impl FnOnce(&mut [u8; HEADER_LEN])) -> Result<Header, FrameError> {
    let frame = Frame::new(Kind::Call, 7, Vec::new()).to_bytes().unwrap();
    let mut bytes: [u8; HEADER_LEN] = frame.try_into().unwrap();
    change(&mut bytes);
    Header::parse(&bytes)
}

proptest! {
    #[test]
    fn frames_survive_any_cutting_of_the_stream(
        frames in prop::collection::vec(any_frame(), 1..8),
        size in 1_usize..64,
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.to_bytes().unwrap()).collect();
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for piece in bytes.chunks(size) {
            decoder.push(piece);
            while let Some(frame) = decoder.next_frame().unwrap() {
                seen.push(frame);
            }
        }
        prop_assert_eq!(seen, frames);
        prop_assert_eq!(decoder.check_end(), Ok(()));
    }

    #[test]
    fn any_bytes_are_frames_or_an_error_that_stays(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        let error = loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => prop_assert!(frame.body.len() <= bytes.len()),
                Ok(None) => return Ok(()),
                Err(error) => break error,
            }
        };
        decoder.push(&Frame::new(Kind::Log, 0, Vec::new()).to_bytes().unwrap());
        prop_assert_eq!(decoder.next_frame(), Err(error));
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    let frame = Frame {
        kind: Kind::Reply,
        id: 0x0102_0304,
        method: 0x0506_0708,
        status: 3,
        deadline: Some(Duration::from_millis(1)),
        body: b"{}".to_vec(),
    };
    let expected = [
        2, 0, 0, 0, 4, 0, 0, 0, 4, 3, 2, 1, 8, 7, 6, 5, 3, 0, 0, 0, 0xe8, 3, 0, 0, b'{', b'}',
    ];
    assert_eq!(frame.to_bytes().unwrap(), expected);
}

#[test]
fn a_body_of_the_longest_length_passes_and_one_byte_more_does_not() {
    let longest = Frame::new(Kind::Call, 1, vec![b' '; MAX_BODY]);
    let mut decoder = Decoder::default();
    decoder.push(&longest.to_bytes().unwrap());
    assert_eq!(decoder.next_frame(), Ok(Some(longest)));

    let too_long = Frame::new(Kind::Call, 1, vec![b' '; MAX_BODY + 1]);
    assert_eq!(too_long.to_bytes(), Err(FrameError::TooLong(MAX_BODY + 1)));
    let len = u32::try_from(MAX_BODY + 1).unwrap().to_le_bytes();
    let parsed = header(|bytes| bytes[..4].copy_from_slice(&len));
    assert_eq!(parsed, Err(FrameError::TooLong(MAX_BODY + 1)));
}

#[test]
fn a_body_that_would_be_too_long_is_not_waited_for() {
    let mut decoder = Decoder::default();
    decoder.push(&[0xff; HEADER_LEN]);
    assert_eq!(decoder.next_frame(), Err(FrameError::TooLong(0xffff_ffff)));
}

#[test]
fn unknown_kinds_and_flags_are_refused() {
    assert_eq!(header(|bytes| bytes[4] = 0), Err(FrameError::Kind(0)));
    assert_eq!(header(|bytes| bytes[4] = 13), Err(FrameError::Kind(13)));
    assert_eq!(header(|bytes| bytes[5] = 1), Err(FrameError::Kind(0x103)));
    assert_eq!(header(|bytes| bytes[7] = 0x80), Err(FrameError::Flags(0x8000)));
}

#[test]
fn a_deadline_never_becomes_none_nor_longer() {
    let sent = |deadline| {
        let frame = Frame {
            deadline: Some(deadline),
            ..Frame::new(Kind::Call, 1, Vec::new())
        };
        Header::parse(frame.to_bytes().unwrap().first_chunk().unwrap())
            .unwrap()
            .deadline
    };
    assert_eq!(sent(Duration::from_nanos(1)), Some(Duration::from_micros(1)));
    assert_eq!(sent(Duration::from_nanos(2_999)), Some(Duration::from_micros(2)));
    assert_eq!(
        sent(Duration::from_secs(86_400)),
        Some(Duration::from_micros(u32::MAX.into()))
    );
}

#[test]
fn the_end_within_a_frame_is_seen() {
    let mut decoder = Decoder::default();
    decoder.push(&[2, 0, 0, 0]);
    assert_eq!(decoder.next_frame(), Ok(None));
    assert_eq!(decoder.missing(), HEADER_LEN - 4);
    assert_eq!(decoder.check_end(), Err(FrameError::Truncated(4)));
    assert_eq!(
        decoder.check_end().unwrap_err().to_string(),
        "stream ends within a frame, after 4 of its bytes"
    );
}

#[test]
fn methods_are_known_by_their_numbers() {
    for method in Method::all() {
        assert_eq!(Method::parse(method.number()), Some(method));
        let (extension, function) = method.function().unwrap();
        assert_eq!(Method::of(extension, function), Some(method));
        assert_eq!(method.to_string(), format!("{extension} {function}"));
    }
    assert_eq!(Method::all().count(), 29);
    assert_eq!(Method::parse(1), Some(Method::CONFIG_RELOAD));
    assert_eq!(
        Method::of("nexcage.cli_command/1", "execute").map(Method::number),
        Some(203)
    );
    for unknown in [0, 3, 99, 110, 205, 801, 900, u32::MAX] {
        assert_eq!(Method::parse(unknown), None, "{unknown}");
    }
}

#[test]
fn a_body_is_not_in_the_debug_text() {
    let frame = Frame::new(Kind::Log, 0, b"secret".to_vec());
    assert_eq!(
        format!("{frame:?}"),
        "LOG id=0 method=0 status=0 deadline=None body=6 bytes"
    );
}
