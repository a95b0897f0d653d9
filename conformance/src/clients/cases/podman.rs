//! What only Podman does.

use crate::clients::case::{Case, case, has, out, sh};

/// Pods, user namespaces, OCI hooks, health checks, builds.
pub const PODMAN: &[Case] = &[
    case("info", &[sh("podman info -f '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Version}}' >i && grep -q \"^$RTNAME \" i && \
         grep -qF \"$($RT --version | head -n 1)\" i")]),
    case(
        "pod",
        &[
            sh("podman pod create --name $C --network none --share net,ipc,uts,pid"),
            sh("podman run -d --pod $C --name $C-a $IMG sleep 1234"),
            sh("podman run -d --pod $C --name $C-b $IMG sleep 1000"),
            sh("for n in net ipc uts pid; do for x in a b; do podman exec $C-$x readlink /proc/self/ns/$n; done | uniq; done | wc -l")
                .wants(&[out("4")]),
            sh("podman exec $C-b ps").wants(&[has("sleep 1234")]),
            sh("podman pod pause $C && podman pod unpause $C && podman exec $C-a true"),
            sh("podman pod stop -t 0 $C && podman pod start $C && podman exec $C-a true"),
            sh("podman pod rm -f -t 0 $C"),
        ],
    ),
    case(
        "user-namespace",
        &[
            sh("podman run -d --name $C --uidmap 0:100000:5000 --gidmap 0:200000:5000 $IMG sleep 1000"),
            sh("podman exec $C sh -c 'echo $(cat /proc/self/uid_map) $(cat /proc/self/gid_map); id -u; touch /tmp/x; stat -c %u /tmp/x'")
                .wants(&[out("0 100000 5000 0 200000 5000\n0\n0")]),
            sh("test $(podman exec $C readlink /proc/self/ns/user) != $(readlink /proc/self/ns/user)"),
            sh("stat -c '%u %g' /proc/$(podman inspect -f '{{.State.Pid}}' $C)").wants(&[out("100000 200000")]),
            // Podman now and then finds its own mount in the container's folder still busy.
            sh("$RM $C").within(5),
        ],
    ),
    case("privileged", &[
        sh("podman run --rm --privileged $IMG sh -c 'grep ^Seccomp: /proc/self/status; test -e /dev/kmsg; mount -t tmpfs none /tmp; mkdir /tmp/x'")
            .wants(&[out("Seccomp:\t0")]),
        sh("podman run --rm --privileged $IMG sh -c 'mknod /tmp/k c 1 11 && : </tmp/k'"),
    ]),
    case(
        "hooks-dir",
        &[
            sh("mkdir hooks && cat >hook <<E\n#!/bin/sh\ncat >$D/state-\\$1\nE\nchmod 755 hook; for p in prestart createRuntime poststart poststop; do \
                echo '{\"version\":\"1.0.0\",\"hook\":{\"path\":\"'$D/hook'\",\"args\":[\"hook\",\"'$p'\"]},\"when\":{\"always\":true},\"stages\":[\"'$p'\"]}' \
                >hooks/$p.json; done"),
            sh("podman run -d --hooks-dir $D/hooks --name $C $IMG sleep 1000"),
            sh("$RM $C"),
            sh("grep -l '\"bundle\"' state-prestart state-createRuntime state-poststart state-poststop | wc -l").wants(&[out("4")]).within(5),
            sh("for p in prestart createRuntime poststart poststop; do tr , '\\n' <state-$p | tr -d ' {}\"\\t' | grep ^status | sed s/:created/:running/; done")
                .wants(&[out("status:creating\nstatus:creating\nstatus:running\nstatus:stopped")]),
            sh("grep -E '\"pid\": ?[1-9]' state-createRuntime"),
        ],
    )
    .differs(&[("crun", "reports created in prestart and createRuntime hooks")]),
    case(
        "hook-fails",
        &[
            sh("mkdir hooks && echo '{\"version\":\"1.0.0\",\"hook\":{\"path\":\"/bin/false\"},\"when\":{\"always\":true},\"stages\":[\"createRuntime\"]}' >hooks/x.json"),
            sh("podman run --rm --hooks-dir $D/hooks --name $C $IMG true").code(126).wants(&[has("hook")]),
            sh("podman run --rm --name $C $IMG true"),
        ],
    ),
    case(
        "healthcheck",
        &[
            sh("podman run -d --name $C --health-cmd 'test -e /tmp/well' --health-interval disable $IMG sleep 1000"),
            sh("podman healthcheck run $C").code(1),
            sh("podman exec $C touch /tmp/well && podman healthcheck run $C"),
            sh("$RM $C"),
        ],
    ),
    case(
        "preserve-fds",
        &[
            sh("echo kept >f; podman run --rm --preserve-fds 2 $IMG sh -c 'cat <&3; cat <&4' 3<f 4<f").wants(&[out("kept\nkept")]),
            sh("podman run -d --name $C $IMG sleep 1000"),
            sh("podman exec --preserve-fds 1 $C cat /proc/self/fd/3 3<f").wants(&[out("kept")]),
            sh("$RM $C"),
        ],
    ),
    case("tmpfs-copies-up", &[sh("podman run --rm --tmpfs /data $IMG cat /data/file").wants(&[out("image")])]),
    case("rootfs", &[sh("podman run --rm --rootfs $S/rootfs:O echo hello").wants(&[out("hello")])]),
    case("umask", &[
        sh("podman run --rm --umask 0027 $IMG sh -c umask").wants(&[out("0027")]),
    ]),
    case("cgroup-namespace", &[
        sh("podman run --rm --cgroupns private $IMG grep -cv ':/$' /proc/self/cgroup").code(1).wants(&[out("0")]),
    ]),
    // At this level podman gives the runtime no log file, so that errors come from its standard error.
    case("log-level-debug", &[
        sh("podman --log-level debug run -d --name $C $IMG sleep 1000 && podman exec $C true"),
        sh("podman --log-level debug run -d $IMG /no/such").code(127).wants(&[has("no such file or directory")]),
        sh("$RM -a"),
    ]),
    case("sdnotify", &[
        sh("podman run --rm --sdnotify conmon $IMG sh -c 'echo ${NOTIFY_SOCKET-unset}'").wants(&[out("unset")]),
    ]),
    case(
        "build",
        &[
            sh("printf 'FROM %s\\nRUN echo built >/made && id -u >/uid\\nUSER worker\\nWORKDIR /work\\nRUN id -un >who\\nCMD cat /made /uid who\\n' $IMG >Containerfile"),
            sh("podman build -t made:$C . && podman run --rm made:$C").wants(&[has("built\n0\nworker")]),
            sh("printf 'FROM %s\\nRUN exit 7\\n' $IMG >Containerfile; podman build . && exit 1; exit 0").wants(&[has("7")]),
            sh("podman rmi made:$C"),
        ],
    ),
];
