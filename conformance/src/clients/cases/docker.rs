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
    ]),
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
];
