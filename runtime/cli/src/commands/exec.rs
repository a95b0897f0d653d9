//! `exec`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use nexcage_backend::Process;
use nexcage_cgroups::SubCgroup;
use nexcage_runtime::foreground::{Adoption, Foreground};
use nexcage_runtime::inherited::{Activation, Inherited};
use nexcage_runtime::terminal::{Terminal, check};
use nexcage_runtime::{ExecOptions, ProcessChanges, ProcessSource, Runtime};
use nexcage_sys::fds;
use oci_spec::runtime::{Capability, Process as OciProcess};

use super::console::Console;
use crate::args::{ExecArgs, Globals};
use crate::{context, report};

pub(crate) fn run(globals: &Globals, args: &ExecArgs) -> Result<ExitCode> {
    context::seal()?;
    let runtime = context::runtime(globals)?;
    let process = plan(&runtime, args)?;
    check(
        process.terminal() == Some(true),
        args.files.console_socket.is_some(),
        args.detach,
    )?;
    if args.detach {
        exec(&runtime, process, args)?;
        return Ok(ExitCode::SUCCESS);
    }
    let foreground = Foreground::prepare(Adoption::Leave)?;
    let (process, terminal) = exec(&runtime, process, args)?;
    Ok(context::exit_code(foreground.wait(
        process.pid,
        &process.pidfd,
        terminal,
        None,
    )?))
}

fn plan(runtime: &Runtime, args: &ExecArgs) -> Result<OciProcess> {
    let source = match &args.process {
        Some(path) => {
            let parsed = nexcage_oci::process::load(path)?;
            for warning in &parsed.warnings {
                report::warning(&warning.to_string());
            }
            ProcessSource::File(Box::new(parsed.value))
        }
        None if args.command.is_empty() => bail!("process args cannot be empty: name a program to run"),
        None => ProcessSource::Changes(Box::new(changes(args)?)),
    };
    let mut process = runtime.plan_process(&args.id, source)?;
    if args.tty {
        process.set_terminal(Some(true));
    }
    Ok(process)
}

fn changes(args: &ExecArgs) -> Result<ProcessChanges> {
    let text = |argument: &std::ffi::OsString| {
        argument
            .clone()
            .into_string()
            .map_err(|bad| anyhow::anyhow!("argument {bad:?} is not UTF-8"))
    };
    Ok(ProcessChanges {
        args: args.command.iter().map(text).collect::<Result<_>>()?,
        cwd: args.cwd.as_ref().map(PathBuf::from),
        env: args.env.clone(),
        user: args.user.as_ref().map(|user| (user.uid, user.gid)),
        additional_gids: args.additional_gids.clone(),
        tty: args.tty,
        apparmor: args.apparmor.clone(),
        process_label: args.process_label.clone(),
        no_new_privs: args.no_new_privs,
        capabilities: args.cap.iter().map(|name| capability(name)).collect::<Result<_>>()?,
    })
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

fn exec(runtime: &Runtime, mut process: OciProcess, args: &ExecArgs) -> Result<(Process, Option<Terminal>)> {
    fds::fill_stdio().context("open /dev/null on closed standard descriptors")?;
    let inherited = Inherited::plan(Activation::default(), args.preserve_fds)?;
    let mut env = process.env().clone().unwrap_or_default();
    inherited.apply_env(&mut env);
    process.set_env(Some(env));
    let sub_cgroup = (!args.cgroup.is_empty())
        .then(|| SubCgroup::parse(&args.cgroup))
        .transpose()?;
    let console = Console::open(args.files.console_socket.as_deref(), process.terminal() == Some(true))?;
    let options = ExecOptions {
        console: console.fd(),
        preserve_fds: inherited.count(),
        ignore_paused: args.ignore_paused,
        sub_cgroup: sub_cgroup.as_ref(),
        pid_file: args.files.pid_file.as_deref(),
        pidfd_socket: args.pidfd_socket.as_deref(),
    };
    let made = runtime.exec(&args.id, &process, &options)?;
    let terminal = console.receive().context("join the process's terminal")?;
    Ok((made, terminal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_named_with_and_without_prefix() {
        assert_eq!(capability("CAP_KILL").unwrap(), capability("kill").unwrap());
        assert!(capability("CAP_NOSUCH").is_err());
    }
}
