//! Whether two sides fit: versions and sizes. Pure; both loader and SDK use it.

use crate::table::{NXC_API_VERSION, NxcHost, NxcPlugin};

/// The size of `nxc_plugin` in version 1.0; a struct is never smaller.
pub const PLUGIN_SIZE_1_0: u32 = 88;
/// The size of `nxc_host` in version 1.0; a struct is never smaller.
pub const HOST_SIZE_1_0: u32 = 64;

const _: () = assert!(size_of::<NxcPlugin>() >= PLUGIN_SIZE_1_0 as usize);
const _: () = assert!(size_of::<NxcHost>() >= HOST_SIZE_1_0 as usize);

/// A version of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(pub u32);

impl ApiVersion {
    /// The version that this code was built for.
    pub const OURS: Self = Self(NXC_API_VERSION);

    /// Changes with what no older side can follow.
    #[must_use]
    pub const fn major(self) -> u32 {
        self.0 >> 16
    }

    /// Changes with what is added.
    #[must_use]
    pub const fn minor(self) -> u32 {
        self.0 & 0xffff
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}

/// Why two sides do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The major versions differ.
    #[error("{what} has plugin API {theirs}, this side has {ours}: build both for one major version")]
    Major {
        /// Which struct or side.
        what: String,
        /// Its version.
        theirs: ApiVersion,
        /// The version of this code.
        ours: ApiVersion,
    },
    /// A struct is smaller than version 1.0 had it.
    #[error("{what} says a struct_size of {size}, version 1.0 has {least}: set it to the struct's sizeof")]
    Short {
        /// Which struct.
        what: String,
        /// What it says.
        size: u32,
        /// What it must say at least.
        least: u32,
    },
}

/// Checks the other side's version: the major one must be ours, any minor one fits.
///
/// # Errors
///
/// [`Mismatch::Major`], naming both versions.
pub fn check_version(what: &str, theirs: u32) -> Result<(), Mismatch> {
    let (theirs, ours) = (ApiVersion(theirs), ApiVersion::OURS);
    if theirs.major() == ours.major() {
        return Ok(());
    }
    Err(Mismatch::Major {
        what: what.to_owned(),
        theirs,
        ours,
    })
}

/// Checks the first two fields of a struct of the other side. The version comes first: sizes mean nothing across majors.
///
/// # Errors
///
/// [`Mismatch::Major`], or [`Mismatch::Short`] for a size below `least`.
pub fn check_header(what: &str, size: u32, version: u32, least: u32) -> Result<(), Mismatch> {
    check_version(what, version)?;
    if size >= least {
        return Ok(());
    }
    Err(Mismatch::Short {
        what: what.to_owned(),
        size,
        least,
    })
}

/// Tells whether a struct of this size has the field that ends at byte `end`.
#[must_use]
pub const fn has_field(struct_size: u32, end: usize) -> bool {
    end <= struct_size as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(size: u32, version: u32, expected: Result<(), &str>) {
        let answer = check_header("nxc_plugin", size, version, PLUGIN_SIZE_1_0).map_err(|fault| fault.to_string());
        assert_eq!(answer, expected.map_err(str::to_owned));
    }

    #[test]
    fn other_majors_are_refused_naming_both() {
        let two = "nxc_plugin has plugin API 2.3, this side has 1.0: build both for one major version";
        check(88, 0x0002_0003, Err(two));
        check(0, 0x0002_0003, Err(two));
        let zero = "nxc_plugin has plugin API 0.9, this side has 1.0: build both for one major version";
        check(88, 9, Err(zero));
    }

    #[test]
    fn newer_minors_and_longer_structs_fit() {
        check(88, 0x0001_0000, Ok(()));
        check(88, 0x0001_0007, Ok(()));
        check(4096, 0x0001_ffff, Ok(()));
    }

    #[test]
    fn short_structs_are_refused() {
        let short = "nxc_plugin says a struct_size of 87, version 1.0 has 88: set it to the struct's sizeof";
        check(87, 0x0001_0000, Err(short));
        check(87, 0x0001_0005, Err(short));
    }

    #[test]
    fn a_field_exists_only_inside_the_size() {
        assert!(has_field(88, 88));
        assert!(!has_field(88, 89));
        assert!(!has_field(95, 96));
    }

    #[test]
    fn sizes_of_1_0_are_what_the_structs_had() {
        assert_eq!(std::mem::offset_of!(NxcPlugin, get_extension) + 8, 88);
        assert_eq!(std::mem::offset_of!(NxcHost, deadline_ms) + 8, 64);
    }
}
