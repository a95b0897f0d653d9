//! What is measured on: the runtimes, their bundles, and the containers that every part may leave to the end.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::process::{program, read_output};

/// The container program, which is not the runtime's.
pub(super) const PROGRAM: &str = "busybox";

/// What the runtimes say on standard error.
const SAID: &str = "stderr";

pub(super) struct Runtime {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
}

/// What a container of a bundle runs.
#[derive(Clone, Copy)]
pub(super) enum Bundle {
    /// A program that ends at once.
    True,
    /// A program that stays.
    Sleep,
}

impl Bundle {
    fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::Sleep => "sleep",
        }
    }

    fn arguments(self) -> &'static str {
        match self {
            Self::True => "\"/bin/true\"",
            Self::Sleep => "\"/bin/sleep\", \"100000\"",
        }
    }
}

/// Signals that end the measurement. They stay blocked, so that the containers are removed first.
const STOPPING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Holds back the signals that would end this program; they stay held back over an `exec`.
pub(super) fn block_signals() -> Result<SigSet> {
    let set: SigSet = STOPPING.into_iter().collect();
    set.thread_block().context("block signals")?;
    Ok(set)
}

pub(super) struct Bench {
    dir: PathBuf,
    pub(super) runtimes: Vec<Runtime>,
    signals: SignalFd,
    said: fs::File,
}

impl Bench {
    /// Makes the directory of the bundles. [`Bench::remove`] takes everything away again.
    pub(super) fn create(runtimes: Vec<Runtime>) -> Result<Self> {
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals = SignalFd::with_flags(&block_signals()?, flags).context("open a descriptor for signals")?;
        let dir = std::env::temp_dir().join(format!("nexcage-bench-{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("create {dir:?}"))?;
        let log = fs::File::options().append(true).create_new(true).open(dir.join(SAID));
        Ok(Self {
            said: log.context("make the log of the runtimes")?,
            dir,
            runtimes,
            signals,
        })
    }

    /// Ends the measurement when a signal asks for that.
    pub(super) fn check_signals(&self) -> Result<()> {
        match self.signals.read_signal().context("read signals")? {
            None => Ok(()),
            Some(signal) => bail!("interrupted by signal {}", signal.ssi_signo),
        }
    }

    pub(super) fn bundle(&self, bundle: Bundle) -> PathBuf {
        self.dir.join(bundle.name())
    }

    /// Where a runtime keeps the state of its containers.
    pub(super) fn root(&self, runtime: &Runtime) -> PathBuf {
        self.dir.join("state").join(runtime.name)
    }

    /// A container id of this process only: the cgroups of all runtimes lie side by side.
    pub(super) fn id(&self, runtime: &Runtime, role: &str) -> String {
        format!("bench-{}-{role}-{}", std::process::id(), runtime.name)
    }

    /// Program and arguments of a call.
    pub(super) fn words(&self, runtime: &Runtime, args: &[&str]) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![
            runtime.program.clone().into(),
            "--root".into(),
            self.root(runtime).into(),
        ];
        words.extend(args.iter().map(OsString::from));
        words
    }

    pub(super) fn command(&self, runtime: &Runtime, bundle: Bundle, args: &[&str]) -> Result<Command> {
        let mut command = program(&runtime.program);
        command.args(self.words(runtime, args).iter().skip(1));
        command.current_dir(self.bundle(bundle));
        command.stdout(Stdio::null()).stderr(self.said()?);
        Ok(command)
    }

    /// Where the runtimes' standard error goes.
    pub(super) fn said(&self) -> Result<Stdio> {
        let copy = self.said.try_clone().context("copy the descriptor of the log")?;
        Ok(Stdio::from(copy))
    }

    /// Calls a runtime, which must succeed.
    pub(super) fn call(&self, runtime: &Runtime, bundle: Bundle, args: &[&str]) -> Result<()> {
        self.check_signals()?;
        let status = self
            .command(runtime, bundle, args)?
            .status()
            .with_context(|| format!("start {}", runtime.name))?;
        ensure!(
            status.success(),
            "{} {args:?}: {status}: {}",
            runtime.name,
            self.last_words()
        );
        Ok(())
    }

    /// What the runtimes said last on standard error.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read_to_string(self.dir.join(SAID)).unwrap_or_default();
        text.lines().last().unwrap_or_default().to_owned()
    }

    /// Makes the bundles and one container of each runtime that waits for execs.
    pub(super) fn prepare(&self) -> Result<()> {
        self.make_rootfs()?;
        let text = self.default_config()?;
        for bundle in [Bundle::True, Bundle::Sleep] {
            fs::create_dir_all(self.bundle(bundle)).context("make the bundle")?;
            let text = text.replace("\"sh\"", bundle.arguments());
            write_new(&self.bundle(bundle).join("config.json"), &text)?;
        }
        for runtime in &self.runtimes {
            fs::create_dir_all(self.root(runtime)).context("make the state directory")?;
            let id = self.id(runtime, "waiting");
            self.call(runtime, Bundle::Sleep, &["run", "--detach", &id])?;
        }
        Ok(())
    }

    fn make_rootfs(&self) -> Result<()> {
        let root = self.dir.join("rootfs");
        for name in ["bin", "dev", "proc", "sys", "tmp"] {
            fs::create_dir_all(root.join(name)).context("make the root file system")?;
        }
        fs::copy("/bin/busybox", root.join("bin").join(PROGRAM)).context("copy busybox: install busybox-static")?;
        for applet in ["true", "sleep"] {
            std::os::unix::fs::symlink(PROGRAM, root.join("bin").join(applet)).context("link an applet")?;
        }
        Ok(())
    }

    /// The default config, without a terminal and of a version that crun of Debian 12 knows.
    fn default_config(&self) -> Result<String> {
        let dir = self.dir.join("spec");
        fs::create_dir(&dir).context("make a directory for the config")?;
        let Some(nexcage) = self.runtimes.first() else {
            bail!("nothing to measure")
        };
        let mut spec = program(&nexcage.program);
        read_output(spec.arg("spec").current_dir(&dir))?;
        let text = fs::read_to_string(dir.join("config.json")).context("read the config")?;
        let rootfs = format!("\"{}\"", self.dir.join("rootfs").display());
        Ok(text
            .replace("\"terminal\": true", "\"terminal\": false")
            .replace("\"1.3.0\"", "\"1.0.2\"")
            .replace("\"rootfs\"", &rootfs))
    }

    /// The ids of a runtime's containers.
    pub(super) fn list(&self, runtime: &Runtime) -> Result<Vec<String>> {
        let output = read_output(&mut self.command_read(runtime, &["list", "--quiet"]))?;
        Ok(output.lines().map(str::to_owned).collect())
    }

    fn command_read(&self, runtime: &Runtime, args: &[&str]) -> Command {
        let mut command = program(&runtime.program);
        command.args(self.words(runtime, args).iter().skip(1));
        command
    }

    /// Deletes every container of every runtime, then the directory.
    pub(super) fn remove(&self) -> Result<()> {
        let mut left = Vec::new();
        for runtime in self.runtimes.iter().filter(|runtime| self.root(runtime).exists()) {
            for id in self.list(runtime)? {
                let mut delete = self.command_read(runtime, &["delete", "--force", &id]);
                if let Err(error) = read_output(&mut delete) {
                    left.push(format!("{id}: {error:#}"));
                }
            }
        }
        ensure!(left.is_empty(), "delete containers: {}", left.join("; "));
        fs::remove_dir_all(&self.dir).with_context(|| format!("remove {:?}", self.dir))
    }
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .context("make the config")?;
    file.write_all(text.as_bytes()).context("write the config")
}
