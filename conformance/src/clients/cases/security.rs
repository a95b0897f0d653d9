//! Podman and Docker: what a container may not do.

use crate::clients::case::{Case, case, has, out, sh};

/// Linux capabilities, seccomp, devices, masked paths.
pub const SECURITY: &[Case] = &[
    case(
        "capabilities",
        &[
            sh("$CLI run --rm --cap-drop ALL $IMG grep CapEff /proc/self/status").wants(&[has("0000000000000000")]),
            sh("$CLI run --rm --cap-drop ALL --cap-add NET_ADMIN $IMG grep -cE 'Cap(Eff|Prm|Bnd).*0000000000001000' /proc/self/status")
                .wants(&[out("3")]),
            sh("$CLI run --rm -u worker $IMG grep CapEff /proc/self/status").wants(&[has("0000000000000000")]),
            sh("$CLI run --rm --cap-drop CHOWN $IMG chown 1 /data/file").code(1).wants(&[has("not permitted")]),
        ],
    ),
    case(
        "capabilities-exec",
        &[
            sh("$CLI run -d --name $C --cap-drop ALL --cap-add CHOWN $IMG sleep 1000"),
            sh("$CLI exec $C grep CapBnd /proc/self/status").wants(&[has("0000000000000001")]),
            sh("$RM $C"),
        ],
    ),
    case(
        "seccomp-default",
        &[
            sh("$CLI run --rm $IMG grep ^Seccomp: /proc/self/status").wants(&[out("Seccomp:\t2")]),
            sh("$CLI run -d --name $C $IMG sleep 1000"),
            sh("$CLI exec $C grep ^Seccomp: /proc/self/status").wants(&[out("Seccomp:\t2")]),
            sh("$RM $C"),
        ],
    ),
    case(
        "seccomp-profile",
        &[
            sh("$CLI run -d --name $C --security-opt seccomp=$S/no-mkdir.json $IMG sh -c 'mkdir /tmp/x || sleep 1000'"),
            sh("$CLI logs $C").wants(&[has("Operation not permitted")]).within(5),
            sh("$CLI exec $C mkdir /tmp/y").code(1).wants(&[has("Operation not permitted")]),
            sh("$RM $C"),
        ],
    ),
    case(
        "seccomp-unconfined",
        &[sh("$CLI run --rm --security-opt seccomp=unconfined $IMG grep ^Seccomp: /proc/self/status").wants(&[out("Seccomp:\t0")])],
    ),
    case(
        "no-new-privileges",
        &[
            sh("$CLI run --rm $IMG grep NoNewPrivs /proc/self/status").wants(&[out("NoNewPrivs:\t0")]),
            sh("$CLI run -d --name $C --security-opt no-new-privileges $IMG sleep 1000"),
            sh("grep NoNewPrivs /proc/$($CLI inspect -f '{{.State.Pid}}' $C)/status").wants(&[out("NoNewPrivs:\t1")]),
            sh("$CLI exec $C grep NoNewPrivs /proc/self/status").wants(&[out("NoNewPrivs:\t1")]),
            sh("$RM $C"),
        ],
    ),
    case(
        "masked-and-read-only-paths",
        &[
            sh("$CLI run --rm $IMG sh -c 'cat /proc/keys /proc/timer_list /proc/kcore | wc -c; ls /sys/firmware | wc -l'")
                .wants(&[out("0\n0")]),
            sh("$CLI run --rm $IMG sh -c 'echo 1 >/proc/sys/kernel/panic'").code(1).wants(&[has("Read-only file system")]),
            sh("$CLI run --rm $IMG mkdir /sys/fs/made").code(1),
        ],
    ),
    case(
        "devices",
        &[
            sh("$CLI run --rm --device /dev/zero:/dev/naught:r $IMG sh -c 'head -c 4 /dev/naught | wc -c'").wants(&[out("4")]),
            sh("$CLI run --rm --device /dev/zero:/dev/naught:r $IMG sh -c 'echo >/dev/null && head -c 4 /dev/urandom | wc -c'")
                .wants(&[out("4")]),
            sh("$CLI run --rm --cap-add MKNOD $IMG sh -c 'mknod /tmp/mem c 1 1 && cat /tmp/mem'")
                .code(1)
                .wants(&[has("Operation not permitted")]),
            sh("$CLI run --rm $IMG test -e /dev/kmsg").code(1),
        ],
    ),
    case(
        "device-rule",
        &[
            sh("$CLI run --rm --cap-add MKNOD --cap-add SYSLOG $IMG sh -c 'mknod /tmp/k c 1 11 && : </tmp/k'").code(1).wants(&[has("not permitted")]),
            sh("$CLI run --rm --cap-add MKNOD --cap-add SYSLOG --device-cgroup-rule 'c 1:11 r' $IMG sh -c 'mknod /tmp/k c 1 11 && : </tmp/k'"),
        ],
    ),
    case("default-device-files", &[
        sh("$CLI run --rm $IMG sh -c 'cd /dev; for d in null zero full random urandom tty; do test -c $d || echo $d; done; for l in fd stdin ptmx; do readlink $l; done'")
            .wants(&[out("/proc/self/fd\n/proc/self/fd/0\npts/ptmx")]),
    ]),
];
