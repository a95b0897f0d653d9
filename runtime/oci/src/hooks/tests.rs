use std::collections::BTreeMap;

use oci_spec::runtime::HookBuilder;

use super::*;
use crate::id::ContainerId;
use crate::state::Status;

fn state() -> OciState {
    let annotations = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    OciState::new(
        ContainerId::parse("c1").unwrap(),
        Status::Creating,
        42,
        "/bundle".into(),
        &annotations,
    )
}

/// A hook that runs `script` with /bin/sh.
fn shell(script: &str) -> Hook {
    let args = ["my-sh", "-c", script].map(str::to_owned).to_vec();
    HookBuilder::default().path("/bin/sh").args(args).build().unwrap()
}

fn run_in(hook: Hook, opts: &HookOptions<'_>) -> Result<(), HookError> {
    run(HookStage::CreateRuntime, &[shell("exit 0"), hook], &state(), opts)
}

#[track_caller]
fn check_error(hook: Hook, expected: &str) {
    let error = run_in(hook, &HookOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

/// Runs a hook that writes what it sees to stderr and fails, and returns what it saw.
#[track_caller]
fn seen_by(hook: Hook, opts: &HookOptions<'_>) -> String {
    match run_in(hook, opts).unwrap_err() {
        HookError::Exit { code: 9, stderr, .. } => stderr,
        other => panic!("{other}"),
    }
}

#[test]
fn state_is_read_from_stdin() {
    let seen = seen_by(shell("cat >&2; exit 9"), &HookOptions::default());
    let expected = concat!(
        r#"{"ociVersion":"1.3.0","id":"c1","status":"creating","pid":42,"#,
        r#""bundle":"/bundle","annotations":{"k":"v"}}"#
    );
    assert_eq!(seen, expected);
}

#[test]
fn a_hook_that_does_not_read_the_state_is_no_failure() {
    let mut state = state();
    state.annotations.insert("big".into(), "x".repeat(1_000_000));
    run(
        HookStage::Poststart,
        &[shell("exec <&-; exit 0"), shell("exit 0")],
        &state,
        &HookOptions::default(),
    )
    .unwrap();
}

#[test]
fn environment_is_the_hooks_own_or_the_default() {
    let script = "tr '\\0' ' ' </proc/$$/environ >&2; exit 9";
    let default = ["D=1".to_owned()];
    let opts = HookOptions {
        default_env: Some(&default),
        ..HookOptions::default()
    };
    let mut own = shell(script);
    own.set_env(Some(vec!["A=1".to_owned(), "B=2".to_owned()]));
    assert_eq!(seen_by(own.clone(), &opts), "A=1 B=2");
    assert_eq!(seen_by(own, &HookOptions::default()), "A=1 B=2");
    assert_eq!(seen_by(shell(script), &opts), "D=1");
    assert_eq!(seen_by(shell(script), &HookOptions::default()), "");
    let mut empty = shell(script);
    empty.set_env(Some(Vec::new()));
    assert_eq!(seen_by(empty, &opts), "D=1");
}

#[test]
fn argv_is_the_hooks_own_or_its_path() {
    let opts = HookOptions::default();
    assert_eq!(
        seen_by(shell("tr '\\0' ' ' </proc/$$/cmdline | cut -c 1-8 >&2; exit 9"), &opts),
        "my-sh -c"
    );
    let mut plain = HookBuilder::default().path("/bin/false").build().unwrap();
    check_error(plain.clone(), "hook 1 of createRuntime \"/bin/false\": exit status 1");
    plain.set_args(Some(Vec::new()));
    check_error(plain, "hook 1 of createRuntime \"/bin/false\": exit status 1");
}

#[test]
fn cwd_is_the_callers_or_the_one_asked_for() {
    let opts = HookOptions {
        cwd: Some(Path::new("/proc")),
        ..HookOptions::default()
    };
    assert_eq!(seen_by(shell("pwd >&2; exit 9"), &opts), "/proc");
    let here = std::env::current_dir().unwrap();
    assert_eq!(
        Path::new(&seen_by(shell("pwd >&2; exit 9"), &HookOptions::default())),
        here
    );
}

#[test]
fn failures_name_stage_index_path_and_cause() {
    let at = "hook 1 of createRuntime \"/bin/sh\"";
    check_error(shell("exit 3"), &format!("{at}: exit status 3"));
    check_error(
        shell("echo no >&2; echo good >&2; exit 3"),
        &format!("{at}: exit status 3: no\\ngood"),
    );
    check_error(shell("kill -9 $$"), &format!("{at}: killed by signal 9"));
    let mut relative = shell("exit 0");
    relative.set_path("bin/sh".into());
    let fix = "path is not absolute: write the program's full path into config.json";
    check_error(relative, &format!("hook 1 of createRuntime \"bin/sh\": {fix}"));
    for seconds in [0, -5] {
        let mut timed = shell("exit 0");
        timed.set_timeout(Some(seconds));
        check_error(
            timed,
            &format!("{at}: timeout of {seconds} s: give a number of seconds above 0, or none"),
        );
    }
}

#[test]
fn a_program_that_is_not_there_is_told_by_the_kernel() {
    let missing = HookBuilder::default().path("/no/such").build().unwrap();
    let error = run_in(missing, &HookOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "hook 1 of createRuntime \"/no/such\": start the program"
    );
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "No such file or directory (os error 2)");
}

#[test]
fn only_the_end_of_a_long_stderr_is_kept() {
    let error = run_in(
        shell("yes 123456789 | head -n 100000 >&2; exit 9"),
        &HookOptions::default(),
    )
    .unwrap_err();
    match error {
        HookError::Exit { stderr, .. } => {
            assert!(stderr.ends_with("6789\\n123456789"), "{stderr}");
            assert!(stderr.len() <= 2 * STDERR_TAIL, "{}", stderr.len());
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_hook_past_its_timeout_is_killed_with_what_it_started() {
    let mut slow = shell("sleep 1000 & echo $! >&2; wait");
    slow.set_timeout(Some(1));
    let error = run_in(slow, &HookOptions::default()).unwrap_err();
    let text = error.to_string();
    let HookError::Timeout { stderr, .. } = error else {
        panic!("{text}")
    };
    let expected = "hook 1 of createRuntime \"/bin/sh\": no end within its timeout of 1 s, killed: ";
    assert_eq!(text, format!("{expected}{stderr}"));
    let limit = Instant::now() + Duration::from_secs(30);
    let stat = format!("/proc/{stderr}/stat");
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < limit, "process {stderr} outlived its hook");
        std::thread::yield_now();
    }
}

#[test]
fn run_stops_at_the_first_failure_and_run_all_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mark = |name: &str, code: i32| shell(&format!("echo >{}/{name}; exit {code}", dir.path().display()));
    let hooks = [mark("a", 0), mark("b", 1), mark("c", 0), mark("d", 2)];
    let ran = || {
        let mut names: Vec<_> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let error = run(HookStage::Prestart, &hooks, &state(), &HookOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "hook 1 of prestart \"/bin/sh\": exit status 1");
    assert_eq!(ran(), ["a", "b"]);
    let errors = run_all(HookStage::Poststop, &hooks, &state(), &HookOptions::default());
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let expected = [
        "hook 1 of poststop \"/bin/sh\": exit status 1",
        "hook 3 of poststop \"/bin/sh\": exit status 2",
    ];
    assert_eq!(texts, expected);
    assert_eq!(ran(), ["a", "b", "c", "d"]);
}

#[test]
fn each_stage_selects_its_own_list() {
    let text = r#"{"prestart":[{"path":"/0"}],"createRuntime":[{"path":"/1"}],"createContainer":[{"path":"/2"}],
        "startContainer":[{"path":"/3"}],"poststart":[{"path":"/4"}],"poststop":[{"path":"/5"}]}"#;
    let hooks: Hooks = serde_json::from_str(text).unwrap();
    let stages = [
        HookStage::Prestart,
        HookStage::CreateRuntime,
        HookStage::CreateContainer,
        HookStage::StartContainer,
        HookStage::Poststart,
        HookStage::Poststop,
    ];
    for (index, stage) in stages.into_iter().enumerate() {
        let paths: Vec<_> = stage
            .select(&hooks)
            .iter()
            .map(|hook| hook.path().display().to_string())
            .collect();
        assert_eq!(paths, [format!("/{index}")], "{stage}");
        assert!(stage.select(&Hooks::default()).is_empty());
    }
}
