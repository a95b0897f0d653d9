//! An image: its config, and its layers from the lowest to the topmost.

use std::path::{Path, PathBuf};

use oci_spec::image::Config;

use crate::cache::{Cache, CacheError};
use crate::digest::Digest;
use crate::docker;
use crate::found::{ImageError, Layer};
use crate::layout;
use crate::observer::Observer;
use crate::reference::{Reference, Transport};
use crate::source::Source;
use crate::unpack::Budget;

const INDEX: &str = "index.json";

/// An image that was opened; its layers are still to be read.
#[derive(Debug)]
pub struct Image {
    source: Source,
    layers: Vec<(Layer, Digest)>,
    config: Config,
}

impl Image {
    /// Opens an image and verifies its index, manifest and config.
    ///
    /// * `spill`: folder for a compressed archive's temporary file.
    /// * `limit`: the most bytes of that file.
    /// * `observer`: asked whether to stop while that file is written.
    ///
    /// # Errors
    ///
    /// [`ImageError`].
    ///
    /// Spec: [image layout](https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md).
    pub fn open(
        reference: &Reference,
        spill: &Path,
        limit: u64,
        observer: &mut dyn Observer,
    ) -> Result<Self, ImageError> {
        let source = Source::open(&reference.path, spill, limit, observer)?;
        let name = reference.name.as_deref();
        let found = match kind(&source, reference)? {
            Transport::DockerArchive => docker::read(&source, name)?,
            _ => layout::read(&source, name)?,
        };
        let config = &found.config;
        if !layout::is_ours(config.os(), config.architecture()) {
            return Err(ImageError::Platform {
                here: format!("linux/{}", oci_spec::image::Arch::default()),
                there: vec![format!("{}/{}", config.os(), config.architecture())],
            });
        }
        let diff_ids = config.rootfs().diff_ids();
        if diff_ids.len() != found.layers.len() {
            return Err(ImageError::LayerCount {
                layers: found.layers.len(),
                diff_ids: diff_ids.len(),
            });
        }
        let diff_ids = diff_ids.iter().map(|id| Digest::parse(id).map_err(ImageError::Digest));
        let layers = found
            .layers
            .into_iter()
            .zip(diff_ids)
            .map(|(layer, id)| Ok((layer, id?)));
        Ok(Self {
            source,
            layers: layers.collect::<Result<_, ImageError>>()?,
            config: found.config.config().clone().unwrap_or_default(),
        })
    }

    /// What a container of the image runs, and as whom.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Unpacks every layer that the cache does not hold yet, and verifies it.
    ///
    /// Returns the layers' directories, the lowest first. A layer that is there twice counts once, where it is topmost:
    /// the kernel refuses to stack a directory twice, and the lower one could not be seen anyway.
    ///
    /// # Errors
    ///
    /// [`CacheError`]; no part of the layer at which it stopped is left.
    pub fn unpack(
        &self,
        cache: &Cache,
        mut budget: Budget,
        observer: &mut dyn Observer,
    ) -> Result<Vec<PathBuf>, CacheError> {
        let missing = self.layers.iter().filter(|(_, id)| !cache.holds(id));
        observer.begin(missing.filter_map(|(layer, _)| self.size_of(layer)).sum());
        let mut directories = Vec::new();
        for (layer, id) in &self.layers {
            let directory = cache.layer(&self.source, (layer, id), &mut budget, observer)?;
            directories.retain(|known| *known != directory);
            directories.push(directory);
        }
        observer.end();
        Ok(directories)
    }

    fn size_of(&self, layer: &Layer) -> Option<u64> {
        layer
            .size
            .or_else(|| self.source.part(&layer.part, None).ok().map(|(_, size)| size))
    }
}

/// The kind of a store: what the user says, else what is there.
fn kind(source: &Source, reference: &Reference) -> Result<Transport, ImageError> {
    let (index, manifest) = (Path::new(INDEX), Path::new(docker::MANIFEST));
    let missing = |kind, missing| {
        Err(ImageError::Kind {
            path: reference.path.clone(),
            kind,
            missing,
        })
    };
    match reference.transport {
        Transport::DockerArchive if source.has(manifest) => Ok(Transport::DockerArchive),
        Transport::DockerArchive => missing("the tar of \"docker save\"", docker::MANIFEST),
        Transport::Oci if !source.is_folder() => missing("an OCI layout directory", INDEX),
        Transport::OciArchive if source.is_folder() => missing("a tar of an OCI layout", INDEX),
        Transport::Any | Transport::Oci | Transport::OciArchive if source.has(index) => Ok(Transport::Oci),
        Transport::Any if source.has(manifest) => Ok(Transport::DockerArchive),
        Transport::Any => missing(
            "an OCI layout or the tar of \"docker save\"",
            "index.json or manifest.json",
        ),
        Transport::Oci | Transport::OciArchive => missing("an OCI image layout", INDEX),
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::image::ImageConfiguration;

    #[test]
    fn config_of_docker_is_read_with_all_its_nulls() {
        let text = r#"{"architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00.123456789Z","container":"x",
            "docker_version":"20.10.24","container_config":{"Hostname":"x"},"history":[{"created_by":"x"}],
            "config":{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"ExposedPorts":null,"Tty":false,
                "Env":null,"Cmd":["sh"],"ArgsEscaped":true,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,
                "OnBuild":null,"Labels":null,"StopSignal":"TERM","Shell":["/bin/sh"],
                "Healthcheck":{"Test":["CMD","x"],"Interval":5}},
            "rootfs":{"type":"layers","diff_ids":["sha256:1"]}}"#;
        let config: ImageConfiguration = serde_json::from_str(text).unwrap();
        let config = config.config().as_ref().unwrap();
        assert_eq!(config.cmd().as_deref(), Some(&["sh".to_owned()][..]));
        assert_eq!(*config.entrypoint(), None);
    }
}
