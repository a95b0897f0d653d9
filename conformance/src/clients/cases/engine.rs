//! Podman and Docker, whose command lines are the same here: the life of a container.

use crate::clients::case::{Case, Key, case, has, lacks, out, sh, tty};

/// crun's text for a missing program is not the one that Docker looks for.
const CRUN_TEXT: &[(&str, &str)] = &[("crun", "a missing program gives 125 under docker")];

/// Starting, ending, signalling and watching.
pub const ENGINE: &[Case] = &[
    case("run", &[sh("$CLI run --rm $IMG echo hello").wants(&[out("hello")])]),
    case(
        "exit-codes",
        &[
            sh("$CLI run --rm $IMG true"),
            sh("$CLI run --rm $IMG false").code(1),
            sh("$CLI run --rm $IMG sh -c 'exit 42'").code(42),
            sh("$CLI run --rm $IMG sh -c 'sh -c \"kill -9 \\$\\$\"; exit $?'").code(137),
            sh("$CLI run --rm $IMG sh -c 'sh -c \"kill -15 \\$\\$\"; exit $?'").code(143),
        ],
    ),
    case(
        "run-not-executable",
        &[sh("$CLI run --rm $IMG /etc/notexec")
            .code(126)
            .wants(&[has("permission denied")])],
    )
    .differs(&[("crun", "writes Permission denied, which docker does not map to 126")]),
    case(
        "run-missing-program",
        &[
            sh("$CLI run --rm $IMG /no/such").code(127),
            sh("$CLI run --rm $IMG nosuch").code(127),
        ],
    )
    .differs(CRUN_TEXT),
    case(
        "run-bad-workdir",
        &[sh("$CLI run --rm -w /etc/passwd $IMG true && exit 1; exit 0").wants(&[lacks("panic")])],
    ),
    case(
        "stdin",
        &[sh("echo in | $CLI run -i --rm $IMG cat").wants(&[out("in")])],
    ),
    case(
        "stdout-and-stderr",
        &[
            sh("$CLI run --rm $IMG sh -c 'echo o; echo e >&2' 2>/dev/null").wants(&[out("o")]),
            sh("$CLI run --rm $IMG sh -c 'echo o; echo e >&2' 2>&1 >/dev/null").wants(&[out("e")]),
        ],
    ),
    case(
        "much-output",
        &[sh("$CLI run --rm $IMG seq 1 50000 | tail -n 1").wants(&[out("50000")])],
    ),
    case(
        "run-tty",
        &[
            tty("$CLI run --rm -t $IMG sh -c 'tty; exit 9'", &[Key::See("/dev/pts/0")]).code(9),
            tty("$CLI run --rm -it $IMG sh", TALK).code(9),
        ],
    ),
    case(
        "exec",
        &[
            sh("$CLI run -d --name $C $IMG sleep 1000"),
            sh("$CLI exec $C echo hello").wants(&[out("hello")]),
            sh("$CLI exec $C sh -c 'exit 42'").code(42),
            sh("$CLI exec $C sh -c 'kill -9 $$'").code(137),
            sh("echo in | $CLI exec -i $C cat").wants(&[out("in")]),
            sh("$CLI exec -e A=b -w /work -u worker $C sh -c 'echo $A $(pwd) $(id -un)'")
                .wants(&[out("b /work worker")]),
            sh("$CLI exec -d $C touch /tmp/done"),
            sh("$CLI exec $C test -e /tmp/done").within(5),
            sh("$RM $C"),
        ],
    ),
    case(
        "exec-not-executable",
        &[
            sh("$CLI run -d --name $C $IMG sleep 1000"),
            sh("$CLI exec $C /etc/notexec").code(126),
            sh("$RM $C"),
        ],
    ),
    case(
        "exec-missing-program",
        &[
            sh("$CLI run -d --name $C $IMG sleep 1000"),
            sh("$CLI exec $C /no/such").code(127).code_on("docker", 126),
            sh("$CLI exec $C nosuch").code(127).code_on("docker", 126),
            sh("$CLI exec $C true"),
            sh("$RM $C"),
        ],
    ),
    case(
        "exec-tty",
        &[
            sh("$CLI run -d --name $C $IMG sleep 1000"),
            tty("$CLI exec -it $C sh", TALK).code(9),
            sh("$RM $C"),
        ],
    ),
    case(
        "detach-and-attach",
        &[
            tty(
                "$CLI run -it --name $C $IMG sh",
                &[Key::See("#"), Key::Type("\u{10}"), Key::Rest, Key::Type("\u{11}")],
            ),
            sh("$CLI inspect -f '{{.State.Running}}' $C").wants(&[out("true")]),
            tty(
                "$CLI attach $C; exit $($CLI wait $C)",
                &[
                    Key::Type("echo back''again\n"),
                    Key::See("backagain"),
                    Key::Type("exit 4\n"),
                ],
            )
            .code(4),
            sh("$RM $C"),
        ],
    ),
    case(
        "logs",
        &[
            sh("$CLI run -d --name $C $IMG sh -c 'echo first; echo second >&2'"),
            sh("$CLI wait $C").wants(&[out("0")]),
            sh("$CLI logs $C").wants(&[has("first"), has("second")]),
            sh("$CLI rm $C"),
        ],
    ),
    case(
        "stop",
        &[
            sh("$CLI run -d --name $C $IMG trapper"),
            sh("$CLI logs $C").wants(&[has("ready")]).within(5),
            sh("$CLI stop -t 10 $C"),
            sh("$CLI inspect -f '{{.State.ExitCode}}' $C").wants(&[out("43")]),
            sh("$CLI logs $C").wants(&[has("got TERM")]),
            sh("$CLI rm $C"),
        ],
    ),
    case(
        "stop-timeout",
        &[
            sh("$CLI run -d --name $C $IMG sleep 1000"),
            sh("$CLI stop -t 1 $C"),
            sh("$CLI inspect -f '{{.State.ExitCode}}' $C").wants(&[out("137")]),
            sh("$CLI rm $C"),
        ],
    ),
    case(
        "kill",
        &[
            sh("$CLI run -d --name $C $IMG trapper"),
            sh("$CLI logs $C").wants(&[has("ready")]).within(5),
            sh("$CLI kill -s USR1 $C"),
            sh("$CLI logs $C").wants(&[has("got USR1")]).within(5),
            sh("$CLI kill -s 1 $C"),
            sh("$CLI logs $C").wants(&[has("got HUP"), lacks("got TERM")]).within(5),
            sh("$CLI kill $C; $CLI wait $C | tail -n 1").wants(&[has("137")]),
            sh("$CLI kill $C && exit 1; $CLI rm $C"),
        ],
    ),
    case(
        "pause",
        &[
            sh("$CLI run -d --name $C $IMG sh -c 'while :; do echo tick; sleep 0.05; done'"),
            sh("$CLI pause $C"),
            sh("$CLI inspect -f '{{.State.Status}}' $C").wants(&[out("paused")]),
            // The pause between the two counts is what is measured.
            sh("a=$($CLI logs $C | wc -l); sleep 0.4; test $a = $($CLI logs $C | wc -l)"),
            sh("$CLI unpause $C"),
            sh("a=$($CLI logs $C | wc -l); sleep 0.4; test $a -lt $($CLI logs $C | wc -l)").within(3),
            sh("$RM $C"),
        ],
    ),
    case(
        "rm-running",
        &[
            sh("$CLI run -d --name $C $IMG sleep 1000"),
            sh("$CLI rm $C && exit 1; $RM $C"),
            sh("$CLI inspect $C && exit 1; exit 0"),
        ],
    ),
    case(
        "rm-paused",
        &[
            sh("$CLI run -d --name $C $IMG sleep 1000"),
            sh("$CLI pause $C && $RM $C"),
            sh("$CLI inspect $C && exit 1; exit 0"),
        ],
    ),
    case(
        "top",
        &[
            sh("$CLI run -d --name $C $IMG sleep 1234"),
            sh("$CLI top $C").wants(&[has("sleep 1234")]),
            sh("$RM $C"),
        ],
    ),
    case(
        "stats",
        &[
            sh("$CLI run -d --name $C $IMG sleep 1000"),
            sh("$CLI stats --no-stream --format '{{.Name}} {{.PIDs}}' $C").wants(&[out("stats 1")]),
            sh("$RM $C"),
        ],
    ),
    case(
        "restart",
        &[
            sh("$CLI run -d --name $C $IMG trapper"),
            sh("$CLI inspect -f '{{.State.Pid}}' $C >pid"),
            sh("$CLI restart -t 5 $C"),
            sh("test $($CLI inspect -f '{{.State.Pid}}' $C) != $(cat pid) && $CLI exec $C true"),
            sh("$RM $C"),
        ],
    ),
    case(
        "wait",
        &[
            sh("$CLI run -d --name $C $IMG sh -c 'sleep 0.3; exit 6'"),
            sh("$CLI wait $C").wants(&[out("6")]),
            sh("$CLI rm $C"),
        ],
    ),
    case(
        "create-and-start",
        &[
            sh("$CLI create --name $C $IMG sh -c 'echo made; exit 3'"),
            sh("$CLI start -a $C").code(3).wants(&[out("made")]),
            sh("$CLI start -a $C").code(3).wants(&[out("made")]),
            sh("$CLI rm $C"),
        ],
    ),
    case(
        "cp",
        &[
            sh("$CLI run -d --name $C $IMG sleep 1000"),
            sh("echo there >f && $CLI cp f $C:/work/f && $CLI exec $C cat /work/f").wants(&[out("there")]),
            sh("$CLI exec $C sh -c 'echo back >/work/g' && $CLI cp $C:/work/g g && cat g").wants(&[out("back")]),
            sh("$RM $C"),
        ],
    ),
    case(
        "retry-after-failed-create",
        &[
            sh("$CLI run --rm --name $C $IMG /no/such && exit 1; exit 0"),
            sh("$CLI rm $C 2>/dev/null; $CLI run --rm --name $C $IMG echo again").wants(&[out("again")]),
            sh("$CLI ps -a --format '{{.Names}}'").wants(&[lacks("retry-after")]),
        ],
    ),
    case(
        "two-at-once",
        &[
            sh("$CLI run -d --name $C-a $IMG sleep 1000"),
            sh("$CLI run -d --name $C-b $IMG sleep 1000"),
            sh("$CLI exec $C-a touch /tmp/a && $CLI exec $C-b test ! -e /tmp/a"),
            sh("$RM $C-a && $CLI exec $C-b true"),
            sh("$RM $C-b"),
        ],
    ),
    case(
        "many-at-once",
        &[
            sh("for n in 1 2 3 4; do $CLI run --rm $IMG sh -c \"exit $n\"; echo $n $? >r$n & done; wait; cat r*")
                .wants(&[out("1 1\n2 2\n3 3\n4 4")]),
        ],
    ),
    case(
        "oom",
        &[
            sh("$CLI run --name $C -m 16m --memory-swap 16m $IMG tail /dev/zero").code(137),
            // conmon up to 2.1 notes it in the folder where podman was called, where podman does not look.
            sh("test -e oom || $CLI inspect -f '{{.State.OOMKilled}}' $C | grep true"),
            sh("$CLI rm $C"),
        ],
    ),
    case(
        "init",
        &[sh("$CLI run --rm --init $IMG cat /proc/1/comm").wants(&[has("init")])],
    ),
    case(
        "no-extra-descriptors",
        &[sh("$CLI run --rm $IMG sh -c 'ls /proc/1/fd; :'").wants(&[out("0\n1\n2")])],
    ),
];

/// A talk with a shell: name of the terminal, a change of its size, an exit code.
const TALK: &[Key] = &[
    Key::See("#"),
    Key::Type("tty\n"),
    Key::See("/dev/pts/"),
    Key::Size(40, 100),
    Key::Type("until stty size | grep -q '40 100'; do sleep 0.05; done; echo si''ze\n"),
    Key::See("\nsize"),
    Key::Type("exit 9\n"),
];
