//! What a backend can do.

use std::fmt;

/// One ability of a backend, named in refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Trait {
    /// More processes can be run in a running container.
    Exec,
    /// Containers can be paused and resumed.
    Pause,
    /// Resource limits can be changed while the container runs.
    Update,
    /// A mount can map user and group ids.
    Idmap,
    /// A container can have its own user namespace.
    Userns,
    /// The seccomp filter of the config is installed.
    Seccomp,
    /// OCI hooks run in the container's namespaces.
    Hooks,
    /// Device nodes and rules of the config are honoured.
    Devices,
    /// Processes can be saved and restored.
    Checkpoint,
    /// The personality flags of the config are honoured.
    PersonalityFlags,
    /// Cache and memory bandwidth of the processes are allotted through resctrl.
    IntelRdt,
}

impl Trait {
    const ALL: [Self; 11] = [
        Self::Exec,
        Self::Pause,
        Self::Update,
        Self::Idmap,
        Self::Userns,
        Self::Seccomp,
        Self::Hooks,
        Self::Devices,
        Self::Checkpoint,
        Self::PersonalityFlags,
        Self::IntelRdt,
    ];

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Trait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exec => "exec",
            Self::Pause => "pause",
            Self::Update => "update",
            Self::Idmap => "idmap",
            Self::Userns => "userns",
            Self::Seccomp => "seccomp",
            Self::Hooks => "hooks",
            Self::Devices => "devices",
            Self::Checkpoint => "checkpoint",
            Self::PersonalityFlags => "personality-flags",
            Self::IntelRdt => "intel-rdt",
        })
    }
}

/// The abilities of one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traits(u32);

impl Traits {
    /// A set of abilities.
    pub const fn new(traits: &[Trait]) -> Self {
        let mut bits = 0;
        let mut rest = traits;
        while let [first, tail @ ..] = rest {
            bits |= first.bit();
            rest = tail;
        }
        Self(bits)
    }

    /// Whether the backend has this ability.
    pub const fn has(self, wanted: Trait) -> bool {
        self.0 & wanted.bit() != 0
    }

    /// The abilities in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = Trait> {
        Trait::ALL.into_iter().filter(move |t| self.has(*t))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_it_was_made_of_and_nothing_else() {
        let traits = Traits::new(&[Trait::Exec, Trait::Devices]);
        assert!(traits.has(Trait::Exec));
        assert!(!traits.has(Trait::Idmap));
        assert_eq!(
            traits.iter().map(|t| t.to_string()).collect::<Vec<_>>(),
            ["exec", "devices"]
        );
    }

    #[test]
    fn every_trait_has_its_own_bit() {
        let all = Traits::new(&Trait::ALL);
        assert_eq!(all.iter().count(), Trait::ALL.len());
    }
}
