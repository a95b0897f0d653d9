//! `exec`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use nexcage_backend::Process;
use nexcage_cgroups::SubCgroup;
use nexcage_runtime::foreground::{Adoption, Foreground};
use nexcage_runtime::inherited::{Activation, Inherited};
use nexcage_runtime::terminal::{Terminal, TerminalRequest, connect_console};
use nexcage_runtime::{ExecOptions, ProcessChanges, ProcessSource, Runtime};
use nexcage_sys::fds;
use oci_spec::runtime::{Capability, Process as OciProcess};

use crate::args::Request;
use crate::{context, report};

/// Run another process in a running container.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Unix socket that receives the master of the process's terminal
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// Unix socket that receives a pidfd of the process
    #[arg(long)]
    pidfd_socket: Option<PathBuf>,
    /// Working directory in the container
    #[arg(long)]
    cwd: Option<PathBuf>,
    /// Set a variable, NAME=VALUE
    #[arg(long, short)]
    env: Vec<String>,
    /// Allocate a terminal
    #[arg(long, short)]
    tty: bool,
    /// UID[:GID]
    #[arg(long, short)]
    user: Option<String>,
    /// Additional group ids
    #[arg(long, short = 'g')]
    additional_gids: Vec<u32>,
    /// File that describes the process
    #[arg(long, short)]
    process: Option<PathBuf>,
    /// Do not wait for the process to end
    #[arg(long, short)]
    detach: bool,
    /// File that gets the process id
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// SELinux label
    #[arg(long)]
    process_label: Option<String>,
    /// AppArmor profile
    #[arg(long)]
    apparmor: Option<String>,
    /// Set no_new_privileges
    #[arg(long)]
    no_new_privs: bool,
    /// Add a capability
    #[arg(long, short)]
    cap: Vec<String>,
    /// Hand on this many descriptors from 3 on
    #[arg(long, default_value_t = 0)]
    preserve_fds: u32,
    /// Run in a cgroup below the container's: [CONTROLLER,...:]PATH
    #[arg(long)]
    cgroup: Vec<String>,
    /// Run it in a paused container too
    #[arg(long)]
    ignore_paused: bool,
    /// The container, the program and its arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "ID [COMMAND [ARGS]]"
    )]
    rest: Vec<String>,
}

pub(crate) fn run(request: &Request, argv: &[OsString], args: &Args) -> Result<ExitCode> {
    context::seal(argv)?;
    let Some((id, command)) = args.rest.split_first() else {
        bail!("exec needs a container id")
    };
    let failed = || context::failed_request(request, id);
    let runtime = context::runtime(&request.globals)?;
    let process = plan(&runtime, id, command, args).with_context(failed)?;
    let terminal = process.terminal() == Some(true);
    nexcage_runtime::terminal::check(terminal, args.console_socket.is_some(), args.detach).with_context(failed)?;
    let sub = sub_cgroup(&args.cgroup).with_context(failed)?;
    if args.detach {
        exec(&runtime, id, process, args, sub.as_ref()).with_context(failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let foreground = Foreground::prepare(Adoption::Leave).with_context(failed)?;
    let (process, terminal) = exec(&runtime, id, process, args, sub.as_ref()).with_context(failed)?;
    let status = foreground
        .wait(process.pid, &process.pidfd, terminal, None)
        .with_context(failed)?;
    Ok(context::exit_code(status))
}

fn plan(runtime: &Runtime, id: &str, command: &[String], args: &Args) -> Result<OciProcess> {
    let source = match &args.process {
        Some(path) => {
            let parsed = nexcage_oci::process::load(path)?;
            for warning in &parsed.warnings {
                report::print_warning(&warning.to_string());
            }
            ProcessSource::File(Box::new(parsed.value))
        }
        None if command.is_empty() => bail!("process args cannot be empty: name a program to run"),
        None => ProcessSource::Changes(Box::new(ProcessChanges {
            args: command.to_vec(),
            cwd: args.cwd.clone(),
            env: args.env.clone(),
            user: args.user.as_deref().map(user).transpose()?,
            additional_gids: args.additional_gids.clone(),
            tty: args.tty,
            apparmor: args.apparmor.clone(),
            process_label: args.process_label.clone(),
            no_new_privs: args.no_new_privs,
            capabilities: args.cap.iter().map(|c| capability(c)).collect::<Result<_>>()?,
        })),
    };
    let mut process = runtime.plan_process(id, source)?;
    if args.tty {
        process.set_terminal(Some(true));
    }
    Ok(process)
}

fn user(text: &str) -> Result<(u32, Option<u32>)> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    let number = |n: &str| {
        n.parse::<u32>()
            .with_context(|| format!("user {text:?}: give UID[:GID] as numbers"))
    };
    Ok((number(uid)?, gid.map(number).transpose()?))
}

fn capability(name: &str) -> Result<Capability> {
    let upper = name.to_uppercase();
    let full = if upper.starts_with("CAP_") {
        upper
    } else {
        format!("CAP_{upper}")
    };
    serde_json::from_value(serde_json::Value::from(full)).with_context(|| format!("unknown capability {name:?}"))
}

fn sub_cgroup(given: &[String]) -> Result<Option<SubCgroup>> {
    if given.is_empty() {
        return Ok(None);
    }
    let mut sub = SubCgroup {
        by_controller: BTreeMap::new(),
        for_all: None,
    };
    for text in given {
        match text.split_once(':') {
            Some((controllers, path)) => {
                for controller in controllers.split(',') {
                    if sub
                        .by_controller
                        .insert(controller.to_owned(), PathBuf::from(path))
                        .is_some()
                    {
                        bail!("--cgroup names controller {controller:?} twice");
                    }
                }
            }
            None if given.len() > 1 => bail!("--cgroup without a controller can be given once only"),
            None => sub.for_all = Some(PathBuf::from(text)),
        }
    }
    Ok(Some(sub))
}

fn exec(
    runtime: &Runtime,
    id: &str,
    mut process: OciProcess,
    args: &Args,
    sub_cgroup: Option<&SubCgroup>,
) -> Result<(Process, Option<Terminal>)> {
    fds::fill_stdio().context("open /dev/null on closed standard descriptors")?;
    let inherited = Inherited::plan(Activation::default(), args.preserve_fds)?;
    let mut env = process.env().clone().unwrap_or_default();
    inherited.apply_env(&mut env);
    process.set_env(Some(env));
    let socket = args.console_socket.as_deref().map(connect_console).transpose()?;
    let own = if process.terminal() == Some(true) && socket.is_none() {
        Some(TerminalRequest::open()?)
    } else {
        None
    };
    let options = ExecOptions {
        console: socket
            .as_ref()
            .map(AsFd::as_fd)
            .or(own.as_ref().map(TerminalRequest::console)),
        preserve_fds: inherited.count(),
        ignore_paused: args.ignore_paused,
        sub_cgroup,
        pid_file: args.pid_file.as_deref(),
        pidfd_socket: args.pidfd_socket.as_deref(),
    };
    let made = runtime.exec(id, &process, &options)?;
    let terminal = own
        .map(TerminalRequest::receive)
        .transpose()
        .context("join the process's terminal")?;
    Ok((made, terminal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_numbers() {
        assert_eq!(user("5").unwrap(), (5, None));
        assert_eq!(user("5:6").unwrap(), (5, Some(6)));
        assert!(user("root").is_err());
    }

    #[test]
    fn capabilities_are_named_with_and_without_prefix() {
        assert_eq!(capability("CAP_KILL").unwrap(), capability("kill").unwrap());
        assert!(capability("CAP_NOSUCH").is_err());
    }

    #[test]
    fn sub_cgroups_are_per_controller_or_for_all() {
        let sub = sub_cgroup(&["cpu,memory:/a".to_owned()]).unwrap().unwrap();
        assert_eq!(sub.by_controller.len(), 2);
        assert!(sub_cgroup(&["a".to_owned(), "b".to_owned()]).is_err());
    }
}
