//! SHA-256 digests: how they are written, and readers that compute them.

use std::fmt;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// A text that is no digest this crate can check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("digest {text:?} is not \"sha256:\" and 64 lowercase hexadecimal digits")]
pub struct DigestError {
    /// The text as it was given.
    pub text: String,
}

/// A SHA-256 digest; its text is safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// Reads `sha256:` and 64 lowercase hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`DigestError`]: other algorithms too, since their digests would go unchecked.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        text.strip_prefix("sha256:")
            .and_then(Self::from_hex)
            .ok_or_else(|| DigestError { text: text.to_owned() })
    }

    /// Takes 64 lowercase hexadecimal digits.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (hex.len() == 64 && hex.bytes().all(is_hex)).then(|| Self(hex.to_owned()))
    }

    /// Computes the digest of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(bytes);
        Self::finish(hash)
    }

    /// The 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }

    fn finish(hash: Sha256) -> Self {
        Self(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// A reader that computes the digest of what passes through.
pub(crate) struct Digesting<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Digesting<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    /// Reads what is left.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(drop)
    }

    /// The digest and the number of the bytes that were read.
    pub(crate) fn finish(self) -> (Digest, u64) {
        (Digest::finish(self.hash), self.bytes)
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_are_read_and_printed() {
        let text = format!("sha256:{EMPTY}");
        assert_eq!(Digest::parse(&text).unwrap().to_string(), text);
        assert_eq!(Digest::of(b"").hex(), EMPTY);
    }

    #[test]
    fn anything_else_is_refused() {
        let upper = format!("sha256:{}", EMPTY.to_uppercase());
        let sha512 = format!("sha512:{EMPTY}{EMPTY}");
        for text in ["", "sha256:", "sha256:../../etc", &upper, &sha512, EMPTY] {
            assert_eq!(Digest::parse(text).unwrap_err().text, text);
        }
    }

    #[test]
    fn a_reader_is_digested_to_its_end() {
        let mut reader = Digesting::new(&b"hello world"[..]);
        reader.read_exact(&mut [0; 5]).unwrap();
        reader.drain().unwrap();
        assert_eq!(reader.finish(), (Digest::of(b"hello world"), 11));
    }
}
