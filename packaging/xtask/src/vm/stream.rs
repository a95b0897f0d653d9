//! Output of a guest: passed on as it comes, up to the marker that ends it.

use std::io::{self, Read, Write};

/// What the guest writes behind the last byte of the command; see `finish.sh`.
pub(crate) const MARKER: &[u8] = b"\0end of output\n";

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The marker came: nothing is lost.
    Complete,
    /// The guest went away first.
    Cut,
}

/// Copies `from` to `to` until the marker or the end of `from`.
///
/// A byte is held back only while it may belong to the marker, so that the copy is live.
///
/// # Errors
///
/// The kernel's answer to a read or a write.
pub(crate) fn copy_until_marker(mut from: impl Read, mut to: impl Write) -> io::Result<End> {
    let mut held = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let read = from.read(&mut chunk)?;
        held.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if let Some(end) = held.windows(MARKER.len()).position(|window| window == MARKER) {
            held.truncate(end);
            write_now(&mut to, &held)?;
            return Ok(End::Complete);
        }
        let keep = if read == 0 { 0 } else { marker_start(&held) };
        let ready: Vec<u8> = held.drain(..held.len() - keep).collect();
        write_now(&mut to, &ready)?;
        if read == 0 {
            return Ok(End::Cut);
        }
    }
}

/// Counts the last bytes of `held` that may be the first ones of the marker.
fn marker_start(held: &[u8]) -> usize {
    (1..MARKER.len())
        .rev()
        .find(|count| MARKER.get(..*count).is_some_and(|start| held.ends_with(start)))
        .unwrap_or(0)
}

fn write_now(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte a read, the worst case for the marker.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[track_caller]
    fn check(input: &[u8], expected: &[u8], end: End) {
        let mut whole = Vec::new();
        assert_eq!(copy_until_marker(input, &mut whole).unwrap(), end);
        assert_eq!(whole, expected);
        let mut dribbled = Vec::new();
        assert_eq!(copy_until_marker(Dribble(input), &mut dribbled).unwrap(), end);
        assert_eq!(dribbled, expected);
    }

    #[test]
    fn marker_ends_the_stream_and_is_not_passed_on() {
        check(b"text\0end of output\nlater", b"text", End::Complete);
        check(b"\0end of output\n", b"", End::Complete);
    }

    #[test]
    fn bytes_that_only_look_like_the_marker_are_passed_on() {
        check(b"a\0end\0end of output", b"a\0end\0end of output", End::Cut);
        check(b"\0\0end of output\n", b"\0", End::Complete);
    }

    #[test]
    fn stream_without_marker_is_cut() {
        check(b"half a li", b"half a li", End::Cut);
        check(b"", b"", End::Cut);
    }

    #[test]
    fn output_is_not_held_back() {
        assert_eq!(marker_start(b"prompt> "), 0);
        assert_eq!(marker_start(b"text\0en"), 3);
    }
}
