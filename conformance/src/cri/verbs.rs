//! The verbs: each one call of the runtime service, with names turned into ids before it.

use std::io::{self, Write};
use std::path::Path;

use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::grpc::{Channel, GrpcError};
use super::messages::{
    ContainerReply, ContainerRequest, Containers, CreateRequest, ExecReply, ExecRequest, InfoReply, InfoRequest,
    Nothing, PodReply, PodRequest, PodStatsReply, PodStatusReply, PodStatusRequest, Pods, RunPodRequest, StatsReply,
    StatusReply, StatusRequest, StopRequest, UpdateRequest, VersionReply,
};

/// What is asked of the CRI server. POD and CONTAINER are ids or names; CONFIG and RESOURCES are JSON
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Print the server's name and versions
    Version,
    /// Print the server's conditions
    Info,
    /// Make and start a pod sandbox; print its id
    Runp {
        /// PodSandboxConfig
        config: String,
    },
    /// Stop a pod sandbox and its containers
    Stopp {
        /// Id or name
        pod: String,
    },
    /// Remove a pod sandbox and its containers
    Rmp {
        /// Id or name
        pod: String,
    },
    /// Print the pod sandboxes
    Pods,
    /// Print the status of a pod sandbox
    Inspectp {
        /// Id or name
        pod: String,
    },
    /// Print what a pod uses
    Statsp {
        /// Id or name
        pod: String,
    },
    /// Create a container in a pod sandbox; print its id
    Create {
        /// Id or name
        pod: String,
        /// ContainerConfig
        config: String,
        /// PodSandboxConfig with which the pod was made
        pod_config: String,
    },
    /// Start a created container
    Start {
        /// Id or name
        container: String,
    },
    /// Stop a container: its stop signal, then SIGKILL
    Stop {
        /// Id or name
        container: String,
        /// Seconds between the two signals
        #[arg(long, default_value_t = 0)]
        timeout: i64,
    },
    /// Remove a container
    Rm {
        /// Id or name
        container: String,
    },
    /// Print the containers
    Ps,
    /// Print the status of a container
    Inspect {
        /// Id or name
        container: String,
    },
    /// Print what a container uses
    Stats {
        /// Id or name
        container: String,
    },
    /// Change the limits of a container
    Update {
        /// Id or name
        container: String,
        /// LinuxContainerResources
        resources: String,
    },
    /// Run a command in a container; print its output and exit with its code
    Exec {
        /// Seconds after which it is killed; 0 for never
        #[arg(long, default_value_t = 0)]
        timeout: i64,
        /// Id or name
        container: String,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
}

/// Why a verb was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CriError {
    /// The call failed or was refused.
    #[error("{verb}")]
    Call { verb: &'static str, source: GrpcError },
    /// A config that is not JSON, or has a field that the message lacks.
    #[error("read {what} {text:?}")]
    Config {
        what: &'static str,
        text: String,
        source: serde_json::Error,
    },
    /// The answer as JSON.
    #[error("write answer")]
    Encode { source: serde_json::Error },
    /// Nobody reads the answer.
    #[error("print answer")]
    Print { source: io::Error },
}

type Result<T> = std::result::Result<T, CriError>;

/// Carries out a verb.
///
/// * `socket`: the CRI server's unix socket.
/// * `out`, `err`: get the answer; `err` only the standard error of an executed command.
///
/// Returns the exit code: 0, or that of the executed command.
///
/// # Errors
///
/// An error with the server's words when it refused.
pub fn run_verb(verb: &Verb, socket: &Path, out: &mut impl Write, err: &mut impl Write) -> Result<u8> {
    let channel = Channel::open(socket).map_err(|source| CriError::Call {
        verb: "reach the CRI server",
        source,
    })?;
    let server = Server { channel };
    if let Verb::Exec {
        timeout,
        container,
        command,
    } = verb
    {
        let reply = server.exec(container, command, *timeout)?;
        write_all(out, &reply.stdout)?;
        write_all(err, &reply.stderr)?;
        return Ok(u8::try_from(reply.exit_code).unwrap_or(u8::MAX));
    }
    let text = match server.on_service(verb).transpose() {
        Some(text) => text?,
        None => match server.on_pod(verb).transpose() {
            Some(text) => text?,
            None => server.on_container(verb)?.unwrap_or_default(),
        },
    };
    write_all(out, text.as_bytes())?;
    Ok(0)
}

fn write_all(to: &mut impl Write, bytes: &[u8]) -> Result<()> {
    to.write_all(bytes)
        .and_then(|()| to.flush())
        .map_err(|source| CriError::Print { source })
}

struct Server {
    channel: Channel,
}

/// Nothing when the verb is of another group, else the text to print.
type Answer = Result<Option<String>>;

impl Server {
    fn call<A: prost::Message + Default>(&self, method: &'static str, question: &impl prost::Message) -> Result<A> {
        let path = format!("runtime.v1.RuntimeService/{method}");
        let answer = self.channel.call(&path, question);
        answer.map_err(|source| CriError::Call { verb: method, source })
    }

    fn on_service(&self, verb: &Verb) -> Answer {
        let nothing = Nothing {};
        match verb {
            Verb::Version => json(&self.call::<VersionReply>("Version", &nothing)?),
            Verb::Info => json(&self.call::<InfoReply>("Status", &InfoRequest { verbose: false })?),
            Verb::Pods => json(&self.call::<Pods>("ListPodSandbox", &nothing)?),
            Verb::Ps => json(&self.call::<Containers>("ListContainers", &nothing)?),
            _ => Ok(None),
        }
    }

    fn on_pod(&self, verb: &Verb) -> Answer {
        let pod = |name: &str| self.pod_id(name).map(|pod_sandbox_id| PodRequest { pod_sandbox_id });
        match verb {
            Verb::Runp { config } => {
                let request = RunPodRequest {
                    config: Some(parse("pod config", config)?),
                    runtime_handler: String::new(),
                };
                let reply: PodReply = self.call("RunPodSandbox", &request)?;
                Ok(Some(reply.pod_sandbox_id))
            }
            Verb::Stopp { pod: name } => silent(self.call("StopPodSandbox", &pod(name)?)?),
            Verb::Rmp { pod: name } => silent(self.call("RemovePodSandbox", &pod(name)?)?),
            Verb::Statsp { pod: name } => json(&self.call::<PodStatsReply>("PodSandboxStats", &pod(name)?)?),
            Verb::Inspectp { pod: name } => {
                let request = PodStatusRequest {
                    pod_sandbox_id: self.pod_id(name)?,
                    verbose: true,
                };
                json(&self.call::<PodStatusReply>("PodSandboxStatus", &request)?)
            }
            _ => Ok(None),
        }
    }

    fn on_container(&self, verb: &Verb) -> Answer {
        let of = |name: &str| {
            let id = self.container_id(name);
            id.map(|container_id| ContainerRequest { container_id })
        };
        match verb {
            Verb::Create {
                pod,
                config,
                pod_config,
            } => self.create(pod, config, pod_config).map(Some),
            Verb::Start { container } => silent(self.call("StartContainer", &of(container)?)?),
            Verb::Rm { container } => silent(self.call("RemoveContainer", &of(container)?)?),
            Verb::Stats { container } => json(&self.call::<StatsReply>("ContainerStats", &of(container)?)?),
            Verb::Stop { container, timeout } => {
                let request = StopRequest {
                    container_id: self.container_id(container)?,
                    timeout: *timeout,
                };
                silent(self.call("StopContainer", &request)?)
            }
            Verb::Inspect { container } => {
                let request = StatusRequest {
                    container_id: self.container_id(container)?,
                    verbose: true,
                };
                json(&self.call::<StatusReply>("ContainerStatus", &request)?)
            }
            Verb::Update { container, resources } => {
                let request = UpdateRequest {
                    container_id: self.container_id(container)?,
                    linux: Some(parse("resources", resources)?),
                };
                silent(self.call("UpdateContainerResources", &request)?)
            }
            _ => Ok(None),
        }
    }

    fn create(&self, pod: &str, config: &str, pod_config: &str) -> Result<String> {
        let request = CreateRequest {
            pod_sandbox_id: self.pod_id(pod)?,
            config: Some(parse("container config", config)?),
            sandbox_config: Some(parse("pod config", pod_config)?),
        };
        let reply: ContainerReply = self.call("CreateContainer", &request)?;
        Ok(reply.container_id)
    }

    fn exec(&self, container: &str, command: &[String], timeout: i64) -> Result<ExecReply> {
        let request = ExecRequest {
            container_id: self.container_id(container)?,
            cmd: command.to_vec(),
            timeout,
        };
        self.call("ExecSync", &request)
    }

    /// The id of the pod of that name; what is no name is taken for an id.
    fn pod_id(&self, name: &str) -> Result<String> {
        let pods: Pods = self.call("ListPodSandbox", &Nothing {})?;
        let named = |pod: &super::messages::Pod| pod.metadata.as_ref().is_some_and(|data| data.name == name);
        let found = pods.items.into_iter().find(named);
        Ok(found.map_or_else(|| name.to_owned(), |pod| pod.id))
    }

    /// The id of the container of that name; what is no name is taken for an id.
    fn container_id(&self, name: &str) -> Result<String> {
        let all: Containers = self.call("ListContainers", &Nothing {})?;
        let named = |one: &super::messages::Container| one.metadata.as_ref().is_some_and(|data| data.name == name);
        let found = all.containers.into_iter().find(named);
        Ok(found.map_or_else(|| name.to_owned(), |container| container.id))
    }
}

fn parse<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|source| CriError::Config {
        what,
        text: text.to_owned(),
        source,
    })
}

fn json(answer: &impl Serialize) -> Answer {
    let text = serde_json::to_string_pretty(answer).map_err(|source| CriError::Encode { source })?;
    Ok(Some(text + "\n"))
}

fn silent(_: Nothing) -> Answer {
    Ok(Some(String::new()))
}
