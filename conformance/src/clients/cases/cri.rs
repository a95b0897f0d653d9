//! containerd's CRI plugin, as a kubelet uses it.
//!
//! `cri` is the client of this crate; the set-up script makes `pod`, `box`, `once`, `ended`, `log`, `init-of` and `away`
//! of it. Attach, exec with a terminal and port forwarding have no case: they need a client of containerd's stream server.

use crate::clients::case::{Case, case, has, lacks, out, sh};

const CRUN_TEXT: &[(&str, &str)] = &[("crun", "writes other words for a missing program")];
const NO_BRIDGE: &str = "no bridge here, or containernetworking-plugins is not installed";
const BRIDGE: &str = "test -x /usr/lib/cni/bridge && test -x /usr/lib/cni/host-local && test -x /usr/lib/cni/loopback && \
                      ip link add try0 type bridge && ip link del try0 && ip link add try0 type veth peer try1 && ip link del try0";

/// Pods and their containers.
pub const CRI: &[Case] = &[
    case("run", &[
        sh("pod $C"),
        sh("once $C $C . echo hello").wants(&[out("hello")]),
        sh("away $C; cri pods").wants(&[lacks("id")]),
    ]),
    case("server", &[
        sh("cri version").wants(&[has(r#""runtime_name": "containerd""#), has(r#""runtime_api_version": "v1""#)]),
        sh(r#"cri info | jq -r '.status.conditions[] | "\(.type) \(.status)"'"#).wants(&[has("RuntimeReady true")]),
    ]),
    case("pod-status", &[
        sh(r#"pod $C '.labels={tier:"web"}'"#),
        sh(r#"cri inspectp $C | jq -r '.status | "\(.state) \(.labels.tier) \(.metadata.name)"'"#).wants(&[out("0 web pod-status")]),
        sh("cri inspectp $C | jq -r '.info.info | fromjson | .processStatus'").wants(&[out("running")]),
        sh("cri stopp $C; cri inspectp $C | jq .status.state").wants(&[out("1")]),
        sh("cri stopp $C && cri rmp $C"),
        sh("cri inspectp $C").code(2).wants(&[has("code = NotFound")]),
    ]),
    case("exit-codes", &[
        sh("pod $C"),
        sh("box $C ok . true; ended ok").wants(&[out("0 Completed")]),
        sh("box $C bad . sh -c 'exit 42'; ended bad").wants(&[out("42 Error")]),
        sh("box $C killed . sh -c 'sh -c \"kill -9 \\$\\$\"; exit $?'; ended killed").wants(&[out("137 Error")]),
        sh("away $C"),
    ]),
    case("status-fields", &[
        sh("pod $C"),
        sh(r#"box $C $C '.labels={a:"b"} | .mounts=[{container_path:"/m",host_path:env.D,readonly:true}]' sleep 1000"#),
        sh(r#"cri inspect $C | jq -r '.status | "\(.state) \(.labels.a) \(.mounts[0].container_path) \(.finished_at) \(.created_at > 0) \(.started_at >= .created_at)"'"#)
            .wants(&[out("1 b /m 0 true true")]),
        sh("cri stop $C; ended $C").wants(&[out("137 Error")]),
        sh(r#"cri inspect $C | jq -r '.status | "\(.finished_at > .started_at) \(.log_path)"'"#).wants(&[has("true /run/s/logs/status-fields/status-fields.log")]),
        sh("cri rm $C; cri inspect $C").code(2).wants(&[has("code = NotFound")]),
        sh("away $C"),
    ]),
    case("created", &[
        sh("pod $C"),
        sh(r#"cri create $C '{"metadata":{"name":"c"},"image":{"image":"busybox:test"},"command":["sleep","1000"]}' "$(cat $S/pods/$C)""#),
        sh("cri inspect c | jq .status.state").wants(&[out("0")]),
        sh("cri start c; cri inspect c | jq .status.state").wants(&[out("1")]),
        sh("cri start c").code(2).wants(&[has("container is in CONTAINER_RUNNING state")]),
        sh("cri rm c; away $C"),
    ]),
    case("missing-program", &[
        sh("pod $C"),
        sh("box $C path . /no/such").code(2).wants(&[has("code = Unknown"), has("/no/such"), has("no such file or directory")]),
        sh("box $C name . nosuch").code(2).wants(&[has("OCI runtime create failed"), has("executable file"), has("not found in $PATH")]),
        sh("box $C plain . /etc/notexec").code(2).wants(&[has("ermission denied")]),
        sh("ended path; ended name; ended plain").wants(&[out("128 StartError\n128 StartError\n128 StartError")]),
        sh("cri inspect name | jq -r .status.message").wants(&[has("OCI runtime create failed"), has("not found in $PATH")]),
        sh("once $C again . echo again").wants(&[out("again")]),
        sh("away $C"),
    ])
    .differs(CRUN_TEXT),
    case("logs", &[
        sh("pod $C"),
        sh("box $C $C . sh -c 'echo one; echo two >&2; printf three'; ended $C"),
        sh("cut -d' ' -f2- $S/logs/$C/$C.log | sort").wants(&[out("stderr F two\nstdout F one\nstdout P three")]),
        sh("away $C"),
    ]),
    case("tty", &[
        sh("pod $C"),
        sh("once $C $C .tty=true sh -c 'tty; test -t 0 && test -t 2 && echo yes'").wants(&[has("/dev/pts/0"), has("yes")]),
        sh("away $C"),
    ]),
    case("exec", &[
        sh("pod $C"),
        sh("box $C $C . sleep 1000"),
        sh("cri exec $C sh -c 'echo out; echo err >&2; exit 42' 2>$D/err").code(42).wants(&[out("out")]),
        sh("cat $D/err").wants(&[out("err")]),
        sh("cri exec $C seq 50000 >$D/numbers; seq 50000 | cmp - $D/numbers"),
        sh("cri exec $C nosuch").code(2).wants(&[has("executable file"), has("not found in $PATH")]),
        sh("cri exec $C /no/such").code(2).wants(&[has("no such file or directory")]),
        sh("cri exec $C true"),
        sh("away $C"),
    ])
    .differs(CRUN_TEXT),
    case("exec-timeout", &[
        sh("pod $C"),
        sh("box $C $C . sleep 1000"),
        sh("cri exec --timeout 1 $C sleep 1001").code(2).wants(&[has("code = DeadlineExceeded"), has("timeout 1s exceeded")]),
        sh("cri exec $C ps").wants(&[lacks("sleep 1001"), has("sleep 1000")]).within(5),
        sh("cri exec --timeout 10 $C echo quick").wants(&[out("quick")]),
        sh("away $C"),
    ]),
    case("exec-security", &[
        sh("pod $C"),
        sh(r#"box $C $C 'sec.run_as_user={value:7} | sec.run_as_group={value:8} | sec.capabilities={drop_capabilities:["ALL"]} | sec.seccomp={profile_type:0} | sec.no_new_privs=true' sleep 1000"#),
        sh("cri exec $C sh -c 'id -u; id -g; grep -E \"CapEff|CapBnd|NoNewPrivs|Seccomp:\" /proc/self/status | cut -f2'")
            .wants(&[out("7\n8\n0000000000000000\n0000000000000000\n1\n2")]),
        sh("away $C"),
    ]),
    case("stats", &[
        sh("pod $C"),
        sh("box $C $C 'res.memory_limit_in_bytes=67108864' sleep 1000"),
        sh("cri stats $C | jq '.stats | .cpu.usage_core_nano_seconds.value > 0 and .memory.usage_bytes.value > 0 and .memory.working_set_bytes.value > 0 and .memory.available_bytes.value <= 67108864'")
            .wants(&[out("true")])
            .within(10),
        sh("away $C"),
    ]),
    case("limits", &[
        sh("pod $C"),
        sh(r#"box $C $C 'res={memory_limit_in_bytes:67108864,cpu_period:100000,cpu_quota:50000,cpu_shares:512,cpuset_cpus:"0",oom_score_adj:500}' sleep 1000"#),
        sh("p=$(init-of $C); for w in memory period quota shares cpus; do cgroup-value $p $w; done; cat /proc/$p/oom_score_adj")
            .wants(&[out("67108864\n100000\n50000\n512\n0\n500")]),
        sh("away $C"),
    ]),
    case("update", &[
        sh("pod $C"),
        sh("box $C $C 'res={memory_limit_in_bytes:67108864,cpu_period:100000,cpu_quota:50000,cpu_shares:512}' sleep 1000"),
        sh(r#"cri update $C '{"memory_limit_in_bytes":100663296,"cpu_shares":256,"cpu_quota":30000,"cpu_period":100000,"cpuset_cpus":"0"}'"#),
        sh("p=$(init-of $C); for w in memory period quota shares cpus; do cgroup-value $p $w; done")
            .wants(&[out("100663296\n100000\n30000\n256\n0")]),
        sh(r#"cri update $C '{"cpu_shares":512}'; p=$(init-of $C); for w in memory quota shares; do cgroup-value $p $w; done"#)
            .wants(&[out("100663296\n30000\n512")]),
        sh("cri exec $C echo alive").wants(&[out("alive")]),
        sh("away $C"),
    ]),
    case("cgroup-parent", &[
        sh(r#"pod $C '.linux.cgroup_parent="/kubepods/pod-1"'"#),
        sh("box $C $C . sleep 1000"),
        sh("cri statsp $C | jq '.stats.linux | .memory.working_set_bytes.value > 0 and (.containers | length) == 1'").wants(&[out("true")]).within(10),
        sh("id=$(cri inspect $C | jq -r .status.id); grep -c \"/kubepods/pod-1/$id\\$\" /proc/$(init-of $C)/cgroup | sed 's/[1-9][0-9]*/in/'").wants(&[out("in")]),
        sh("away $C"),
    ]),
    case("oom", &[
        sh("pod $C"),
        sh("box $C $C 'res={memory_limit_in_bytes:16777216,memory_swap_limit_in_bytes:16777216}' tail /dev/zero"),
        sh("ended $C").wants(&[out("137 OOMKilled")]),
        sh("away $C"),
    ]),
    case("seccomp", &[
        sh("pod $C"),
        sh("once $C default 'sec.seccomp={profile_type:0}' sh -c 'grep Seccomp: /proc/self/status; mkdir /m && echo made; unshare -U true'")
            .code(1)
            .wants(&[has("2"), has("made"), has("not permitted")]),
        sh("once $C none 'sec.seccomp={profile_type:1}' grep Seccomp: /proc/self/status").wants(&[has("0")]),
        sh(r#"once $C local 'sec.seccomp={profile_type:2,localhost_ref:(env.S+"/no-mkdir.json")}' mkdir /m"#).code(1).wants(&[has("Operation not permitted")]),
        sh("away $C"),
    ]),
    case("capabilities", &[
        sh("pod $C"),
        sh(r#"once $C none 'sec.capabilities={drop_capabilities:["ALL"]}' sh -c 'grep Cap /proc/self/status | cut -f2 | sort -u'"#).wants(&[out("0000000000000000")]),
        sh(r#"once $C one 'sec.capabilities={drop_capabilities:["ALL"],add_capabilities:["NET_ADMIN"]}' grep CapEff /proc/self/status"#).wants(&[has("0000000000001000")]),
        sh(r#"once $C less 'sec.capabilities={drop_capabilities:["CHOWN"]}' chown 7 /tmp"#).code(1).wants(&[has("not permitted")]),
        sh("once $C default . grep CapEff /proc/self/status").wants(&[has("00000000a80425fb")]),
        sh("away $C"),
    ]),
    case("read-only", &[
        sh("pod $C"),
        sh("once $C $C sec.readonly_rootfs=true sh -c 'touch /x; touch /dev/shm/x && echo shm'").wants(&[has("Read-only file system"), has("shm")]),
        sh("away $C"),
    ]),
    case("masked-paths", &[
        sh("pod $C"),
        sh(r#"once $C $C 'sec.masked_paths=["/data","/etc/notexec","/no/such"] | sec.readonly_paths=["/proc/sys","/tmp"]' sh -c 'ls /data; cat /etc/notexec; touch /tmp/x'"#)
            .code(1)
            .wants(&[lacks("file\n"), lacks("text"), has("Read-only file system")]),
        sh("away $C"),
    ]),
    case("user", &[
        sh("pod $C"),
        sh("once $C id 'sec.run_as_user={value:7} | sec.run_as_group={value:8} | sec.supplemental_groups=[3000,3001]' sh -c 'id -u; id -G'").wants(&[out("7\n8 3000 3001")]),
        sh(r#"once $C name 'sec.run_as_username="worker"' sh -c 'id -un; pwd; echo $HOME'"#).wants(&[out("worker\n/\n/work")]),
        sh("away $C"),
    ]),
    case("no-new-privileges", &[
        sh("pod $C"),
        sh("once $C on sec.no_new_privs=true grep NoNewPrivs /proc/self/status").wants(&[has("1")]),
        sh("once $C off . grep NoNewPrivs /proc/self/status").wants(&[has("0")]),
        sh("away $C"),
    ]),
    case("privileged", &[
        sh("pod $C sec.privileged=true"),
        sh("once $C $C sec.privileged=true sh -c 'mount -t tmpfs t /tmp && echo mounted; grep -q \" /sys sysfs rw\" /proc/mounts && echo rw'").wants(&[out("mounted\nrw")]),
        sh("once $C plain . sh -c 'mount -t tmpfs t /tmp; grep -q \" /sys sysfs ro\" /proc/mounts && echo ro'").wants(&[has("ermission denied"), has("ro")]),
        sh("away $C"),
    ]),
    case("sysctls", &[
        sh(r#"pod $C '.linux.sysctls={"kernel.shm_rmid_forced":"1","fs.mqueue.msg_max":"20"}'"#),
        sh("once $C $C . cat /proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/msg_max").wants(&[out("1\n20")]),
        sh(r#"pod bad ".linux.sysctls={\"kernel.panic\":\"$(cat /proc/sys/kernel/panic)\"}""#).code(2).wants(&[has("kernel.panic")]),
        sh("away $C"),
    ]),
    case("environment", &[
        sh("pod $C"),
        sh(r#"once $C $C '.envs=[{key:"A",value:"b"},{key:"EMPTY"}] | .working_dir="/data"' sh -c 'echo $A,${EMPTY-unset},$PATH; pwd'"#).wants(&[out("b,,/bin\n/data")]),
        sh(r#"once $C new '.working_dir="/made/here"' pwd"#).wants(&[out("/made/here")]),
        sh(r#"once $C volume '.working_dir="/v/deep/er" | .mounts=[{container_path:"/v",host_path:env.D}]' pwd; ls $D"#).wants(&[out("/v/deep/er\ndeep")]),
        sh("away $C"),
    ]),
    case("devices", &[
        sh("pod $C"),
        sh(r#"once $C $C '.devices=[{container_path:"/dev/other",host_path:"/dev/fuse",permissions:"r"}]' sh -c ': </dev/other && echo read; : >/dev/other'"#)
            .code(1)
            .wants(&[has("read"), has("ot permitted")]),
        sh("away $C"),
    ])
    .needs(": </dev/fuse", "no /dev/fuse, a device that containers have only when they are given it"),
    case("mounts", &[
        sh("mkdir $D/dir; echo text >$D/dir/file; pod $C"),
        sh(r#"once $C $C '.mounts=[{container_path:"/rw",host_path:(env.D+"/dir")},{container_path:"/ro",host_path:(env.D+"/dir"),readonly:true},{container_path:"/etc/one",host_path:(env.D+"/dir/file")}]' sh -c 'exec 2>&1; cat /etc/one; echo new >/rw/new; cat /ro/new; echo no >/ro/no'"#)
            .code(1)
            .wants(&[has("text\nnew"), has("Read-only file system")]),
        sh("ls $D/dir").wants(&[out("file\nnew")]),
        sh("away $C"),
    ]),
    case("mount-propagation", &[
        sh("mkdir $D/m; mount -t tmpfs t $D/m; mount --make-shared $D/m; mkdir $D/m/in $D/m/out; pod $C sec.privileged=true"),
        sh(r#"box $C private '.mounts=[{container_path:"/m",host_path:(env.D+"/m")}]' sleep 1000"#),
        sh(r#"box $C slave '.mounts=[{container_path:"/m",host_path:(env.D+"/m"),propagation:1}]' sleep 1000"#),
        sh(r#"box $C shared '.mounts=[{container_path:"/m",host_path:(env.D+"/m"),propagation:2}] | sec.privileged=true' sleep 1000"#),
        sh("mount -t tmpfs t $D/m/in; echo x >$D/m/in/file; for c in private slave shared; do cri exec $c ls /m/in | sed \"s/^/$c /\"; done").wants(&[out("slave file\nshared file")]),
        sh("cri exec shared sh -c 'mount -t tmpfs t /m/out; echo x >/m/out/file'; ls $D/m/out; cri exec slave ls /m/out; cri exec private ls /m/out").wants(&[out("file\nfile")]),
        sh("away $C; umount $D/m/out $D/m/in $D/m"),
    ]),
    case("shared-pid-namespace", &[
        sh("pod $C ns.pid=0"),
        sh("box $C one ns.pid=0 sleep 1111; box $C two ns.pid=0 sleep 2222"),
        sh("cri exec two ps").wants(&[has("pause"), has("sleep 1111"), has("sleep 2222")]),
        sh("cri exec one sh -c 'kill -9 $(pidof -s sleep)' ; cri stop one; cri exec two echo alive").wants(&[out("alive")]),
        sh("away $C"),
    ]),
    case("own-pid-namespace", &[
        sh("pod $C"),
        sh("box $C one . sleep 1111; box $C two . sleep 2222"),
        sh("cri exec two ps").wants(&[lacks("1111"), has("sleep 2222")]),
        sh(r#"id=$(cri inspect one | jq -r .status.id); once $C look "ns.pid=3 | ns.target_id=\"$id\"" ps"#).wants(&[has("sleep 1111"), lacks("2222")]),
        sh("away $C"),
    ]),
    case("shared-ipc", &[
        sh("pod $C"),
        sh("box $C one . sleep 1000; cri exec one sh -c 'echo word >/dev/shm/word'"),
        sh("once $C two . cat /dev/shm/word").wants(&[out("word")]),
        sh("box $C three . sleep 1000; for c in one three; do readlink /proc/$(init-of $c)/ns/ipc; done | uniq | wc -l").wants(&[out("1")]),
        sh("away $C"),
    ]),
    case("node-namespaces", &[
        sh("pod $C 'ns.pid=2 | ns.ipc=2'"),
        sh("once $C $C 'ns.pid=2 | ns.ipc=2' sh -c 'for n in pid ipc net; do readlink /proc/self/ns/$n; done' >$D/seen; readlink /proc/self/ns/pid /proc/self/ns/ipc /proc/self/ns/net | diff - $D/seen"),
        sh("away $C"),
    ]),
    case("stop", &[
        sh("pod $C"),
        sh("box $C polite . trapper; box $C deaf . sleep 1000"),
        sh("log $C polite").wants(&[out("ready")]).within(5),
        sh("cri stop --timeout 10 polite; ended polite").wants(&[out("43 Error")]),
        sh("cri stop --timeout 1 deaf; ended deaf").wants(&[out("137 Error")]),
        sh("cri stop polite"),
        sh("cri exec polite true").code(2).wants(&[has("code = Unknown"), has("is in CONTAINER_EXITED state")]),
        sh("away $C"),
    ]),
    case("rm-running", &[
        sh("pod $C"),
        sh("box $C one . sleep 1000; cri rm one; cri ps").wants(&[lacks("one")]),
        sh("box $C two . sleep 1000; box $C three . sleep 1000; cri rmp $C; cri ps; cri pods").wants(&[lacks("two"), lacks("three"), lacks("rm-running")]),
    ]),
    case("stop-pod", &[
        sh("pod $C"),
        sh("box $C one . sleep 1000; box $C two . trapper"),
        sh("cri stopp $C; ended one; ended two").wants(&[has("137 Error")]),
        sh("cri rmp $C; cri ps").wants(&[lacks("one")]),
    ]),
    case("two-pods", &[
        sh("pod one & pod two & wait"),
        sh("box one a . sleep 1000 & box two b . sleep 1000 & wait; cri ps | jq '[.containers[].state] | add'").wants(&[out("2")]),
        sh("cri exec a echo a & cri exec b echo b & wait").wants(&[has("a\n"), has("b\n")]),
        sh("away one & away two & wait; cri pods").wants(&[lacks("id")]),
    ]),
    case("probes", &[
        sh("pod $C; box $C $C . sleep 1000"),
        sh("for i in 1 2 3 4 5 6; do cri exec --timeout 10 $C sh -c \"exit $i\" || echo $? & done | sort; wait").wants(&[out("1\n2\n3\n4\n5\n6")]),
        sh("away $C"),
    ]),
    case("cgroup-view", &[
        sh("pod $C"),
        sh("once $C $C res.memory_limit_in_bytes=67108864 sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes 2>/dev/null || cat memory.max; test -e pids && cd pids; mkdir x'")
            .code(1)
            .wants(&[has("67108864"), has("Read-only file system")]),
        sh("away $C"),
    ]),
    case("containerd-restart", &[
        sh("pod $C; box $C one . sleep 1000; box $C two . trapper"),
        sh("log $C two").wants(&[out("ready")]).within(5),
        sh("restart-containerd").limit(60),
        sh("cri inspect one | jq .status.state; cri exec one echo alive").wants(&[out("1\nalive")]),
        sh("cri stop --timeout 10 two; ended two").wants(&[out("43 Error")]),
        sh("once $C three . echo new").wants(&[out("new")]),
        sh("away $C; cri pods").wants(&[lacks("id")]),
    ]),
    case("bridge", &[
        sh("pod $C '.hostname=\"tower\" | ns.network=0 | .linux.sysctls={\"net.ipv4.ip_unprivileged_port_start\":\"0\"}'"),
        sh("cri inspectp $C | jq -r .status.network.ip").wants(&[has("10.88.0.")]),
        sh("once $C $C ns.network=0 sh -c 'hostname; ip -4 addr show eth0 | grep -o \"inet 10.88.0.\"; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ping -c 1 -W 5 10.88.0.1 | grep -o \"1 packets received\"'")
            .wants(&[out("tower\ninet 10.88.0.\n0\n1 packets received")]),
        sh("away $C"),
    ])
    .needs(BRIDGE, NO_BRIDGE),
];
