//! Every attack of `conformance/hostile`, in a call, in `init`, in the entry function and in a constructor; as root and as a
//! user; and in a call once more without each layer of the sandbox, to see what the other one holds.
//!
//! `hostile [TEXT]` makes only the attacks whose names hold TEXT.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test program: it prints, starts a compiler, and ends at the first surprise"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use nexcage_plugin_abi::host::{self, Loaded};
use nexcage_plugin_host::life::{Loader, live};
use nexcage_plugin_host::sandbox::Layers;
use nexcage_plugin_types::Capability;
use nexcage_plugin_types::frame::{Method, PROTOCOL};
use nexcage_plugin_types::manifest::ResourceRequirements;
use nexcage_plugin_types::message::{Hello, LogLevel, LogLine, Metric, Span};
use nexcage_plugin_types::session::Limits;
use nexcage_plugins::audit::Audit;
use nexcage_plugins::broker::{Broker, Streams};
use nexcage_plugins::connection::CallError;
use nexcage_plugins::granted::{Granted, Sink};
use nexcage_plugins::process::{Confinement, HostProcess, Privileges, Start, StartError};
use nexcage_sys::pidfd::ExitStatus;
use nexcage_sys::process::effective_uid;
use serde_json::Value;

const AMPLE: Duration = Duration::from_secs(60);

/// For what can only end at its deadline.
const SHORT: Duration = Duration::from_millis(300);

/// For what may end at its deadline, too.
const MIDDLE: Duration = Duration::from_secs(2);

/// The most that an object may know of its attacks.
const MARK: usize = 64;

/// When an attack is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    Call,
    Init,
    Entry,
    Constructor,
}

/// One way to be attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mode {
    when: When,
    privileges: Privileges,
    layers: Layers,
}

struct Attack {
    name: String,
    class: String,
    /// In a call and in `init`.
    expected: Vec<String>,
    /// In a constructor and the entry function; nothing where it needs a call.
    while_loading: Vec<String>,
}

struct Corpus {
    folder: tempfile::TempDir,
    object: Vec<u8>,
    audit: Audit,
}

struct Ignored;

impl Sink for Ignored {
    fn log(&mut self, _plugin: &str, _line: LogLine) {}

    fn metric(&mut self, _plugin: &str, _metric: Metric) {}

    fn span(&mut self, _plugin: &str, _span: Span) {}
}

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    match argument.as_deref() {
        Some("--without-filter") => return serve(Layers::WithoutFilter),
        Some("--filter-alone") => return serve(Layers::FilterAlone),
        _ => {}
    }
    let filter = argument.filter(|text| !text.starts_with('-')).unwrap_or_default();
    let corpus = Corpus::build();
    let attacks = corpus.attacks();
    let mut failed = 0;
    let mut alone: BTreeMap<&str, usize> = BTreeMap::new();
    let mut made = 0;
    for attack in attacks.iter().filter(|attack| attack.name.contains(&filter)) {
        let (line, is_held) = corpus.try_all(attack);
        made += 1;
        failed += usize::from(!is_held);
        println!(
            "{} {} ({}): {line}",
            if is_held { "held" } else { "FAILED" },
            attack.name,
            attack.class
        );
        let held_by = corpus.held_by(attack);
        *alone.entry(held_by).or_default() += 1;
        println!("     {held_by}");
    }
    println!(
        "{made} attacks in {} modes, {failed} not as expected; {alone:?}",
        modes().len()
    );
    ExitCode::from(u8::from(failed > 0 || made == 0))
}

fn serve(layers: Layers) -> ExitCode {
    let loader = Loader {
        preload: host::preload,
        load: Loaded::open,
    };
    live(loader, layers)
}

fn modes() -> Vec<Mode> {
    let mut all = Vec::new();
    let privileges: &[Privileges] = match effective_uid() {
        0 => &[Privileges::Root, Privileges::User],
        _ => &[Privileges::User],
    };
    for privileges in privileges {
        for when in [When::Call, When::Init, When::Entry, When::Constructor] {
            all.push(Mode {
                when,
                privileges: *privileges,
                layers: Layers::All,
            });
        }
    }
    all
}

impl Corpus {
    fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let object = folder.path().join("clean.so");
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let status = Command::new("cc")
            .args([
                "-std=c11",
                "-D_GNU_SOURCE",
                "-O1",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-shared",
                "-fPIC",
                "-I",
            ])
            .arg(base.join("plugin-abi/include"))
            .arg(base.join("conformance/hostile/hostile.c"))
            .arg("-o")
            .arg(&object)
            .status()
            .unwrap();
        assert!(status.success());
        Self {
            object: fs::read(&object).unwrap(),
            audit: Audit::new(folder.path().join("audit.jsonl")),
            folder,
        }
    }

    /// The object, with an attack in its constructor or entry function.
    fn marked(&self, mark: &str, name: &str) -> PathBuf {
        let mut bytes = self.object.clone();
        let at = bytes
            .windows(mark.len())
            .position(|window| window == mark.as_bytes())
            .unwrap();
        assert!(mark.len() + name.len() < MARK);
        bytes[at + mark.len()..][..name.len()].copy_from_slice(name.as_bytes());
        let path = self.folder.path().join("marked.so");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn attacks(&self) -> Vec<Attack> {
        let mode = Mode {
            when: When::Call,
            privileges: modes()[0].privileges,
            layers: Layers::All,
        };
        let lists = ["list", "list-load"].map(|command| {
            let mut host = self
                .start(&self.folder.path().join("clean.so"), &Value::Null, mode, AMPLE)
                .unwrap();
            self.execute(&mut host, command, "", AMPLE).unwrap()
        });
        let [all, loading] = lists.each_ref().map(|list| list.lines().map(words).collect::<Vec<_>>());
        let expected = |text: &str| text.split('|').map(str::to_owned).collect();
        let attack = |[name, class, outcome]: &[&str; 3]| Attack {
            name: (*name).to_owned(),
            class: (*class).to_owned(),
            expected: expected(outcome),
            while_loading: loading
                .iter()
                .find(|[other, ..]| other == name)
                .map(|[.., text]| expected(text))
                .unwrap_or_default(),
        };
        all.iter().map(attack).collect()
    }

    /// Makes an attack in every mode; what came of it, and whether that is as it must be.
    fn try_all(&self, attack: &Attack) -> (String, bool) {
        let mut line = format!("expected {}", attack.expected.join("|"));
        let mut is_held = true;
        for mode in modes() {
            let expected = match mode.when {
                When::Call | When::Init => &attack.expected,
                When::Entry | When::Constructor => &attack.while_loading,
            };
            if expected.is_empty() || (mode.when == When::Init && is_of_reply(&attack.name)) {
                continue;
            }
            let seen = self.attack(attack, mode, expected);
            let outcome = seen.split(' ').next().unwrap_or_default();
            let is_expected =
                expected.iter().any(|expected| expected == outcome) || is_true_claim(attack, mode, outcome);
            is_held &= is_expected;
            let mark = if is_expected { "" } else { " (!)" };
            line += &format!(", {:?} as {:?} {seen}{mark}", mode.when, mode.privileges);
        }
        (line, is_held)
    }

    /// Which layer holds an attack by itself.
    fn held_by(&self, attack: &Attack) -> &'static str {
        let is_made = |layers| {
            let mode = Mode {
                when: When::Call,
                privileges: modes()[0].privileges,
                layers,
            };
            self.attack(attack, mode, &attack.expected).starts_with("made")
        };
        match (is_made(Layers::WithoutFilter), is_made(Layers::FilterAlone)) {
            (false, false) => "held by each layer alone",
            (true, false) => "held by the filter alone",
            (false, true) => "held by the other layers alone",
            (true, true) => "no harm, or held by the runtime",
        }
    }

    fn attack(&self, attack: &Attack, mode: Mode, expected: &[String]) -> String {
        let timeout = match expected {
            [only] if only == "deadline" => SHORT,
            several if several.iter().any(|outcome| outcome == "deadline") => MIDDLE,
            _ => AMPLE,
        };
        let clean = self.folder.path().join("clean.so");
        let (object, config) = match mode.when {
            When::Call => (clean, Value::Null),
            When::Init => (clean, Value::from(attack.name.as_str())),
            When::Entry => (self.marked("in-entry:", &attack.name), Value::Null),
            When::Constructor => (self.marked("in-constructor:", &attack.name), Value::Null),
        };
        let started = match mode.when {
            // Without an attack in it the start takes as long as it takes.
            When::Call => AMPLE,
            _ => timeout,
        };
        let mut host = match self.start(&object, &config, mode, started) {
            Ok(host) => host,
            Err(error) => return of_start(&error),
        };
        let told = match mode.when {
            When::Call => self.execute(&mut host, "attack", &attack.name, timeout),
            _ => self.execute(&mut host, "last", "", timeout),
        };
        match told {
            Ok(text) => text.replace(&format!(" {}", attack.name), ""),
            Err(Failure::Status(6)) => "limited".into(),
            Err(Failure::Status(_)) => "error".into(),
            Err(Failure::Answer) => "protocol".into(),
            Err(Failure::Call(error)) => of_call(&error, || host.end()),
        }
    }

    fn start(&self, object: &Path, config: &Value, mode: Mode, timeout: Duration) -> Result<HostProcess, StartError> {
        let hello = Hello {
            protocol: [PROTOCOL, PROTOCOL],
            nexcage: "0.1.0".into(),
            plugin: "hostile".into(),
            config: config.clone(),
            log_level: LogLevel::Info,
        };
        let this = std::env::current_exe().unwrap();
        let (program, argv): (&Path, &[&str]) = match mode.layers {
            Layers::All => (
                Path::new(env!("CARGO_BIN_EXE_nexcage-plugin-host")),
                &["nexcage-plugin-host"],
            ),
            Layers::WithoutFilter => (&this, &["nexcage-plugin-host", "--without-filter"]),
            Layers::FilterAlone => (&this, &["nexcage-plugin-host", "--filter-alone"]),
        };
        let start = Start {
            program,
            argv,
            confinement: Confinement {
                object: object.to_owned(),
                is_enabled: true,
                limits: ResourceRequirements::default(),
                libraries: Vec::new(),
                required: Vec::new(),
                privileges: mode.privileges,
            },
            hello: &hello,
            limits: Limits::default(),
            timeout,
        };
        let mut sink = Ignored;
        HostProcess::start(start, &mut self.effects(&mut sink)).map(|(host, _, _)| host)
    }

    fn effects<'a>(&'a self, sink: &'a mut Ignored) -> Granted<'a> {
        let broker = Broker {
            plugin: "hostile",
            grants: &[Capability::Logging, Capability::Metrics],
            config: &Value::Null,
            container: "",
            audit: &self.audit,
            streams: Streams::Closed,
            commands: None,
            settings: None,
            containers: None,
        };
        Granted::new(broker, sink)
    }

    /// Runs a command; what it prints.
    fn execute(&self, host: &mut HostProcess, command: &str, name: &str, timeout: Duration) -> Result<String, Failure> {
        let execute = Method::of("nexcage.cli_command/1", "execute").unwrap();
        let body = serde_json::json!({"command": command, "args": [name]}).to_string();
        let mut sink = Ignored;
        let mut effects = self.effects(&mut sink);
        let began = Instant::now();
        let called = host
            .connection()
            .call(execute, body.into_bytes(), timeout, &mut effects);
        // Far above the deadline only if the runtime was held up.
        assert!(began.elapsed() < timeout + AMPLE, "{command} {name}");
        let reply = called.map_err(Failure::Call)?;
        if reply.status != 0 {
            return Err(Failure::Status(reply.status));
        }
        let value: Value = serde_json::from_slice(&reply.body).map_err(|_no_json| Failure::Answer)?;
        value["stdout"].as_str().map(str::to_owned).ok_or(Failure::Answer)
    }
}

/// Whether an attack is made with the reply of a call. Nobody reads that of `init`.
fn is_of_reply(name: &str) -> bool {
    name.starts_with("reply-") || name == "health-recursion"
}

/// A user's plugin is user 0 and process 1 of its own namespaces, so it may say so; the kernel translates that.
fn is_true_claim(attack: &Attack, mode: Mode, outcome: &str) -> bool {
    attack.name == "forge-credentials" && mode.privileges == Privileges::User && outcome == "made"
}

#[derive(Debug)]
enum Failure {
    Call(CallError),
    Status(u32),
    Answer,
}

fn words(line: &str) -> [&str; 3] {
    let mut words = line.split(' ');
    [(); 3].map(|()| words.next().unwrap())
}

fn of_call(error: &CallError, end: impl FnOnce() -> Option<ExitStatus>) -> String {
    match error {
        CallError::Deadline { .. } => "deadline".into(),
        CallError::Closed => of_end(end()),
        _ => "protocol".into(),
    }
}

fn of_start(error: &StartError) -> String {
    match error {
        StartError::Plugin { source, ended, .. } => of_call(source, || *ended),
        other => panic!("{other}: {:?}", std::error::Error::source(other)),
    }
}

fn of_end(ended: Option<ExitStatus>) -> String {
    match ended {
        Some(ExitStatus::Signaled(libc::SIGSYS)) => "killed".into(),
        Some(ExitStatus::Signaled(signal)) => format!("crash by signal {signal}"),
        Some(ExitStatus::Exited(code)) => format!("crash with code {code}"),
        // It closed its socket and lives on: it was killed then.
        None => "crash of its socket".into(),
    }
}
