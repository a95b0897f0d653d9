//! What a store says of an image, and what can be wrong with that.

use std::path::PathBuf;

use oci_spec::image::ImageConfiguration;

use crate::digest::{Digest, DigestError};
use crate::source::SourceError;

/// An image that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A part cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is no image of the expected kind.
    #[error("open image {path:?}: it has no {missing}: not {kind}, or truncated")]
    Kind {
        /// The store.
        path: PathBuf,
        /// What was looked for.
        kind: &'static str,
        /// The file that is not there.
        missing: &'static str,
    },
    /// A document is not what it should be.
    #[error("parse {part:?} of the image")]
    Parse {
        /// Its name in the store.
        part: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// A digest cannot be checked.
    #[error("verify the image")]
    Digest(#[source] DigestError),
    /// Several images, and no name.
    #[error("choose an image: the archive holds several, add \":\" and one of these names: {}", .known.join(", "))]
    Several {
        /// Their names.
        known: Vec<String>,
    },
    /// No image has the name.
    #[error("choose image {name:?}: the archive holds {}", .known.join(", "))]
    NoSuchName {
        /// The name that was asked for.
        name: String,
        /// The names that are there.
        known: Vec<String>,
    },
    /// The store holds no image.
    #[error("choose an image: the archive holds none")]
    Empty,
    /// The image is for other machines.
    #[error("choose a platform: the image is for {}, this machine is {here}", .there.join(", "))]
    Platform {
        /// What runs here.
        here: String,
        /// What the image is for.
        there: Vec<String>,
    },
    /// Index in index in index.
    #[error("choose a platform: indexes are nested more than {0} deep")]
    Nesting(usize),
    /// Config and manifest do not agree.
    #[error("read the image: {layers} layers, but its config names {diff_ids}")]
    LayerCount {
        /// In the manifest.
        layers: usize,
        /// In the config.
        diff_ids: usize,
    },
}

/// What a store says of an image.
pub(crate) struct Found {
    pub(crate) layers: Vec<Layer>,
    pub(crate) config: ImageConfiguration,
}

/// A layer in a store.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) part: PathBuf,
    /// Of the bytes in the store; `None` where the store says none.
    pub(crate) digest: Option<Digest>,
    pub(crate) size: Option<u64>,
}
