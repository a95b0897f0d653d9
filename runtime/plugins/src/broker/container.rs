//! `container.create`, `start`, `stop`, `delete` and `exec`: containers of this runtime, for the capabilities of these names.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use nexcage_plugin_types::CapabilityName;
use nexcage_plugin_types::text::AbsolutePath;
use nexcage_sys::file;
use nexcage_sys::launch::Namespaces;
use serde::Deserialize;

use super::program::Program;
use super::{Done, Question, Refusal};

/// The runtime's own program, which plugins' containers are handed to.
#[derive(Clone)]
pub struct Containers {
    /// The program.
    pub program: PathBuf,
    /// Its flags: where containers are, who makes cgroups.
    pub flags: Vec<String>,
}

impl fmt::Debug for Containers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.program, self.flags)
    }
}

/// `{"id": "web1", "bundle": "/srv/web1"}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    id: String,
    bundle: AbsolutePath,
}

/// `{"id": "web1"}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    id: String,
}

/// `{"id": "web1", "signal": "TERM"}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    id: String,
    #[serde(default)]
    signal: Option<String>,
}

/// `{"id": "web1", "force": false}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delete {
    id: String,
    #[serde(default)]
    force: bool,
}

/// `{"id": "web1", "args": ["/bin/true"], "stdin": ""}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exec {
    id: String,
    args: Vec<String>,
    #[serde(default)]
    stdin: String,
}

/// What is done with a container.
pub(super) trait Operation {
    /// What it takes.
    const CAPABILITY: CapabilityName;

    /// Which container.
    fn id(&self) -> &str;

    /// The runtime's arguments.
    fn arguments(&self) -> Vec<&str>;

    /// What the program in the container reads.
    fn stdin(&self) -> &str {
        ""
    }
}

impl Operation for Create {
    const CAPABILITY: CapabilityName = CapabilityName::ContainerCreate;

    fn id(&self) -> &str {
        &self.id
    }

    fn arguments(&self) -> Vec<&str> {
        vec!["create", "--bundle", self.bundle.as_str(), &self.id]
    }
}

impl Operation for Start {
    const CAPABILITY: CapabilityName = CapabilityName::ContainerStart;

    fn id(&self) -> &str {
        &self.id
    }

    fn arguments(&self) -> Vec<&str> {
        vec!["start", &self.id]
    }
}

impl Operation for Stop {
    const CAPABILITY: CapabilityName = CapabilityName::ContainerStop;

    fn id(&self) -> &str {
        &self.id
    }

    fn arguments(&self) -> Vec<&str> {
        vec!["kill", &self.id, self.signal.as_deref().unwrap_or("TERM")]
    }
}

impl Operation for Delete {
    const CAPABILITY: CapabilityName = CapabilityName::ContainerDelete;

    fn id(&self) -> &str {
        &self.id
    }

    fn arguments(&self) -> Vec<&str> {
        if self.force {
            vec!["delete", "--force", &self.id]
        } else {
            vec!["delete", &self.id]
        }
    }
}

impl Operation for Exec {
    const CAPABILITY: CapabilityName = CapabilityName::ContainerExec;

    fn id(&self) -> &str {
        &self.id
    }

    fn arguments(&self) -> Vec<&str> {
        let own = ["exec", self.id.as_str()];
        own.into_iter().chain(self.args.iter().map(String::as_str)).collect()
    }

    fn stdin(&self) -> &str {
        &self.stdin
    }
}

/// Has the runtime do it, in a process of its own; its exit code and texts are the answer.
pub(super) fn perform<O: Operation>(question: &Question<'_>, asked: &O, deadline: Instant) -> Result<Done, Refusal> {
    question.check_granted(O::CAPABILITY, asked.id(), |_| true)?;
    let Some(containers) = question.broker.containers else {
        return Err(Refusal::Unsupported(question.effect.clone()));
    };
    let refuse = |fix| {
        Err(Refusal::Argument {
            what: format!("{} {:?}", question.effect, asked.id()),
            fix,
        })
    };
    // It would be read as a flag.
    if asked.id().starts_with('-') || asked.id().is_empty() {
        return refuse("give a container id");
    }
    if asked.arguments().iter().any(|arg| arg.contains('\0')) {
        return refuse("an argument holds no NUL");
    }
    let what = format!("{} {:?}", question.effect, asked.id());
    let failed = |source| Refusal::Failed {
        what: what.clone(),
        source,
    };
    let began = Instant::now();
    let mut argv = vec!["nexcage"];
    argv.extend(containers.flags.iter().map(String::as_str));
    argv.extend(asked.arguments());
    let stdin = file::in_memory_with(asked.stdin().as_bytes()).map_err(failed)?;
    let program = Program {
        program: &containers.program,
        argv: &argv,
        stdin: stdin.into(),
        namespaces: Namespaces::NONE,
    };
    // What stays in a container holds no stream of ours: the answer would wait for its end.
    let ran = match O::CAPABILITY {
        CapabilityName::ContainerExec => program.run(deadline, || Ok(())),
        _ => program.run_detached(deadline),
    };
    match ran.map_err(failed)? {
        Some(ended) => ended.answer(began.elapsed()).map_err(failed),
        None => Err(Refusal::Late(what)),
    }
}
