//! Buildah: one container a command, no cgroup path, the monitor is Buildah itself.

use crate::clients::case::{Case, Key, case, has, lacks, out, sh, tty};

/// Runs and builds.
pub const BUILDAH: &[Case] = &[
    case("run", &[sh("buildah from --name $C $IMG"), sh("buildah run $C echo hello").wants(&[out("hello")]), sh("buildah rm $C")]),
    case(
        "exit-codes",
        &[
            sh("buildah from --name $C $IMG"),
            sh("buildah run $C sh -c 'exit 42'").code(42),
            sh("buildah run $C sh -c 'sh -c \"kill -9 \\$\\$\"; exit $?'").code(137),
            sh("buildah rm $C"),
        ],
    ),
    case(
        "missing-program",
        &[
            sh("buildah from --name $C $IMG"),
            sh("buildah run $C /no/such").code(1).wants(&[has("o such file or directory")]),
            sh("buildah run $C /etc/notexec").code(1).wants(&[has("ermission denied")]),
            sh("buildah run $C true && buildah rm $C"),
        ],
    ),
    case("stdin", &[sh("buildah from --name $C $IMG"), sh("echo in | buildah run $C cat").wants(&[out("in")]), sh("buildah rm $C")]),
    case(
        "tty",
        &[
            sh("buildah from --name $C $IMG"),
            tty("buildah run -t $C sh", &[Key::See("#"), Key::Type("tty; exit 9\n"), Key::See("/dev/pts/")]).code(9),
            sh("buildah rm $C"),
        ],
    ),
    case(
        "config",
        &[
            sh("buildah from --name $C $IMG"),
            sh("buildah config --env A=b --workingdir /data --user worker $C"),
            sh("buildah run $C sh -c 'echo $A $(pwd) $(id -un) $(id -G)'").wants(&[out("b /data worker 1001 2000")]),
            sh("buildah run --user 0 --hostname tower $C hostname").wants(&[out("tower")]),
            sh("buildah rm $C"),
        ],
    ),
    case(
        "volume",
        &[
            sh("buildah from --name $C $IMG"),
            sh("buildah run -v $D:/v $C sh -c 'echo written >/v/f' && cat f").wants(&[out("written")]),
            sh("buildah run -v $D:/v:ro $C touch /v/g").code(1).wants(&[has("Read-only file system")]),
            sh("buildah run --mount type=tmpfs,destination=/scratch $C grep -c ' /scratch tmpfs' /proc/mounts").wants(&[out("1")]),
            sh("buildah rm $C"),
        ],
    ),
    case(
        "capabilities",
        &[
            sh("buildah from --name $C $IMG"),
            sh("buildah run --cap-drop CAP_CHOWN $C chown 1 /data/file").code(1).wants(&[has("not permitted")]),
            sh("buildah run --cap-add CAP_SYS_ADMIN $C mount -t tmpfs none /tmp"),
            sh("buildah run $C grep ^Seccomp: /proc/self/status").wants(&[out("Seccomp:\t2")]),
            sh("buildah rm $C"),
        ],
    ),
    case(
        "namespaces",
        &[
            sh("buildah from --name $C $IMG"),
            sh("test $(buildah run $C readlink /proc/self/ns/pid) != $(readlink /proc/self/ns/pid)"),
            sh("test $(buildah run --pid host $C readlink /proc/self/ns/pid) = $(readlink /proc/self/ns/pid)"),
            sh("test $(buildah run --ipc host $C readlink /proc/self/ns/ipc) = $(readlink /proc/self/ns/ipc)"),
            sh("buildah rm $C"),
        ],
    ),
    case(
        "no-extra-descriptors",
        &[sh("buildah from --name $C $IMG"), sh("buildah run $C sh -c 'ls /proc/1/fd; :'").wants(&[out("0\n1\n2")]), sh("buildah rm $C")],
    ),
    case(
        "environment",
        &[sh("buildah from --name $C $IMG"), sh("buildah run $C env").wants(&[lacks("RTNAME"), lacks("BUILDAH_")]), sh("buildah rm $C")],
    ),
    case(
        "limits",
        &[
            sh("buildah from --name $C --memory 64m --ulimit nofile=100:200 --ulimit nproc=300:300 $IMG"),
            sh("buildah run $C sh -c 'ulimit -n; ulimit -Hn'").wants(&[out("100\n200")]),
            sh("buildah rm $C"),
        ],
    ),
    case(
        "two-at-once",
        &[
            sh("buildah from --name $C-a $IMG && buildah from --name $C-b $IMG"),
            sh("buildah run $C-a sh -c 'sleep 0.3; exit 3' & buildah run $C-b sh -c 'exit 4'; b=$?; wait $!; echo $? $b").wants(&[out("3 4")]),
            sh("buildah rm $C-a $C-b"),
        ],
    ),
    case(
        "build",
        &[
            sh("printf 'FROM %s\\nRUN echo built >/made\\nUSER worker\\nWORKDIR /work\\nRUN id -un >who; cat /made who\\n' $IMG >Containerfile"),
            sh("buildah bud -t made:$C .").wants(&[has("built\nworker")]),
            sh("printf 'FROM %s\\nRUN exit 7\\n' $IMG >Containerfile; buildah bud . && exit 1; exit 0").wants(&[has("7")]),
            sh("printf 'FROM %s\\nRUN [\"/no/such\"]\\n' $IMG >Containerfile; buildah bud . && exit 1; exit 0").wants(&[has("o such file")]),
            sh("buildah rmi made:$C"),
        ],
    ),
];
