//! How an image is named on the command line: `[TRANSPORT:]PATH[:NAME]`, with Podman's names of transports.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What kind of image store a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Told from what is there.
    Any,
    /// A directory with an OCI image layout.
    Oci,
    /// A tar of an OCI image layout.
    OciArchive,
    /// The tar of `docker save`.
    DockerArchive,
}

const PREFIXES: [(&str, Transport); 3] = [
    ("oci:", Transport::Oci),
    ("oci-archive:", Transport::OciArchive),
    ("docker-archive:", Transport::DockerArchive),
];

/// Where an image is, and which one it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The kind of store.
    pub transport: Transport,
    /// The store.
    pub path: PathBuf,
    /// The image in it, when it holds several.
    pub name: Option<String>,
}

/// A reference that leads nowhere.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Neither the whole nor any part up to a colon is a path that exists.
    #[error(
        "open image {0:?}: no such file or directory: give an OCI layout directory, or the tar of \"podman save\" or \"docker save\""
    )]
    NotFound(PathBuf),
    /// The image's name is not text.
    #[error("image name {0:?} is not valid UTF-8")]
    Name(OsString),
}

impl Reference {
    /// Reads a reference.
    ///
    /// A path that exists is taken whole, so that a colon in it is no separator; else the name begins after the first
    /// colon that ends an existing path.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`].
    pub fn parse(text: &OsStr) -> Result<Self, ReferenceError> {
        Self::parse_with(text, Path::exists)
    }

    fn parse_with(text: &OsStr, exists: impl Fn(&Path) -> bool) -> Result<Self, ReferenceError> {
        let whole = text.as_bytes();
        let known = PREFIXES
            .iter()
            .find_map(|(prefix, transport)| Some((*transport, whole.strip_prefix(prefix.as_bytes())?)));
        let (transport, rest) = match known {
            // A file may really be called so.
            Some(_) if exists(Path::new(text)) => (Transport::Any, whole),
            Some(found) => found,
            None => (Transport::Any, whole),
        };
        let path = Path::new(OsStr::from_bytes(rest));
        if exists(path) {
            return Ok(Self {
                transport,
                path: path.to_owned(),
                name: None,
            });
        }
        let colons = rest.iter().enumerate().filter(|(_, byte)| **byte == b':');
        for (at, _) in colons {
            let (path, name) = rest.split_at(at);
            let path = Path::new(OsStr::from_bytes(path));
            if exists(path) {
                let name = name.get(1..).unwrap_or_default();
                let name = std::str::from_utf8(name)
                    .map_err(|_invalid| ReferenceError::Name(OsStr::from_bytes(name).to_owned()))?;
                return Ok(Self {
                    transport,
                    path: path.to_owned(),
                    name: Some(name.to_owned()).filter(|name| !name.is_empty()),
                });
            }
        }
        Err(ReferenceError::NotFound(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, existing: &[&str], transport: Transport, path: &str, name: Option<&str>) {
        let exists = |path: &Path| existing.iter().any(|e| Path::new(e) == path);
        let expected = Reference {
            transport,
            path: path.into(),
            name: name.map(str::to_owned),
        };
        assert_eq!(Reference::parse_with(OsStr::new(text), exists), Ok(expected));
    }

    #[test]
    fn transports_and_names_are_podmans() {
        check("/i", &["/i"], Transport::Any, "/i", None);
        check("oci:/i", &["/i"], Transport::Oci, "/i", None);
        check("oci-archive:/i:x", &["/i"], Transport::OciArchive, "/i", Some("x"));
        let name = Some("docker.io/library/a:1");
        check(
            "docker-archive:/i:docker.io/library/a:1",
            &["/i"],
            Transport::DockerArchive,
            "/i",
            name,
        );
        check("/i:", &["/i"], Transport::Any, "/i", None);
    }

    #[test]
    fn an_existing_path_with_colons_is_a_path() {
        check("/a:b:c", &["/a", "/a:b"], Transport::Any, "/a", Some("b:c"));
        check("/a:b:c", &["/a", "/a:b:c"], Transport::Any, "/a:b:c", None);
        check("oci:x", &["oci:x"], Transport::Any, "oci:x", None);
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let error = Reference::parse_with(OsStr::new("oci:/no:x"), |_| false).unwrap_err();
        assert_eq!(error, ReferenceError::NotFound("/no:x".into()));
    }
}
