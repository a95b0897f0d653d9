//! Podman and Docker: limits, environment, storage and namespaces of a container.

use crate::clients::case::{Case, case, has, lacks, out, sh};

/// What is asked for on the command line and read back inside, or in the cgroup.
pub const LIMITS: &[Case] = &[
    case(
        "limits-memory",
        &[
            sh("$CLI run -d --name $C -m 64m --memory-swap 128m --memory-reservation 32m $IMG sleep 1000"),
            sh("p=$($CLI inspect -f '{{.State.Pid}}' $C); for w in memory swap reservation; do cgroup-value $p $w; done")
                .wants(&[out("67108864\n134217728\n33554432")]),
            sh("$RM $C"),
        ],
    ),
    case(
        "limits-cpu",
        &[
            sh("$CLI run -d --name $C --cpu-shares 512 --cpu-period 50000 --cpu-quota 25000 --cpuset-cpus 0 $IMG sleep 1000"),
            sh("p=$($CLI inspect -f '{{.State.Pid}}' $C); for w in shares period quota cpus; do cgroup-value $p $w; done")
                .wants(&[out("512\n50000\n25000\n0")]),
            sh("$RM $C"),
        ],
    ),
    case(
        "limits-pids",
        &[
            sh("$CLI run -d --name $C --pids-limit 77 $IMG sleep 1000"),
            sh("cgroup-value $($CLI inspect -f '{{.State.Pid}}' $C) pids").wants(&[out("77")]),
            sh("$RM $C"),
            sh("$CLI run --rm --pids-limit 3 $IMG sh -c 'sleep 1 & sleep 1 & sleep 1 & sleep 1 & wait'")
                .code(2)
                .wants(&[has("can't fork")]),
        ],
    ),
    case(
        "update",
        &[
            sh("$CLI run -d --name $C -m 64m --memory-swap 64m --pids-limit 77 $IMG sleep 1000"),
            sh("$CLI update --memory 96m --memory-swap 96m --cpu-shares 256 --cpu-quota 30000 $C"),
            sh("p=$($CLI inspect -f '{{.State.Pid}}' $C); for w in memory shares quota; do cgroup-value $p $w; done")
                .wants(&[out("100663296\n256\n30000")]),
            sh("$CLI exec $C true && $RM $C"),
        ],
    ),
    case("env", &[
        sh("$CLI run --rm -e A=b -e EMPTY= $IMG sh -c 'echo $A,${EMPTY-unset},$PATH'").wants(&[has("b,,/")]),
        sh("$CLI run --rm $IMG env").wants(&[lacks("_OCI_"), lacks("RTNAME"), lacks("TTRPC"), has("HOME=/root")]),
        sh("$CLI run --rm -u worker $IMG env").wants(&[has("HOME=/work")]),
    ]),
    case("workdir", &[
        sh("$CLI run --rm -w /data $IMG pwd").wants(&[out("/data")]),
    ]),
    case("hostname", &[sh("$CLI run --rm --hostname tower $IMG sh -c 'hostname; cat /etc/hostname'").wants(&[out("tower\ntower")])]),
    case(
        "user",
        &[
            sh("$CLI run --rm -u worker $IMG id").wants(&[out("uid=1000(worker) gid=1001(workers) groups=1001(workers),2000(extra)")]),
            sh("$CLI run --rm -u 7:8 $IMG sh -c 'id -u; id -g'").wants(&[out("7\n8")]),
            sh("$CLI run --rm -u 7:8 --group-add 3000 $IMG id -G").wants(&[out("8 3000")]),
            sh("$CLI run --rm -u nobodyknows $IMG true && exit 1; exit 0"),
        ],
    ),
    case("ulimits", &[
        sh("$CLI run --rm --ulimit nofile=100:200 --ulimit nproc=300:300 $IMG sh -c 'ulimit -n; ulimit -Hn; grep -c \"processes *300 *300\" /proc/self/limits'")
            .wants(&[out("100\n200\n1")]),
    ]),
    case("sysctl", &[sh("$CLI run --rm --sysctl kernel.msgmax=4096 $IMG cat /proc/sys/kernel/msgmax").wants(&[out("4096")])]),
    case("oom-score-adj", &[sh("$CLI run --rm --oom-score-adj 500 $IMG cat /proc/self/oom_score_adj").wants(&[out("500")])]),
    case("shm-size", &[sh("$CLI run --rm --shm-size 8m $IMG sh -c 'df -k /dev/shm | tail -n 1'").wants(&[has(" 8192 ")])]),
    case("read-only", &[
        sh("$CLI run --rm --read-only $IMG touch /made").code(1).wants(&[has("Read-only file system")]),
        sh("$CLI run --rm --read-only --tmpfs /data $IMG touch /data/made"),
    ]),
    case("tmpfs", &[
        sh("$CLI run --rm --tmpfs /scratch:size=1m,mode=700 $IMG sh -c 'touch /scratch/x; stat -c %a /scratch; df -k /scratch | tail -n 1'")
            .wants(&[has("700"), has(" 1024 ")]),
    ]),
    case("volume", &[
        sh("$CLI run --rm -v $D:/v $IMG sh -c 'echo written >/v/f' && cat f").wants(&[out("written")]),
        sh("$CLI run --rm -v $D:/v:ro $IMG cat /v/f").wants(&[out("written")]),
        sh("$CLI run --rm -v $D:/v:ro $IMG touch /v/g").code(1).wants(&[has("Read-only file system")]),
        sh("$CLI run --rm -v $D/f:/data/file $IMG cat /data/file").wants(&[out("written")]),
        sh("$CLI volume create $C && $CLI run --rm -v $C:/data $IMG cat /data/file").wants(&[has("image")]),
        sh("$CLI volume rm $C"),
    ]),
    case(
        "volume-propagation",
        &[
            sh("mkdir v && mount --bind v v && mount --make-shared v && mkdir v/sub"),
            sh("$CLI run -d --name $C-p -v $D/v:/v:rprivate $IMG sleep 1000"),
            sh("$CLI run -d --name $C-s -v $D/v:/v:rslave $IMG sleep 1000"),
            sh("mount -t tmpfs none v/sub && touch v/sub/late"),
            sh("$CLI exec $C-p test ! -e /v/sub/late && $CLI exec $C-s test -e /v/sub/late"),
            sh("$RM $C-p $C-s; umount v/sub && umount v"),
            sh("mount --bind v v && mount --make-shared v"),
            sh("$CLI run --rm --cap-add SYS_ADMIN --security-opt seccomp=unconfined -v $D/v:/v:rshared $IMG mount -t tmpfs none /v/sub"),
            sh("grep -q \" $D/v/sub tmpfs\" /proc/mounts; umount v/sub && umount v"),
        ],
    ),
    case("namespaces-own", &[sh(
        "for n in pid net ipc uts mnt; do echo $n $(readlink /proc/self/ns/$n); done >outer; \
         $CLI run --rm --network none $IMG sh -c 'for n in pid net ipc uts mnt; do echo $n $(readlink /proc/self/ns/$n); done' >inner; \
         sort inner outer | uniq -d",
    )
    .wants(&[out("")])]),
    case("namespaces-host", &[
        sh("test $($CLI run --rm --pid host $IMG readlink /proc/self/ns/pid) = $(readlink /proc/self/ns/pid)"),
        sh("test $($CLI run --rm --network host $IMG readlink /proc/self/ns/net) = $(readlink /proc/self/ns/net)"),
        sh("test $($CLI run --rm --ipc host $IMG readlink /proc/self/ns/ipc) = $(readlink /proc/self/ns/ipc)"),
        sh("test $($CLI run --rm --uts host $IMG readlink /proc/self/ns/uts) = $(readlink /proc/self/ns/uts)"),
    ]),
    case(
        "namespaces-joined",
        &[
            sh("$CLI run -d --name $C --ipc shareable $IMG sleep 1234"),
            sh("$CLI run --rm --pid container:$C $IMG ps").wants(&[has("sleep 1234")]),
            sh("for n in net ipc; do \
                test $($CLI run --rm --$n container:$C $IMG readlink /proc/self/ns/$n) = $($CLI exec $C readlink /proc/self/ns/$n) || exit 1; done"),
            sh("$CLI exec $C true && $RM $C"),
        ],
    ),
    case("pid-host-ends-with-its-children", &[
        sh("$CLI run -d --name $C --pid host $IMG sh -c 'sleep 4321 & exec trapper'"),
        sh("$CLI logs $C").wants(&[has("ready")]).within(5),
        sh("$RM $C"),
        sh("grep -qa 'sleep.432[1]' /proc/[0-9]*/cmdline && exit 1; exit 0").within(5),
    ]),
];
