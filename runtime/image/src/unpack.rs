//! One layer from its store into a directory, verified on the way.
//!
//! The bytes pass: store, digest, decompression, second digest, budget, tar, directory. Nothing of it is trusted before
//! both digests have been compared, so the directory is temporary until then.

mod entry;
mod meter;
mod tree;

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

pub use entry::EntryError;
pub use meter::Budget;
pub use tree::Privilege;

use crate::compression::Decoder;
use crate::digest::{Digest, Digesting};
use crate::found::Layer;
use crate::observer::Observer;
use crate::source::{Source, SourceError, check_digest};
use meter::{Meter, Trip, Watched};
use tree::Tree;

const BUFFER: usize = 64 << 10;
/// Between two entries: a header, long names and extended attributes.
const MAX_HEADER: u64 = 4 << 20;

/// A layer that was not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The store does not give the layer, or another one than expected.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The directory cannot be used.
    #[error("open layer directory {path:?}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The stream of entries is damaged.
    #[error("read the layer's tar stream: truncated or damaged")]
    Stream {
        /// The cause.
        source: io::Error,
    },
    /// An entry is refused, or cannot be made.
    #[error("unpack entry {entry:?}")]
    Entry {
        /// Its name, as in the layer.
        entry: PathBuf,
        /// Why.
        source: EntryError,
    },
    /// A header is too large to be kept in memory.
    #[error("read the layer's tar stream: a header is larger than {MAX_HEADER} bytes")]
    Header,
    /// The image is larger than is allowed.
    #[error("unpack the layer: the image has more than {0} bytes (raise it with --image-limit)")]
    TooLarge(u64),
    /// The image has more entries than is allowed.
    #[error("unpack the layer: the image has more than {0} entries")]
    TooMany(u64),
    /// The observer said so.
    #[error("unpack the layer: stopped")]
    Stopped,
}

/// Unpacks a layer.
///
/// * `directory`: empty; what is in it after an error is to be thrown away.
/// * `diff_id`: digest of the uncompressed layer.
///
/// Returns the directories that no entry names.
pub(crate) fn unpack(
    source: &Source,
    (layer, diff_id): (&Layer, &Digest),
    (directory, privilege): (&Path, Privilege),
    budget: &mut Budget,
    observer: &mut dyn Observer,
) -> Result<BTreeSet<PathBuf>, LayerError> {
    let (part, _) = source.part(&layer.part, layer.size)?;
    let trip = Trip::default();
    let failed = |source| trip.explain(source);
    let mut raw = Digesting::new(Watched::new(part, observer, &trip));
    let decoder = Decoder::new(BufReader::with_capacity(BUFFER, &mut raw)).map_err(failed)?;
    let mut plain = Digesting::new(decoder);
    let tree = {
        let mut archive = tar::Archive::new(Meter::new(&mut plain, budget, &trip));
        let tree = add_entries(&mut archive, Tree::open(directory, privilege)?, &trip)?;
        // Padding behind the last entry belongs to the digest.
        let mut rest = archive.into_inner();
        rest.allow_all();
        io::copy(&mut rest, &mut io::sink()).map_err(failed)?;
        tree
    };
    let (found, _) = plain.finish();
    check_digest(&layer.part, Some(diff_id), found)?;
    raw.drain().map_err(failed)?;
    let (found, _) = raw.finish();
    check_digest(&layer.part, layer.digest.as_ref(), found)?;
    let (lost, implied) = tree.finish()?;
    lost.iter().for_each(|lost| observer.warn(lost));
    Ok(implied)
}

fn add_entries<R: Read>(
    archive: &mut tar::Archive<Meter<'_, R>>,
    mut tree: Tree,
    trip: &Trip,
) -> Result<Tree, LayerError> {
    let failed = |source| trip.explain(source);
    let mut entries = archive.entries().map_err(failed)?;
    loop {
        trip.expect_header(MAX_HEADER);
        let Some(entry) = entries.next() else {
            return Ok(tree);
        };
        let mut entry = entry.map_err(failed)?;
        trip.count_entry()?;
        let sparse = entry.header().entry_type().is_gnu_sparse();
        if sparse {
            // Holes are in no stream, but zeroes in the file.
            trip.charge(entry.size())?;
        }
        trip.expect_content();
        let name = PathBuf::from(entry.path().map_err(failed)?);
        tree.add(&mut entry).map_err(|source| match source {
            EntryError::Read(source) => trip.explain(source),
            source => LayerError::Entry { entry: name, source },
        })?;
        // What is left of an entry that was passed over is no header.
        io::copy(&mut entry, &mut io::sink()).map_err(failed)?;
    }
}

#[cfg(test)]
mod tests;
