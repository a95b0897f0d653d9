//! Command lines as users and clients write them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace()
        .map(|word| OsString::from(if word == "''" { "" } else { word }))
        .collect()
}

#[track_caller]
fn cli(line: &str) -> Cli {
    match parse(words(line)).1 {
        Ok(Parsed::Run(cli)) => *cli,
        other => panic!("{line}: {other:?}"),
    }
}

/// Unwraps one variant of [`Command`].
macro_rules! command {
    ($kind:ident, $line:expr) => {
        match cli($line).command {
            Command::$kind(args) => args,
            other => panic!("{}: {other:?}", $line),
        }
    };
}

#[track_caller]
fn check_error(line: &str, message: &str, code: u8) {
    match parse(words(line)).1 {
        Err(error) => assert_eq!(
            (error.to_string().as_str(), error.exit_code()),
            (message, code),
            "{line}"
        ),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn clients_calls_are_understood() {
    // conmon, containerd's shim, CRI-O, Podman, Buildah.
    for line in [
        "--log-format=json --log /l create --bundle /b --pid-file /p c1",
        "--systemd-cgroup --log-format=json --log /l --cgroup-manager disabled create --bundle /b --pid-file /p c1",
        "--root /r/ns --log /b/log.json --log-format json create --bundle /b --pid-file /b/init.pid --no-pivot c1",
        "--root=/r create --bundle /b --pid-file /b/pidfile c1",
        "create --bundle /b --pid-file /p --console-socket /s --preserve-fds 3 c1",
        "start c1",
        "exec --pid-file /p --process /f --detach --tty --console-socket /s c1",
        "exec --process /f c1",
        "kill c1 15",
        "kill --all c1 9",
        "kill c1 KILL",
        "kill c1 SIGKILL",
        "delete --force c1",
        "state c1",
        "ps --format json c1",
        "update --resources=/f c1",
        "update --resources - c1",
        "update --resources=- c1",
        "checkpoint --image-path /d --work-path /d --leave-running --leave-running --tcp-established c1",
        "checkpoint --file-locks --image-path /d --work-path /d c1",
        "restore --image-path /d --work-path /d --detach --pid-file /f --no-pivot -no-subreaper --bundle /b c1",
        "run --bundle /b --keep c1",
    ] {
        assert_eq!(cli(line).command.container_id(), Some("c1"), "{line}");
    }
}

#[test]
fn globals_are_read() {
    let globals = cli("--root /r/./a/.. --log l --log-format json --debug --rootless=true --criu /c list").globals;
    assert_eq!(globals.root.as_deref(), Some(Path::new("/r")));
    assert_eq!(globals.log.as_deref(), Some(Path::new("l")));
    assert_eq!(globals.log_format, LogFormat::Json);
    assert!(globals.debug);
    assert_eq!(globals.rootless, Some(true));
    assert_eq!(globals.criu.as_deref(), Some(Path::new("/c")));
    assert_eq!(cli("--rootless auto list").globals.rootless, None);
    assert_eq!(cli("--rootless 0 list").globals.rootless, Some(false));
    assert_eq!(cli("--log= list").globals.log, None);
}

#[test]
fn cgroup_manager_is_chosen() {
    assert_eq!(cli("list").globals.cgroups, Cgroups::Fs);
    assert_eq!(cli("--systemd-cgroup list").globals.cgroups, Cgroups::Systemd);
    for line in [
        "--systemd-cgroup --cgroup-manager disabled list",
        "--cgroup-manager=disabled --systemd-cgroup list",
    ] {
        assert_eq!(cli(line).globals.cgroups, Cgroups::Disabled);
    }
    assert_eq!(cli("--systemd-cgroup=false list").globals.cgroups, Cgroups::Fs);
}

#[test]
fn globals_may_follow_the_command() {
    let cli = cli("state --root /r -debug c1");
    assert_eq!(cli.globals.root.as_deref(), Some(Path::new("/r")));
    assert!(cli.globals.debug);
    assert!(command!(Spec, "spec --rootless").rootless);
}

#[test]
fn globals_survive_a_wrong_command() {
    let (globals, parsed) = parse(words("--log /l --log-format json create --nope"));
    assert!(parsed.is_err());
    assert_eq!(
        (globals.log, globals.log_format),
        (Some(PathBuf::from("/l")), LogFormat::Json)
    );
}

#[test]
fn gos_flag_forms_are_one() {
    for line in [
        "create -b /x c",
        "create -b=/x c",
        "create --b /x c",
        "create -bundle /x c",
        "create --bundle=/x c",
        "create c --bundle /x",
        "create --bundle /y -b /x c",
        "create --bundle /x -- c",
    ] {
        let args = command!(Create, line);
        assert_eq!(
            (args.bundle.as_deref(), args.id.as_str()),
            (Some(Path::new("/x")), "c"),
            "{line}"
        );
    }
    assert_eq!(command!(Create, "create --bundle= c").bundle, None);
    assert!(!command!(Run, "run --detach --detach=false c").detach);
    assert!(command!(Run, "run -d=1 c").detach);
}

#[test]
fn words_after_the_container_belong_to_the_command() {
    let args = command!(Exec, "exec -t -e A=1 -e B=2,3 c1 sh -c -t --user");
    assert!(args.tty && args.user.is_none());
    assert_eq!(args.env, ["A=1", "B=2,3"]);
    assert_eq!(args.command, ["sh", "-c", "-t", "--user"]);
    assert_eq!(command!(Exec, "exec c1 -- ls -l").command, ["ls", "-l"]);
    assert_eq!(command!(Exec, "exec c1 sh -- x").command, ["sh", "--", "x"]);
    assert_eq!(command!(Ps, "ps c1 -aux --help").ps_options, ["-aux", "--help"]);
}

#[test]
fn exec_flags_are_read() {
    let args = command!(
        Exec,
        "exec -u 1000:5 -g 1 -additional-gids 2 --cwd /w --apparmor p --process-label l -c CAP_KILL --no-new-privs=false \
         --preserve-fds 2 --ignore-paused --pidfd-socket /s c1 ls"
    );
    assert_eq!(
        args.user,
        Some(ExecUser {
            uid: 1000,
            gid: Some(5)
        })
    );
    assert_eq!(args.additional_gids, [1, 2]);
    assert_eq!((args.cwd.as_deref(), args.apparmor.as_deref()), (Some("/w"), Some("p")));
    assert_eq!(
        (args.process_label.as_deref(), args.cap.as_slice()),
        (Some("l"), ["CAP_KILL".to_owned()].as_slice())
    );
    assert_eq!(
        (args.no_new_privs, args.preserve_fds, args.ignore_paused),
        (Some(false), 2, true)
    );
    assert_eq!(command!(Exec, "exec --no-new-privs c ls").no_new_privs, Some(true));
    assert_eq!(command!(Exec, "exec c ls").no_new_privs, None);
    assert_eq!(
        command!(Exec, "exec -u 7 c ls").user,
        Some(ExecUser { uid: 7, gid: None })
    );
}

#[test]
fn sub_cgroups_are_told_apart() {
    let read = |line: &str| command!(Exec, line).sub_cgroup();
    assert_eq!(read("exec c ls"), Ok(None));
    assert_eq!(read("exec --cgroup /a c ls"), Ok(Some(SubCgroup::All("/a".into()))));
    let Ok(Some(SubCgroup::Each(paths))) = read("exec --cgroup cpu,cpuacct:a --cgroup memory:b c ls") else {
        panic!("no paths");
    };
    assert_eq!(
        paths.into_iter().map(|(c, p)| c + "=" + &p).collect::<Vec<_>>(),
        ["cpu=a", "cpuacct=a", "memory=b"]
    );
    assert_eq!(
        read("exec --cgroup :a c ls"),
        Err(SubCgroupError::EmptyController(":a".into()))
    );
    assert_eq!(
        read("exec --cgroup cpu:a --cgroup cpu:b c ls"),
        Err(SubCgroupError::Repeated("cpu".into()))
    );
    assert_eq!(
        read("exec --cgroup cpu:a --cgroup b c ls"),
        Err(SubCgroupError::NoController("b".into()))
    );
}

#[test]
fn signals_have_names_and_numbers() {
    for (line, number) in [
        ("kill c", 15),
        ("kill c ''", 15),
        ("kill c 9", 9),
        ("kill c kill", 9),
        ("kill c SIGHUP", 1),
        ("kill c sigusr1", 10),
        ("kill c RTMIN+3", 37),
        ("kill c SIGRTMAX", 64),
        ("kill c 0", 0),
        ("kill c CLD", 17),
        ("kill c winch", 28),
    ] {
        assert_eq!(command!(Kill, line).signal, Signal(number), "{line}");
    }
    assert!(command!(Kill, "kill -a c 9").all);
    assert_eq!(Signal(9).to_string(), "SIGKILL");
    assert_eq!(Signal(40).to_string(), "40");
    for name in ["FOO", "SIGRTMIN+40", "SIG", "RTMAX-99"] {
        let message = format!("unknown signal \"{name}\": want a number or a name such as TERM or SIGTERM");
        check_error(&format!("kill c {name}"), &message, 1);
    }
}

#[test]
fn local_runs_take_a_command() {
    let source = |line: &str| command!(Run, line).source();
    let sh = || ["sh", "-c", "--id"].map(OsString::from).to_vec();
    assert_eq!(
        source("run --rootfs /r -- sh -c --id"),
        Ok(RunSource::Rootfs {
            rootfs: "/r".into(),
            command: sh()
        })
    );
    assert_eq!(
        source("run --image i.tar --id x sh -c --id"),
        Ok(RunSource::Image {
            image: "i.tar".into(),
            command: sh()
        })
    );
    assert_eq!(
        source("run -b /b c"),
        Ok(RunSource::Bundle {
            bundle: Some("/b".into()),
            id: "c".into()
        })
    );
    assert_eq!(source("run --rootfs /r"), Err(RunSourceError::NoCommand));
    assert_eq!(source("run --rootfs /r --image i sh"), Err(RunSourceError::Several));
    assert_eq!(source("run --id x c"), Err(RunSourceError::IdBesideBundle));
    assert_eq!(source("run -d --image i"), Err(RunSourceError::Outlives("detach")));
    assert_eq!(
        source("run --keep --rootfs /r sh"),
        Err(RunSourceError::Outlives("keep"))
    );
    let args = command!(Run, "run --image i --image-cache /c --image-limit 2g");
    assert_eq!(args.image_cache.as_deref(), Some(Path::new("/c")));
    assert_eq!(args.image_limit, Some(2 << 30));
}

#[test]
fn update_reads_runcs_units() {
    let args = command!(
        Update,
        "update --memory 512M --memory-swap -1 --memory-reservation=1.5g --cpu-quota -1 --cpu-period 100000 --cpu-burst 5 \
         --cpu-rt-period 7 --cpu-rt-runtime 8 --cpu-share 512 --cpuset-cpus 0-1 --cpuset-mems 0 --cpu-idle 1 \
         --blkio-weight 500 --pids-limit -1 --kernel-memory 1m --kernel-memory-tcp 1m c1"
    );
    let limits = args.limits();
    let memory = limits.memory().as_ref().unwrap();
    assert_eq!(
        (memory.limit(), memory.swap(), memory.reservation()),
        (Some(536_870_912), Some(-1), Some(1_610_612_736))
    );
    assert_eq!(memory.kernel(), None);
    let cpu = limits.cpu().as_ref().unwrap();
    assert_eq!(
        (cpu.quota(), cpu.period(), cpu.burst(), cpu.shares()),
        (Some(-1), Some(100_000), Some(5), Some(512))
    );
    assert_eq!(
        (cpu.realtime_period(), cpu.realtime_runtime(), cpu.idle()),
        (Some(7), Some(8), Some(1))
    );
    assert_eq!((cpu.cpus().as_deref(), cpu.mems().as_deref()), (Some("0-1"), Some("0")));
    assert_eq!(limits.block_io().as_ref().unwrap().weight(), Some(500));
    assert_eq!(limits.pids().as_ref().unwrap().limit(), -1);
    assert!(limits.devices().is_none());
    assert!(command!(Update, "update --memory 1 c").limits().pids().is_none());
    assert_eq!(command!(Update, "update --memory 1 c").source(), Resources::Flags);
    assert_eq!(command!(Update, "update -r - c").source(), Resources::Stdin);
    assert_eq!(
        command!(Update, "update -r /f c").source(),
        Resources::File(Path::new("/f"))
    );
}

#[test]
fn sizes_are_dockers() {
    for (text, bytes) in [
        ("0", 0),
        ("32", 32),
        ("32b", 32),
        ("32B", 32),
        ("32k", 32_768),
        ("32KB", 32_768),
        ("32kib", 32_768),
        ("32 kb", 32_768),
        ("1.5m", 1_572_864),
        ("1g", 1 << 30),
        ("1T", 1 << 40),
        ("1p", 1 << 50),
        ("-1", -1),
        (".5k", 512),
    ] {
        assert_eq!(units::parse_bytes(text), Ok(bytes), "{text}");
    }
    for text in [
        "", "k", "-2", "1x", "1kx", "1ib", "1kibb", "1e", "one", "9999999p", "1..2", "32  m", "nan", "-1k",
    ] {
        assert!(units::parse_bytes(text).is_err(), "{text}");
    }
}

#[test]
fn intervals_are_gos() {
    assert_eq!(command!(Events, "events c").interval, Duration::from_secs(5));
    for (text, millis) in [
        ("1s", 1000),
        ("250ms", 250),
        ("1m30s", 90_000),
        ("1.5s", 1500),
        ("1h", 3_600_000),
    ] {
        assert_eq!(units::parse_interval(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "5", "s", "1x", "-1s", "0", "0s", "1s2"] {
        assert!(units::parse_interval(text).is_err(), "{text}");
    }
}

#[test]
fn criu_flags_are_read() {
    let args = command!(
        Checkpoint,
        "checkpoint --parent-path p --tcp-skip-in-flight --link-remap --ext-unix-sk --shell-job --lazy-pages --status-fd 7 \
         --page-server [::1]:80 --pre-dump --manage-cgroups-mode ignore --empty-ns network --auto-dedup c"
    );
    assert_eq!(
        args.page_server,
        Some(PageServer {
            address: "::1".into(),
            port: 80
        })
    );
    assert_eq!(
        (args.status_fd, args.criu.manage_cgroups_mode),
        (7, Some(CgroupsMode::Ignore))
    );
    assert_eq!(command!(Checkpoint, "checkpoint c").status_fd, -1);
    let args = command!(
        Restore,
        "restore --lsm-profile apparmor:x --lsm-mount-context y -b /b -d c"
    );
    assert_eq!(
        (args.lsm_profile.as_deref(), args.lsm_mount_context.as_deref()),
        (Some("apparmor:x"), Some("y"))
    );
    for bad in [
        "--page-server x",
        "--page-server :1",
        "--page-server ::1:80",
        "--page-server h:x",
    ] {
        assert!(parse(words(&format!("checkpoint {bad} c"))).1.is_err(), "{bad}");
    }
}

#[test]
fn wrong_command_lines_get_runcs_messages() {
    for (line, message) in [
        ("create", "\"nexcage create\" requires exactly 1 argument(s)"),
        ("start a b", "\"nexcage start\" requires exactly 1 argument(s)"),
        ("run", "\"nexcage run\" requires exactly 1 argument(s)"),
        ("run a b", "\"nexcage run\" requires exactly 1 argument(s)"),
        ("kill", "\"nexcage kill\" requires a minimum of 1 argument(s)"),
        ("kill a b c", "\"nexcage kill\" requires a maximum of 2 argument(s)"),
        ("exec", "\"nexcage exec\" requires a minimum of 1 argument(s)"),
        ("list x", "\"nexcage list\" requires exactly 0 argument(s)"),
        ("create -x y", "flag provided but not defined: -x"),
        ("create --nope=1 y", "flag provided but not defined: -nope"),
        ("create -it y", "flag provided but not defined: -it"),
        ("create -v y", "flag provided but not defined: -v"),
        ("--foo create", "flag provided but not defined: -foo"),
        ("create --bundle", "flag needs an argument: --bundle"),
        ("--root", "flag needs an argument: --root"),
        (
            "restore --lsm-mount-context",
            "flag needs an argument: --lsm-mount-context",
        ),
        (
            "run --keep=maybe c",
            "invalid value \"maybe\" for flag -keep: want true or false",
        ),
        (
            "create --preserve-fds x c",
            "invalid value \"x\" for flag -preserve-fds: invalid digit found in string",
        ),
        ("--log-format xml list", "invalid log-format: xml: want text or json"),
        ("--root / list", "Option --root argument should not be set to /"),
        ("--root /a/../.. list", "Option --root argument should not be set to /"),
        ("--root= list", "Option --root argument should not be set to /"),
        (
            "list -f xml",
            "invalid value \"xml\" for flag -format: invalid format option: want table or json",
        ),
        ("state ''", "container id cannot be empty"),
    ] {
        check_error(line, message, 1);
    }
}

#[test]
fn what_nexcage_does_not_have_may_be_a_plugins() {
    let extension = |line: &str| match parse(words(line)).1 {
        Ok(Parsed::Extension { name, args }) => (name, args),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(extension("nosuch"), ("nosuch".into(), Some(vec![])));
    let all = words("--root x --help -- a");
    assert_eq!(
        extension("--debug nosuch --root x --help -- a"),
        ("nosuch".into(), Some(all))
    );
    assert_eq!(extension("help nosuch"), ("nosuch".into(), None));
    let error = unknown_command("nosuch");
    assert_eq!(
        error.to_string(),
        "No help topic for 'nosuch': see \"nexcage help\" for the commands"
    );
    assert_eq!(error.exit_code(), 3);
}

#[test]
fn help_and_version_are_asked_for_in_many_ways() {
    let printed = |line: &str| match parse(words(line)).1 {
        Ok(Parsed::Print(text)) => text,
        Ok(Parsed::Help) => program_help(),
        other => panic!("{line}: {other:?}"),
    };
    for line in ["", "help", "h", "--help", "-h", "-help", "--debug", "--help create"] {
        assert!(printed(line).starts_with("OCI container runtime\n"), "{line}");
    }
    for line in [
        "help kill",
        "kill --help",
        "kill -h",
        "--debug kill -a -help",
        "h kill",
        "kill --nope= --help",
    ] {
        if line.contains("nope") {
            assert!(parse(words(line)).1.is_err());
        } else {
            assert!(
                printed(line).contains("Usage: nexcage kill [options] <container-id> [signal]"),
                "{line}"
            );
        }
    }
    for line in ["--version", "-v", "-version", "--root /r --version"] {
        assert!(printed(line).starts_with("nexcage version "), "{line}");
    }
}

#[test]
fn clap_definitions_are_sound() {
    full_command().debug_assert();
}

#[test]
fn every_help_text_is_as_reviewed() {
    let mut all = help::of_program();
    for entry in &entries::ENTRIES {
        all += &format!("\n======== nexcage {} --help\n{}", entry.name, help::of_entry(entry));
    }
    insta::assert_snapshot!("help", all);
}

#[test]
fn words_that_are_not_text_are_kept_or_refused() {
    use std::os::unix::ffi::OsStringExt as _;
    let raw = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let Ok(Parsed::Run(cli)) = parse(["create".into(), raw(b"--bundle=/\xff"), "c".into()]).1 else {
        panic!("not understood");
    };
    assert!(matches!(cli.command, Command::Create(args) if args.bundle == Some(raw(b"/\xff").into())));
    assert!(parse(["create".into(), raw(b"\xff")]).1.is_err());
    assert!(parse(["create".into(), raw(b"--\xff"), "c".into()]).1.is_err());
    assert!(parse([raw(b"\xff")]).1.is_err());
}
