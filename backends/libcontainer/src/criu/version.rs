//! Which CRIU is installed, and what it can do on this kernel.

use std::fmt;

use nexcage_backend::Error;
use rust_criu::rust_criu_protobuf::rpc::{Criu_features, Criu_req, Criu_req_type, Criu_resp};

use super::worker::{Setup, Worker};

/// A CRIU version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(i32, i32, i32);

impl Version {
    /// Joins pid namespaces and tells by notification that lazy pages are ready.
    const NEEDED: Self = Self(3, 15, 0);
    /// Takes LSM options.
    const LSM: Self = Self(3, 16, 0);

    /// Refuses LSM options before the version that takes them.
    pub(super) fn check_lsm(self, what: &'static str) -> Result<(), Error> {
        self.check(Self::LSM, what, "3.16")
    }

    fn check(self, needed: Self, what: &'static str, text: &'static str) -> Result<(), Error> {
        if self >= needed {
            return Ok(());
        }
        Err(Error::CriuOld {
            found: self.to_string(),
            what,
            needed: text,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Asks for the version and refuses one that is too old.
pub(super) fn require() -> Result<Version, Error> {
    let answer = ask("version", Criu_req_type::VERSION, None)?;
    let version = read(&answer);
    version.check(Version::NEEDED, "checkpoint and restore", "3.15")?;
    Ok(version)
}

fn read(answer: &Criu_resp) -> Version {
    let version = &answer.version;
    let (major, minor) = (version.major_number(), version.minor_number());
    // A build from git is on its way to the next version.
    if version.has_gitid() {
        return Version(major, minor + 1, 0);
    }
    Version(major, minor, version.sublevel())
}

/// Something that not every kernel lets CRIU do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feature {
    /// Tracking of changed memory.
    MemoryTracking,
    /// Pages on demand.
    LazyPages,
}

/// Refuses what CRIU cannot do on this kernel.
pub(super) fn require_feature(feature: Feature) -> Result<(), Error> {
    let mut wanted = Criu_features::new();
    match feature {
        Feature::MemoryTracking => wanted.set_mem_track(true),
        Feature::LazyPages => wanted.set_lazy_pages(true),
    }
    let answer = ask("feature check", Criu_req_type::FEATURE_CHECK, Some(wanted))?;
    let (has, reason) = match feature {
        Feature::MemoryTracking => (
            answer.features.mem_track(),
            "--pre-dump and --parent-path need memory tracking (mem_track), which criu does not have on this kernel",
        ),
        Feature::LazyPages => (
            answer.features.lazy_pages(),
            "--lazy-pages needs userfaultfd (lazy_pages), which criu does not have on this kernel",
        ),
    };
    if has {
        return Ok(());
    }
    Err(Error::Criu {
        action: "feature check",
        reason: reason.to_owned(),
    })
}

fn ask(action: &'static str, request: Criu_req_type, features: Option<Criu_features>) -> Result<Criu_resp, Error> {
    let mut message = Criu_req::new();
    message.set_type(request);
    message.features = features.into();
    Worker::start(&Setup::PLAIN)?
        .converse(&message, &mut |_, _| Ok(()))
        .map_err(|failure| Error::Criu {
            action,
            reason: format!("{}: see what `criu check` says", crate::report::chain(&failure)),
        })
}

#[cfg(test)]
mod tests {
    use rust_criu::rust_criu_protobuf::rpc::Criu_version;

    use super::*;

    fn answer(major: i32, minor: i32, git: bool) -> Version {
        let mut version = Criu_version::new();
        version.set_major_number(major);
        version.set_minor_number(minor);
        if git {
            version.set_gitid("v3.14-5-gabc".into());
        }
        let mut answer = Criu_resp::new();
        answer.version = Some(version).into();
        read(&answer)
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(answer(3, 17, false) > Version::LSM);
        assert!(answer(4, 0, false) > answer(3, 19, false));
        assert!(answer(3, 14, true) >= Version::NEEDED);
        let refusal = answer(3, 14, false)
            .check(Version::NEEDED, "checkpoint and restore", "3.15")
            .unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "criu 3.14.0 is too old for checkpoint and restore: install 3.15 or later"
        );
    }
}
