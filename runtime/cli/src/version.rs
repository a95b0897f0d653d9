//! What `--version` prints: the lines clients of runc read.

use semver::Version;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The newest OCI runtime specification this program knows.
pub const SPEC: &str = "1.3.0";

/// The commit this program was built from, if the build could tell.
pub const COMMIT: Option<&str> = option_env!("NEXCAGE_COMMIT");

/// Renders name and version, commit, specification and the linked libseccomp, one a line.
#[must_use]
pub fn text() -> String {
    let mut lines = vec![format!("nexcage version {VERSION}")];
    lines.extend(COMMIT.map(|commit| format!("commit: {commit}")));
    lines.push(format!("spec: {SPEC}"));
    lines.extend(libseccomp().map(|version| format!("libseccomp: {version}")));
    lines.join("\n") + "\n"
}

/// The version as plugins' ranges are held against it.
#[must_use]
pub fn semantic() -> Version {
    let version = Version::parse(VERSION);
    debug_assert!(version.is_ok(), "cargo takes no other");
    version.unwrap_or(Version::new(0, 0, 0))
}

/// Asks the linked libseccomp for its version.
#[must_use]
pub fn libseccomp() -> Option<String> {
    let version = libseccomp::ScmpVersion::current().ok()?;
    Some(format!("{}.{}.{}", version.major, version.minor, version.micro))
}
