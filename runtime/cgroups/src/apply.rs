//! Writing limits: by files, and with the systemd driver by properties of the unit first.
use oci_spec::runtime::LinuxResources;

use crate::cgroup::Cgroup;
use crate::error::CgroupError;
use crate::layout::Layout;
use crate::limits::{Part, Stage};
use crate::naming::Driver;
use crate::systemd;

impl Cgroup {
    /// Writes the limits of a new container.
    ///
    /// * `resources`: `linux.resources`, the default one where the spec has none: device rules are always installed, the
    ///   user's first and then runc's default allowed devices. Zero means leave alone, except for `pids.limit`.
    /// * `stage`: which of them.
    ///
    /// Must have passed [`Cgroup::check`]; for the systemd driver [`Cgroup::place`] must have made the unit.
    ///
    /// # Errors
    ///
    /// * [`CgroupError::NotOurs`], [`CgroupError::NotDelegated`], [`CgroupError::Threaded`]: limits without a cgroup.
    /// * [`CgroupError::Write`] and its siblings: the file and the kernel's answer; earlier limits stay.
    /// * [`CgroupError::DeviceFilter`], [`CgroupError::DevicesDiffer`]: the container must not start.
    ///
    /// Spec: [config-linux, Control groups](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#control-groups).
    pub fn apply(&self, resources: &LinuxResources, stage: Stage) -> Result<(), CgroupError> {
        self.write_part(resources, Part::of(stage))
    }

    /// Writes changed limits of a running container; device rules stay as they are, as with runc.
    ///
    /// * `resources`: only what changes, or the stored resources merged with it by [`crate::merge`], which is what runc does.
    ///
    /// # Errors
    ///
    /// As [`Cgroup::check`] and [`Cgroup::apply`].
    pub fn update(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        self.check_limits(resources)?;
        self.write_part(
            resources,
            Part {
                limits: true,
                devices: false,
                pids: true,
            },
        )
    }

    /// Writes one part of the resources.
    fn write_part(&self, resources: &LinuxResources, part: Part) -> Result<(), CgroupError> {
        if self.layout != Layout::Unified {
            self.refuse_unified(resources)?;
        }
        if self.driver == Driver::Systemd {
            systemd::set(self, resources, part)?;
            return self.write_files(&with_rounded_quota(resources), part);
        }
        self.write_files(resources, part)
    }
}

/// The resources with the quota that systemd will write.
fn with_rounded_quota(resources: &LinuxResources) -> LinuxResources {
    let mut rounded = resources.clone();
    if let Some(cpu) = rounded.cpu_mut() {
        let quota = cpu
            .quota()
            .map(|quota| systemd::round_quota(quota, cpu.period().unwrap_or(0)));
        cpu.set_quota(quota);
    }
    rounded
}
