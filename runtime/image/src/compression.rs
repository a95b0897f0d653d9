//! Compressed streams, told by their first bytes: media types are not trusted.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// A zstd frame to be skipped; its first byte is 0x50 to 0x5f.
const SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];

/// A stream of some compression.
pub(crate) enum Decoder<R> {
    Plain(R),
    Gzip(Box<MultiGzDecoder<R>>),
    Zstd(Box<Frames<R>>),
}

impl<R: BufRead> Decoder<R> {
    /// Looks at the first bytes of a stream.
    pub(crate) fn new(mut inner: R) -> io::Result<Self> {
        let head = inner.fill_buf()?;
        if head.starts_with(GZIP) {
            Ok(Self::Gzip(Box::new(MultiGzDecoder::new(inner))))
        } else if is_zstd(head) {
            Ok(Self::Zstd(Box::new(Frames::new(inner))))
        } else {
            Ok(Self::Plain(inner))
        }
    }

    pub(crate) fn is_compressed(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }
}

fn is_zstd(head: &[u8]) -> bool {
    head.starts_with(ZSTD)
        || matches!(head, [first, rest @ ..] if (0x50..=0x5f).contains(first) && rest.starts_with(SKIPPABLE))
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(inner) => inner.read(buffer),
            Self::Gzip(inner) => inner.read(buffer),
            Self::Zstd(inner) => inner.read(buffer),
        }
    }
}

/// All zstd frames of a stream, one after the other.
pub(crate) struct Frames<R> {
    inner: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            decoder: FrameDecoder::new(),
            in_frame: false,
        }
    }

    /// Goes to the next frame; `false` at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.inner.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.inner) {
                Ok(()) => {
                    self.in_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    skip(&mut self.inner, length.into())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    fn check_sum(&self) -> io::Result<()> {
        match (
            self.decoder.get_checksum_from_data(),
            self.decoder.get_calculated_checksum(),
        ) {
            (Some(said), Some(found)) if said != found => Err(io::Error::other("zstd checksum does not match")),
            _ => Ok(()),
        }
    }
}

fn skip(inner: &mut impl Read, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut inner.take(length), &mut io::sink())?;
    if skipped < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.in_frame && !self.next_frame()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.inner, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            match self.decoder.read(buffer)? {
                0 => {
                    self.check_sum()?;
                    self.in_frame = false;
                }
                count => return Ok(count),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[track_caller]
    fn check(input: &[u8], expected: &[u8]) {
        let mut output = Vec::new();
        Decoder::new(input).unwrap().read_to_end(&mut output).unwrap();
        assert_eq!(output, expected);
    }

    #[test]
    fn every_compression_is_told_by_its_magic() {
        let text = b"some text, some text, some text".repeat(5000);
        check(&text, &text);
        check(b"", b"");
        check(&gzip(&text), &text);
        check(&zstd(&text), &text);
    }

    #[test]
    fn members_and_frames_follow_each_other() {
        check(&[gzip(b"one "), gzip(b"two")].concat(), b"one two");
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9];
        check(
            &[&skippable[..], &zstd(b"one "), &skippable, &zstd(b"two")].concat(),
            b"one two",
        );
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        for whole in [gzip(&[7; 90_000]), zstd(&[7; 90_000])] {
            let cut = whole.get(..whole.len() - 3).unwrap();
            let error = Decoder::new(cut).unwrap().read_to_end(&mut Vec::new());
            assert!(error.is_err());
        }
    }
}
