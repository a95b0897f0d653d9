//! The archive of `docker save` and `podman save`: manifest.json, a config and layers named by file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::digest::Digest;
use crate::found::{Found, ImageError, Layer};
use crate::layout::is_name;
use crate::source::Source;

pub(crate) const MANIFEST: &str = "manifest.json";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: PathBuf,
    repo_tags: Option<Vec<String>>,
    layers: Vec<PathBuf>,
}

/// Reads the image of a name, or the only one.
pub(crate) fn read(source: &Source, name: Option<&str>) -> Result<Found, ImageError> {
    let part = Path::new(MANIFEST);
    let items: Vec<Item> = parse(part, &source.document(part, None, None)?)?;
    let item = choose(&items, name)?;
    // The config's file is named by its digest, and names the layers' digests: so all is verified here, too.
    let digest = digest_in(&item.config);
    let config = parse(&item.config, &source.document(&item.config, None, digest.as_ref())?)?;
    let layers = item.layers.iter().map(|part| Layer {
        part: part.clone(),
        digest: None,
        size: None,
    });
    Ok(Found {
        layers: layers.collect(),
        config,
    })
}

fn parse<T: serde::de::DeserializeOwned>(part: &Path, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|source| ImageError::Parse {
        part: part.to_owned(),
        source,
    })
}

fn digest_in(config: &Path) -> Option<Digest> {
    let name = config.file_name()?.to_str()?;
    Digest::from_hex(name.strip_suffix(".json").unwrap_or(name))
}

fn choose<'a>(items: &'a [Item], name: Option<&str>) -> Result<&'a Item, ImageError> {
    let labels = |item: &Item| match &item.repo_tags {
        Some(tags) if !tags.is_empty() => tags.clone(),
        _ => vec![format!("sha256:{}", item.config.display())],
    };
    let known = || items.iter().flat_map(labels).collect::<Vec<_>>();
    match (items, name) {
        ([], _) => Err(ImageError::Empty),
        ([item], None) => Ok(item),
        (_, None) => Err(ImageError::Several { known: known() }),
        (_, Some(name)) => items
            .iter()
            .find(|item| labels(item).iter().any(|label| is_name(label, name)))
            .ok_or_else(|| ImageError::NoSuchName {
                name: name.to_owned(),
                known: known(),
            }),
    }
}
