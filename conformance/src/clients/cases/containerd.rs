//! containerd through ctr; `ctr-run` is `ctr run` with the runtime under test.

use crate::clients::case::{Case, Key, case, has, lacks, out, sh, tty};

const CRUN_TEXT: &[(&str, &str)] = &[("crun", "writes No such file, with a capital, for a missing program")];

/// Tasks.
pub const CONTAINERD: &[Case] = &[
    case("run", &[sh("ctr-run --rm $IMG $C echo hello").wants(&[out("hello")])]),
    case(
        "exit-codes",
        &[
            sh("ctr-run --rm $IMG $C true"),
            sh("ctr-run --rm $IMG $C sh -c 'exit 42'").code(42),
            sh("ctr-run --rm $IMG $C sh -c 'sh -c \"kill -9 \\$\\$\"; exit $?'").code(137),
        ],
    ),
    case(
        "missing-program",
        &[
            sh("ctr-run --rm $IMG $C /no/such").code(1).wants(&[has("no such file or directory")]),
            sh("ctr-run --rm $IMG $C nosuch").code(1).wants(&[has("executable file"), has("not found in $PATH")]),
            sh("ctr-run --rm $IMG $C /etc/notexec").code(1).wants(&[has("ermission denied")]),
            sh("ctr-run --rm $IMG $C echo again").wants(&[out("again")]),
        ],
    )
    .differs(CRUN_TEXT),
    case("stdin", &[sh("(sleep 1; echo in) | ctr-run --rm $IMG $C head -n 1").wants(&[out("in")])]),
    case(
        "run-tty",
        &[
            tty("ctr-run --rm -t $IMG $C sh", &[
                Key::Size(40, 100),
                Key::See("#"),
                Key::Type("tty\n"),
                Key::See("/dev/pts/0"),
                Key::Type("until stty size | grep -q '40 100'; do sleep 0.05; done; echo si''ze\n"),
                Key::See("\nsize"),
                Key::Type("exit 9\n"),
            ])
            .code(9),
        ],
    ),
    case(
        "exec",
        &[
            sh("ctr-run -d $IMG $C sleep 1000"),
            sh("ctr t exec --exec-id e1 $C echo hello").wants(&[out("hello")]),
            sh("ctr t exec --exec-id e2 $C sh -c 'exit 42'").code(42),
            sh("ctr t exec --exec-id e3 --cwd /data --user 1000:1001 $C sh -c 'pwd; id -u'").wants(&[out("/data\n1000")]),
            sh("ctr t exec --exec-id e4 $C /no/such").code(1).wants(&[has("no such file or directory")]),
            sh("ctr t exec --exec-id e5 $C nosuch").code(1).wants(&[has("executable file"), has("not found in $PATH")]),
            sh("ctr t exec --exec-id e6 $C true"),
            sh("ctr t rm -f $C; ctr c rm $C"),
        ],
    )
    .differs(CRUN_TEXT),
    case(
        "exec-tty",
        &[
            sh("ctr-run -d $IMG $C sleep 1000"),
            tty("ctr t exec -t --exec-id e1 $C sh", &[Key::See("#"), Key::Type("tty; exit 9\n"), Key::See("/dev/pts/")]).code(9),
            sh("ctr t rm -f $C; ctr c rm $C"),
        ],
    ),
    case(
        "kill",
        &[
            sh("ctr-run -d $IMG $C trapper"),
            sh("ctr t ls | grep \"^$C .*RUNNING\"").within(5),
            sh("ctr t kill -s SIGTERM $C; ctr t ls | grep \"^$C .*STOPPED\"").within(10),
            sh("ctr t rm $C").wants(&[has("43")]).code(0),
            sh("ctr c rm $C"),
        ],
    ),
    case(
        "kill-stopped",
        &[
            sh("ctr-run -d $IMG $C true"),
            sh("ctr t ls | grep \"^$C .*STOPPED\"").within(5),
            sh("ctr t kill -s SIGKILL $C").code(1).wants(&[has("process already finished")]),
            sh("ctr t rm $C; ctr c rm $C"),
        ],
    ),
    case(
        "kill-all",
        &[
            sh("ctr-run -d $IMG $C sh -c 'sleep 1000 & sleep 1001 & wait; wait; sleep 1002'"),
            sh("ctr t ps $C | wc -l").wants(&[out("4")]).within(5),
            sh("ctr t kill -a -s SIGKILL $C"),
            sh("ctr t ls | grep \"^$C .*STOPPED\"").within(5),
            sh("ctr t rm $C").wants(&[has("137")]),
            sh("ctr c rm $C"),
        ],
    ),
    case(
        "pause",
        &[
            sh("ctr-run -d $IMG $C sleep 1000"),
            sh("ctr t pause $C && ctr t ls | grep \"^$C .*PAUSED\""),
            sh("ctr t resume $C && ctr t ls | grep \"^$C .*RUNNING\""),
            sh("ctr t rm -f $C; ctr c rm $C"),
        ],
    ),
    case(
        "ps",
        &[
            sh("ctr-run -d $IMG $C sleep 1000"),
            sh("ctr t exec -d --exec-id e1 $C sleep 1001"),
            sh("ctr t ps $C | sed 1d | wc -l").wants(&[out("2")]).within(5),
            sh("ctr t rm -f $C; ctr c rm $C"),
        ],
    ),
    case(
        "metrics",
        &[
            sh("ctr-run -d --memory-limit 67108864 $IMG $C sleep 1000"),
            sh("ctr t metrics $C").wants(&[has("memory"), has("67108864")]).within(3),
            sh("ctr t rm -f $C; ctr c rm $C"),
        ],
    ),
    case(
        "limits",
        &[
            sh("ctr-run -d --memory-limit 67108864 --cpus 0.5 $IMG $C sleep 1000"),
            sh("p=$(ctr t ls | awk -v c=$C '$1 == c {print $2}'); for w in memory period quota; do cgroup-value $p $w; done")
                .wants(&[out("67108864\n100000\n50000")]),
            sh("ctr t rm -f $C; ctr c rm $C"),
        ],
    ),
    case(
        "rm-running",
        &[
            sh("ctr-run -d $IMG $C sleep 1000"),
            sh("ctr t rm $C && exit 1; ctr t rm -f $C"),
            sh("ctr t ls").wants(&[lacks("rm-running")]),
            sh("ctr c rm $C"),
        ],
    ),
    case(
        "rm-paused",
        &[
            sh("ctr-run -d $IMG $C sleep 1000"),
            sh("ctr t pause $C; ctr t rm -f $C"),
            sh("ctr t ls | grep \"^$C \" && exit 1; ctr c rm $C"),
        ],
    ),
    case(
        "null-io",
        &[
            sh("ctr-run -d --null-io $IMG $C sh -c 'echo lost; exit 5'"),
            sh("ctr t ls | grep \"^$C .*STOPPED\"").within(5),
            sh("ctr t rm $C").wants(&[has("5")]),
            sh("ctr c rm $C"),
        ],
    ),
    case("env-and-workdir", &[sh("ctr-run --rm --env A=b --cwd /data $IMG $C sh -c 'echo $A $(pwd)'").wants(&[out("b /data")])]),
    case("read-only", &[sh("ctr-run --rm --read-only $IMG $C touch /made").code(1).wants(&[has("Read-only file system")])]),
    case("mount", &[
        sh("echo there >f; ctr-run --rm --mount type=bind,src=$D,dst=/v,options=rbind:ro $IMG $C cat /v/f").wants(&[out("there")]),
        sh("ctr-run --rm --mount type=bind,src=$D,dst=/v,options=rbind:ro $IMG $C touch /v/g").code(1),
    ]),
    case("seccomp", &[
        sh("ctr-run --rm --seccomp $IMG $C grep ^Seccomp: /proc/self/status").wants(&[out("Seccomp:\t2")]),
        sh("ctr-run --rm --seccomp --seccomp-profile $S/no-mkdir.json $IMG $C mkdir /tmp/x").code(1).wants(&[has("not permitted")]),
    ]),
    case("capabilities", &[
        sh("ctr-run --rm --cap-drop CAP_CHOWN $IMG $C chown 1 /data/file").code(1).wants(&[has("not permitted")]),
    ]),
    case("privileged", &[sh("ctr-run --rm --privileged $IMG $C mount -t tmpfs none /tmp")])
        .needs("grep -q 'CapBnd:.*01ffffffffff' /proc/self/status", "--privileged asks for Linux capabilities that this machine does not give"),
    case("net-host", &[sh("test $(ctr-run --rm --net-host $IMG $C readlink /proc/self/ns/net) = $(readlink /proc/self/ns/net)")]),
    case("no-extra-descriptors", &[sh("ctr-run --rm $IMG $C sh -c 'ls /proc/1/fd; :'").wants(&[out("0\n1\n2")])]),
    case(
        "two-at-once",
        &[
            sh("ctr-run -d $IMG $C-a sleep 1000 && ctr-run -d $IMG $C-b sleep 1000"),
            sh("ctr t rm -f $C-a; ctr t exec --exec-id e1 $C-b true"),
            sh("ctr t rm -f $C-b; ctr c rm $C-a $C-b"),
        ],
    ),
];
