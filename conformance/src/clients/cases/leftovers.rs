//! What must be gone when every container has been removed; the last case of each client.

use crate::clients::case::{Case, case, out, sh};

/// Runtime state, cgroups and processes.
pub const LEFTOVERS: &[Case] = &[case(
    "leaves-nothing",
    &[
        sh("ls -A /run/runc /run/crun /run/nexcage /run/$RTNAME $S/runtime/* $S/x/runtime-*/moby 2>/dev/null | grep -vE '^$|:$'")
            .code(1)
            .wants(&[out("")])
            .within(5),
        sh("find /sys/fs/cgroup -depth -type d | grep -E '/(docker/[0-9a-f]{64}|docker/buildkit/.|libpod-[0-9a-f]{64}|libpod_parent/[0-9a-f]{64}/.|buildah-|default/.|k8s.io/.|kubepods/pod[^/]*/.)' | head -n 5")
            .wants(&[out("")])
            .within(5),
        sh("ls -l /proc/[0-9]*/exe 2>/dev/null | grep \" $RT\\$\"").code(1).within(5),
    ],
)];
