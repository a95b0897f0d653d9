//! What only Docker does.

use crate::clients::case::{Case, case, has, out, sh};

/// The daemon's view of the runtime, builds, user namespaces.
pub const DOCKER: &[Case] = &[
    case(
        "info",
        &[
            sh("docker info -f '{{.DefaultRuntime}}'").wants(&[out("tested")]),
            sh("docker info 2>/dev/null | grep 'runc version' >v; \
                grep -qF \"$($RT --version | sed -n 's/^commit: //p')\" v || grep -qF \"$($RT --version | sed -n '1s/.*version //p')\" v"),
        ],
    )
    .needs("$RT --version | grep -q ^commit:", "the runtime names no commit, which docker info shows"),
    case("update-pids", &[
        sh("docker run -d --name $C --pids-limit 77 $IMG sleep 1000 && docker update --pids-limit 88 $C"),
        sh("cgroup-value $(docker inspect -f '{{.State.Pid}}' $C) pids").wants(&[out("88")]),
        sh("$RM $C"),
    ])
    .differs(&[("crun", "takes docker's zeros for limits to be set")]),
    case("workdir-made", &[sh("docker run --rm -w /made/new $IMG pwd").wants(&[out("/made/new")])]),
    case(
        "build-classic",
        &[
            sh("printf 'FROM %s\\nRUN echo built >/made && id -u >/uid\\nUSER worker\\nWORKDIR /work\\nRUN id -un >/tmp/who\\nCMD cat /made /uid /tmp/who\\n' $IMG >Dockerfile"),
            sh("DOCKER_BUILDKIT=0 docker build -t made:$C . && docker run --rm made:$C").wants(&[has("built\n0\nworker")]).limit(40),
            sh("printf 'FROM %s\\nRUN exit 7\\n' $IMG >Dockerfile; DOCKER_BUILDKIT=0 docker build . && exit 1; exit 0").wants(&[has("7")]),
            sh("docker rmi made:$C"),
        ],
    ),
    case(
        "build-buildkit",
        &[
            sh("printf 'FROM %s\\nRUN echo built >/made\\nRUN exit $(($(wc -c </made) - 6))\\n' $IMG >Dockerfile"),
            sh("DOCKER_BUILDKIT=1 docker build --network none -t made:$C . && docker run --rm made:$C cat /made").wants(&[out("built")]).limit(40),
            sh("printf 'FROM %s\\nRUN exit 7\\n' $IMG >Dockerfile; DOCKER_BUILDKIT=1 docker build --network none . && exit 1; exit 0")
                .wants(&[has("exit code: 7")]).limit(40),
        ],
    ),
    case("privileged", &[
        sh("docker run --rm --privileged $IMG sh -c 'grep ^Seccomp: /proc/self/status; mount -t tmpfs none /tmp; mkdir /tmp/x'")
            .wants(&[out("Seccomp:\t0")]),
    ])
    .needs("grep -q 'CapBnd:.*01ffffffffff' /proc/self/status", "--privileged asks for Linux capabilities that this machine does not give"),
    case(
        "user-namespace",
        &[
            sh("dockerd --config-file $S/daemon.json --host unix://$D/d --data-root $D/lib --exec-root $D/x --pidfile $D/pid --iptables=false \
                --ip6tables=false --bridge=none --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs --userns-remap remap \
                --add-runtime tested=$RT --default-runtime tested >$D/log 2>&1 &"),
            sh("docker -H unix://$D/d version").within(10),
            sh("docker -H unix://$D/d import $S/rootfs.tar $IMG"),
            sh("docker -H unix://$D/d run -d --name $C $IMG sleep 1000"),
            sh("docker -H unix://$D/d exec $C sh -c 'echo $(cat /proc/self/uid_map); touch /tmp/x && stat -c %u /tmp/x'")
                .wants(&[out("0 100000 65536\n0")]),
            sh("stat -c %u /proc/$(docker -H unix://$D/d inspect -f '{{.State.Pid}}' $C)").wants(&[out("100000")]),
            sh("docker -H unix://$D/d rm -f $C && kill $(cat pid)"),
            sh("test ! -e pid").within(10),
        ],
    ),
];
