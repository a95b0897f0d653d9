//! Frames out of a stream of bytes that comes in any pieces.

use super::{Frame, FrameError, HEADER_LEN, Header};

/// Collects bytes until they are a frame.
///
/// It holds at most one frame and what was given with its last piece. After an error it stays in error: the bytes that
/// follow a bad header mean nothing.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    failed: Option<FrameError>,
}

impl Decoder {
    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// The next whole frame; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// [`FrameError`], as soon as a header shows it: a body that is too long is not waited for.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.take().inspect_err(|error| {
            self.bytes = Vec::new();
            self.failed = Some(error.clone());
        })
    }

    /// How many bytes are missing to the end of the frame that has begun, or of its header.
    #[must_use]
    pub fn missing(&self) -> usize {
        let header = self.bytes.first_chunk().map(Header::parse);
        let whole = match header {
            Some(Ok(header)) => HEADER_LEN + header.len,
            _ => HEADER_LEN,
        };
        whole.saturating_sub(self.bytes.len())
    }

    /// Call it at the end of the stream.
    ///
    /// # Errors
    ///
    /// [`FrameError::Truncated`]: a frame has begun and not ended.
    pub fn check_end(&self) -> Result<(), FrameError> {
        match self.bytes.len() {
            0 => Ok(()),
            len => Err(FrameError::Truncated(len)),
        }
    }

    fn take(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(header) = self.bytes.first_chunk() else {
            return Ok(None);
        };
        let header = Header::parse(header)?;
        let end = HEADER_LEN + header.len;
        let Some(body) = self.bytes.get(HEADER_LEN..end) else {
            return Ok(None);
        };
        let frame = Frame {
            kind: header.kind,
            id: header.id,
            method: header.method,
            status: header.status,
            deadline: header.deadline,
            body: body.to_vec(),
        };
        self.bytes.drain(..end);
        Ok(Some(frame))
    }
}
