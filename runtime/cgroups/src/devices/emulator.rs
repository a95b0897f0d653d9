//! The v1 device controller's rules as a value: what a list of rules comes to, and the fewest writes to get there.
use std::collections::BTreeMap;
use std::fmt;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::error::CgroupError;

/// Kind of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Block,
    Char,
}

/// A set out of read, write and mknod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Access(u8);

impl Access {
    const LETTERS: [char; 3] = ['r', 'w', 'm'];

    /// Parses letters out of `rwm`.
    fn parse(text: &str) -> Option<Self> {
        text.chars().try_fold(Self(0), |access, letter| {
            let bit = Self::LETTERS.iter().position(|known| *known == letter)?;
            Some(Self(access.0 | (1 << bit)))
        })
    }

    /// What is in this set and not in the other.
    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is in it.
    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Access {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in Self::LETTERS.iter().enumerate() {
            if self.0 & (1 << bit) != 0 {
                write!(out, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// The devices that a rule means; `None` for a number means any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Devices {
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) kind: Kind,
}

/// A rule without its allow or deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Type `a`: every device in every way.
    All,
    /// Some devices in some ways.
    Some(Devices, Access),
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Some(devices, access) = self else {
            return write!(out, "a *:* rwm");
        };
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let kind = if devices.kind == Kind::Block { 'b' } else { 'c' };
        write!(
            out,
            "{kind} {}:{} {access}",
            number(devices.major),
            number(devices.minor)
        )
    }
}

impl Rule {
    /// Parses a line of devices.list: `TYPE MAJOR:MINOR ACCESS`.
    pub(crate) fn parse(line: &str) -> Result<Self, CgroupError> {
        let bad = || CgroupError::DeviceRule {
            rule: line.to_owned(),
            why: "is malformed".to_owned(),
        };
        let mut fields = line.split([' ', ':']);
        let (kind, major, minor, access) = match (fields.next(), fields.next(), fields.next(), fields.next()) {
            (Some(kind), Some(major), Some(minor), Some(access)) => (kind, major, minor, access),
            _ => return Err(bad()),
        };
        let number = |text: &str| match text {
            "*" => Ok(None),
            text => text.parse().map(Some).map_err(|_bad| bad()),
        };
        let kind = match kind {
            "a" => return Ok(Self::All),
            "b" => Kind::Block,
            "c" => Kind::Char,
            _ => return Err(bad()),
        };
        let access = Access::parse(access)
            .filter(|access| !access.is_empty())
            .ok_or_else(bad)?;
        Ok(Self::Some(
            Devices {
                major: number(major)?,
                minor: number(minor)?,
                kind,
            },
            access,
        ))
    }

    /// Reads a rule of the OCI spec.
    pub(crate) fn from_oci(rule: &LinuxDeviceCgroup) -> Result<Self, CgroupError> {
        let bad = |why: &str| CgroupError::DeviceRule {
            rule: rule.to_string(),
            why: why.to_owned(),
        };
        let access = rule.access().as_deref().filter(|access| !access.is_empty());
        let access = access.ok_or_else(|| bad("has no access"))?;
        let access = Access::parse(access).ok_or_else(|| bad("has an access other than r, w and m"))?;
        let number = |number: Option<i64>| match number {
            None | Some(-1) => Ok(None),
            Some(number) => u32::try_from(number)
                .map(Some)
                .map_err(|_range| bad("has a number out of range")),
        };
        let kind = match rule.typ().unwrap_or_default() {
            LinuxDeviceType::A => return Ok(Self::All),
            LinuxDeviceType::B => Kind::Block,
            LinuxDeviceType::C => Kind::Char,
            LinuxDeviceType::U | LinuxDeviceType::P => return Err(bad("has a type other than a, b and c")),
        };
        Ok(Self::Some(
            Devices {
                major: number(rule.major())?,
                minor: number(rule.minor())?,
                kind,
            },
            access,
        ))
    }
}

/// What a device controller answers: a default and its exceptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Emulator {
    allow: bool,
    exceptions: BTreeMap<Devices, Access>,
}

impl Emulator {
    /// Denies everything.
    pub(crate) fn deny_all() -> Self {
        Self {
            allow: false,
            exceptions: BTreeMap::new(),
        }
    }

    /// Whether what no exception names is allowed.
    pub(crate) fn allows_by_default(&self) -> bool {
        self.allow
    }

    /// Whether everything is allowed.
    pub(crate) fn allows_all(&self) -> bool {
        self.allow && self.exceptions.is_empty()
    }

    /// The exceptions, sorted by numbers.
    pub(crate) fn exceptions(&self) -> impl Iterator<Item = Rule> {
        self.exceptions
            .iter()
            .map(|(devices, access)| Rule::Some(*devices, *access))
    }

    /// Reads devices.list. The kernel does not list what an allowing cgroup denies, so such a one counts as allowing all.
    pub(crate) fn parse_list(text: &str) -> Result<Self, CgroupError> {
        let mut emulator = Self::deny_all();
        for line in text.lines().filter(|line| !line.is_empty()) {
            emulator.apply(true, Rule::parse(line)?)?;
        }
        Ok(emulator)
    }

    /// Adds one rule.
    ///
    /// # Errors
    ///
    /// [`CgroupError::DeviceRule`]: it would take a part out of a wider exception, which the kernel silently ignores.
    pub(crate) fn apply(&mut self, allow: bool, rule: Rule) -> Result<(), CgroupError> {
        match rule {
            Rule::All => {
                *self = Self {
                    allow,
                    exceptions: BTreeMap::new(),
                }
            }
            Rule::Some(devices, access) if allow == self.allow => self.take_out(devices, access)?,
            Rule::Some(devices, access) => self.exceptions.entry(devices).or_default().0 |= access.0,
        }
        Ok(())
    }

    /// Takes access out of an exception.
    fn take_out(&mut self, devices: Devices, access: Access) -> Result<(), CgroupError> {
        let wider = [
            Devices { major: None, ..devices },
            Devices { minor: None, ..devices },
            Devices {
                major: None,
                minor: None,
                ..devices
            },
        ];
        for wide in wider.into_iter().filter(|wide| *wide != devices) {
            let held = self.exceptions.get(&wide).copied().unwrap_or_default();
            if held.0 & access.0 != 0 {
                let why = format!(
                    "cannot punch a hole in the wildcard rule {:?}",
                    Rule::Some(wide, held).to_string()
                );
                return Err(CgroupError::DeviceRule {
                    rule: Rule::Some(devices, access).to_string(),
                    why,
                });
            }
        }
        if let Some(held) = self.exceptions.get_mut(&devices) {
            *held = held.without(access);
            if held.is_empty() {
                self.exceptions.remove(&devices);
            }
        }
        Ok(())
    }

    /// The writes that lead from these rules to others: true for devices.allow, false for devices.deny.
    ///
    /// A cgroup that allows by default is started anew, because its exceptions cannot be read back.
    pub(crate) fn transition(&self, target: &Self) -> Vec<(bool, Rule)> {
        let none = BTreeMap::new();
        let mut writes = Vec::new();
        let old = if self.allow || self.allow != target.allow {
            writes.push((target.allow, Rule::All));
            &none
        } else {
            &self.exceptions
        };
        let mut difference = |from: &BTreeMap<Devices, Access>, to: &BTreeMap<Devices, Access>, allow: bool| {
            for (devices, access) in from {
                let rest = access.without(to.get(devices).copied().unwrap_or_default());
                if !rest.is_empty() {
                    writes.push((allow, Rule::Some(*devices, rest)));
                }
            }
        };
        difference(old, &target.exceptions, target.allow);
        difference(&target.exceptions, old, !target.allow);
        writes
    }

    /// Whether a list read back is that of the rules asked for, as far as the kernel shows it.
    pub(crate) fn answers_like(&self, target: &Self) -> bool {
        self.allow == target.allow && (self.allow || self.exceptions == target.exceptions)
    }
}

#[cfg(test)]
mod tests;
