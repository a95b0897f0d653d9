//! The OCI image layout: from index.json down to the manifest for this platform.

use std::path::{Path, PathBuf};

use oci_spec::image::{Arch, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, Os};

use crate::digest::Digest;
use crate::found::{Found, ImageError, Layer};
use crate::source::Source;

/// Indexes in indexes; real images have one.
const MAX_NESTING: usize = 8;
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Reads the image of a name, or the only one.
pub(crate) fn read(source: &Source, name: Option<&str>) -> Result<Found, ImageError> {
    let index: ImageIndex = parse(source, Path::new("index.json"), None, None)?;
    let named: Vec<&Descriptor> = index
        .manifests()
        .iter()
        .filter(|descriptor| name.is_none_or(|name| is_called(descriptor, name)))
        .collect();
    check_one_name(&index, &named, name)?;
    let mut chosen = pick(&named).ok_or_else(|| no_platform(index.manifests()))?.clone();
    for _ in 0..MAX_NESTING {
        let (part, digest) = blob(&chosen)?;
        if !is_index(&chosen) {
            let manifest: ImageManifest = parse(source, &part, Some(chosen.size()), Some(&digest))?;
            return image(source, &manifest);
        }
        let inner: ImageIndex = parse(source, &part, Some(chosen.size()), Some(&digest))?;
        chosen = pick(&inner.manifests().iter().collect::<Vec<_>>())
            .ok_or_else(|| no_platform(inner.manifests()))?
            .clone();
    }
    Err(ImageError::Nesting(MAX_NESTING))
}

fn image(source: &Source, manifest: &ImageManifest) -> Result<Found, ImageError> {
    let (part, digest) = blob(manifest.config())?;
    let config: ImageConfiguration = parse(source, &part, Some(manifest.config().size()), Some(&digest))?;
    let layers = manifest.layers().iter().map(|layer| {
        let (part, digest) = blob(layer)?;
        Ok(Layer {
            part,
            digest: Some(digest),
            size: Some(layer.size()),
        })
    });
    Ok(Found {
        layers: layers.collect::<Result<_, ImageError>>()?,
        config,
    })
}

fn parse<T: serde::de::DeserializeOwned>(
    source: &Source,
    part: &Path,
    size: Option<u64>,
    digest: Option<&Digest>,
) -> Result<T, ImageError> {
    let bytes = source.document(part, size, digest)?;
    serde_json::from_slice(&bytes).map_err(|source| ImageError::Parse {
        part: part.to_owned(),
        source,
    })
}

fn blob(descriptor: &Descriptor) -> Result<(PathBuf, Digest), ImageError> {
    let digest = Digest::parse(descriptor.digest().as_ref()).map_err(ImageError::Digest)?;
    Ok((Path::new("blobs/sha256").join(digest.hex()), digest))
}

fn is_index(descriptor: &Descriptor) -> bool {
    let kind = descriptor.media_type().to_string();
    kind.contains("image.index") || kind.contains("manifest.list")
}

fn names(descriptor: &Descriptor) -> impl Iterator<Item = &str> {
    let annotations = descriptor.annotations().as_ref();
    [CONTAINERD_NAME, REF_NAME]
        .into_iter()
        .filter_map(move |key| annotations?.get(key).map(String::as_str))
}

fn is_called(descriptor: &Descriptor, name: &str) -> bool {
    names(descriptor).any(|known| is_name(known, name)) || descriptor.digest().to_string() == name
}

/// Whether a name that a user gives means an image: in full, or without registry and folders.
pub(crate) fn is_name(known: &str, given: &str) -> bool {
    known == given || known.strip_suffix(given).is_some_and(|rest| rest.ends_with('/'))
}

fn check_one_name(index: &ImageIndex, named: &[&Descriptor], name: Option<&str>) -> Result<(), ImageError> {
    let label = |descriptor: &&Descriptor| {
        let name = names(descriptor).next().map(str::to_owned);
        name.unwrap_or_else(|| descriptor.digest().to_string())
    };
    let known = || {
        let mut known: Vec<String> = index.manifests().iter().map(|d| label(&d)).collect();
        known.sort();
        known.dedup();
        known
    };
    if let (true, Some(name)) = (named.is_empty(), name) {
        return Err(ImageError::NoSuchName {
            name: name.to_owned(),
            known: known(),
        });
    }
    // Descriptors for several platforms are one image when they have one name, or none and a platform each.
    let mut different: Vec<String> = named
        .iter()
        .filter(|descriptor| names(descriptor).next().is_some() || descriptor.platform().is_none())
        .map(label)
        .collect();
    different.sort();
    different.dedup();
    // One image may have several names.
    let first = named.first().map(|descriptor| descriptor.digest());
    let is_one = named.iter().all(|descriptor| Some(descriptor.digest()) == first);
    if different.len() > 1 && !is_one {
        return Err(ImageError::Several { known: known() });
    }
    Ok(())
}

/// The descriptor for this platform, else the first that says no platform.
fn pick<'a>(descriptors: &[&'a Descriptor]) -> Option<&'a Descriptor> {
    let ours = |descriptor: &&&Descriptor| {
        descriptor
            .platform()
            .as_ref()
            .is_some_and(|platform| is_ours(platform.os(), platform.architecture()))
    };
    let open = |descriptor: &&&Descriptor| descriptor.platform().is_none();
    descriptors
        .iter()
        .find(ours)
        .or_else(|| descriptors.iter().find(open))
        .copied()
}

/// Whether an image for this system runs here.
pub(crate) fn is_ours(os: &Os, arch: &Arch) -> bool {
    *os == Os::Linux && *arch == Arch::default()
}

fn no_platform(descriptors: &[Descriptor]) -> ImageError {
    let platforms = descriptors.iter().filter_map(|descriptor| {
        let platform = descriptor.platform().as_ref()?;
        Some(format!("{}/{}", platform.os(), platform.architecture()))
    });
    ImageError::Platform {
        here: format!("linux/{}", Arch::default()),
        there: platforms.collect(),
    }
}
