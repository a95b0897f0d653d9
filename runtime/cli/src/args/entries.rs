//! The table of sub-commands: name, shape and the clap type that holds each one's flags.

use clap::{ArgMatches, Args as _, FromArgMatches as _};

use super::Command;
use super::criu::{CheckpointArgs, RestoreArgs};
use super::dialect::Limit;
use super::exec::ExecArgs;
use super::lifecycle::{CreateArgs, DeleteArgs, KillArgs, RunArgs};
use super::plugin::{ConfigArgs, PluginArgs};
use super::query::{EventsArgs, FeaturesArgs, IdArgs, ListArgs, PsArgs, SpecArgs};
use super::shell::CompletionArgs;
use super::update::UpdateArgs;

/// How many arguments a sub-command takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arity {
    Exactly(usize),
    AtLeast(usize),
    Between(usize, usize),
}

/// One sub-command.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What follows the name in the usage line.
    pub(super) usage: &'static str,
    /// What help says below the options.
    pub(super) notes: &'static str,
    pub(super) limit: Limit,
    pub(super) arity: Arity,
    augment: fn(clap::Command) -> clap::Command,
    pub(super) from: fn(&ArgMatches) -> Result<Command, clap::Error>,
}

impl Entry {
    /// Builds the clap command, for reading a command line.
    pub(super) fn command(&self) -> clap::Command {
        let command = clap::Command::new(self.name)
            .no_binary_name(true)
            .disable_help_flag(true)
            .disable_version_flag(true);
        (self.augment)(command)
    }
}

/// Finds a sub-command by its exact name.
pub(super) fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

const BASE: Entry = Entry {
    name: "",
    about: "",
    usage: "[options] <container-id>",
    notes: "",
    limit: Limit::Never,
    arity: Arity::Exactly(1),
    augment: IdArgs::augment_args,
    from: |matches| IdArgs::from_arg_matches(matches).map(Command::State),
};

/// Every sub-command, in the order of help.
pub(super) static ENTRIES: [Entry; 20] = [
    Entry {
        name: "create",
        about: "Create a container from a bundle, ready to start",
        notes: "The bundle is a directory with a config.json and a root filesystem; see \"nexcage spec --help\".\n\
                The id must be unique below the state root.",
        augment: CreateArgs::augment_args,
        from: |matches| CreateArgs::from_arg_matches(matches).map(Command::Create),
        ..BASE
    },
    Entry {
        name: "start",
        about: "Start the process of a created container",
        from: |matches| IdArgs::from_arg_matches(matches).map(Command::Start),
        ..BASE
    },
    Entry {
        name: "run",
        about: "Create and start a container, wait for it and delete it",
        usage: "[options] <container-id>\n       nexcage run [options] --rootfs DIR | --image IMAGE [--] <command>...",
        notes: "With --rootfs or --image the bundle is made for this one run, and removed after it. The config is that of\n\
                \"nexcage spec\" with a writable root, and a terminal when standard input and output are one.\n\n\
                --rootfs DIR runs in the directory itself: what the container writes stays there.\n\
                --rootfs DIR:O puts an overlay over it, and leaves the directory alone.\n\n\
                --image takes [oci:|oci-archive:|docker-archive:]PATH[:NAME]; a name chooses among several images. Every\n\
                layer is verified and unpacked once, and stays in the cache. The container writes to an overlay that is\n\
                thrown away. Environment, working directory and user are the image's; a command replaces its entrypoint\n\
                and command.\n\n\
                The exit code is the process's, or 128 + n when signal n killed it.",
        limit: Limit::FirstAfter(&["rootfs", "image"]),
        augment: RunArgs::augment_args,
        from: |matches| RunArgs::from_arg_matches(matches).map(Command::Run),
        ..BASE
    },
    Entry {
        name: "exec",
        about: "Run one more process in a running container",
        usage: "[options] <container-id> <command> [arguments...]\n       nexcage exec [options] --process FILE <container-id>",
        notes: "Options come before the container id: all that follows it belongs to the command.",
        limit: Limit::Arguments(1),
        arity: Arity::AtLeast(1),
        augment: ExecArgs::augment_args,
        from: |matches| ExecArgs::from_arg_matches(matches).map(Command::Exec),
    },
    Entry {
        name: "kill",
        about: "Send a signal to the init process of a container",
        usage: "[options] <container-id> [signal]",
        notes: "The signal is a number or a name, with or without SIG, in any case. Default: SIGTERM.",
        limit: Limit::Arguments(1),
        arity: Arity::Between(1, 2),
        augment: KillArgs::augment_args,
        from: |matches| KillArgs::from_arg_matches(matches).map(Command::Kill),
    },
    Entry {
        name: "delete",
        about: "Delete a stopped container and what it holds",
        augment: DeleteArgs::augment_args,
        from: |matches| DeleteArgs::from_arg_matches(matches).map(Command::Delete),
        ..BASE
    },
    Entry {
        name: "state",
        about: "Print the state of a container as JSON",
        from: |matches| IdArgs::from_arg_matches(matches).map(Command::State),
        ..BASE
    },
    Entry {
        name: "list",
        about: "List the containers below the state root",
        usage: "[options]",
        arity: Arity::Exactly(0),
        augment: ListArgs::augment_args,
        from: |matches| ListArgs::from_arg_matches(matches).map(Command::List),
        ..BASE
    },
    Entry {
        name: "ps",
        about: "List the processes in a container",
        usage: "[options] <container-id> [ps options]",
        notes: "What follows the container id goes to ps; default: -ef.",
        limit: Limit::Arguments(1),
        arity: Arity::AtLeast(1),
        augment: PsArgs::augment_args,
        from: |matches| PsArgs::from_arg_matches(matches).map(Command::Ps),
    },
    Entry {
        name: "pause",
        about: "Suspend all processes in a container",
        from: |matches| IdArgs::from_arg_matches(matches).map(Command::Pause),
        ..BASE
    },
    Entry {
        name: "resume",
        about: "Resume all processes in a paused container",
        from: |matches| IdArgs::from_arg_matches(matches).map(Command::Resume),
        ..BASE
    },
    Entry {
        name: "update",
        about: "Change the resource limits of a container",
        notes: "Sizes take the units b, k, m, g, t, p (1024 based), as in 512M; -1 is unlimited.\n\
                With --resources all other limits on the command line are ignored. The file holds the \"resources\"\n\
                object of config.json: memory, cpu, blockIO, pids. What it leaves out is left alone.",
        augment: UpdateArgs::augment_args,
        from: |matches| UpdateArgs::from_arg_matches(matches).map(Command::Update),
        ..BASE
    },
    Entry {
        name: "events",
        about: "Print resource statistics and out-of-memory events as JSON lines",
        augment: EventsArgs::augment_args,
        from: |matches| EventsArgs::from_arg_matches(matches).map(Command::Events),
        ..BASE
    },
    Entry {
        name: "checkpoint",
        about: "Write a running container to disk with CRIU",
        augment: CheckpointArgs::augment_args,
        from: |matches| CheckpointArgs::from_arg_matches(matches).map(Command::Checkpoint),
        ..BASE
    },
    Entry {
        name: "restore",
        about: "Bring a container back from a checkpoint",
        augment: RestoreArgs::augment_args,
        from: |matches| RestoreArgs::from_arg_matches(matches).map(Command::Restore),
        ..BASE
    },
    Entry {
        name: "spec",
        about: "Write a config.json to start from",
        usage: "[options]",
        notes: "The new config runs \"sh\" with the root filesystem in the bundle's \"rootfs\" directory. For instance:\n\n    \
                mkdir -p bundle/rootfs && tar -C bundle/rootfs -xf rootfs.tar\n    \
                nexcage spec --bundle bundle\n    \
                nexcage run --bundle bundle mycontainer",
        arity: Arity::Exactly(0),
        augment: SpecArgs::augment_args,
        from: |matches| SpecArgs::from_arg_matches(matches).map(Command::Spec),
        ..BASE
    },
    Entry {
        name: "features",
        about: "Print what this runtime supports as JSON",
        usage: "",
        notes: "The document is the OCI runtime specification's features structure.",
        arity: Arity::Exactly(0),
        augment: FeaturesArgs::augment_args,
        from: |matches| FeaturesArgs::from_arg_matches(matches).map(Command::Features),
        ..BASE
    },
    Entry {
        name: "plugin",
        about: "Look after plugins: list, enable, try, test, audit them",
        usage: "[options] <action> [name...]",
        notes: "list                    what is in the plugin directory, and what stands in its way\n\
                info NAME               what a plugin declares, may have and is confined by\n\
                enable|disable NAME     keep in config.d whether it is loaded\n\
                reload [NAME...]        try it anew, with the configuration that holds now\n\
                health [NAME...]        ask it how it is; the exit code is 1 when one is not well\n\
                stats [NAME...]         how its calls went, and what it measured\n\
                logs NAME               what it logged\n\
                violations [NAME...]    what it tried and may not\n\
                audit [NAME...]         the audit log; with --verify whether somebody changed it\n\
                validate PATH           check a package, or a manifest alone\n\
                migrate PATH            print a manifest in its new form, also one with \"api_version\": 1\n\
                test PATH               load a package in its sandbox and try all that it has\n\n\
                Commands of plugins are called as those of nexcage: nexcage <command> [arguments...]",
        limit: Limit::Never,
        arity: Arity::AtLeast(1),
        augment: PluginArgs::augment_args,
        from: |matches| PluginArgs::from_arg_matches(matches).map(Command::Plugin),
    },
    Entry {
        name: "config",
        about: "Check the configuration, or show what holds",
        usage: "check|show",
        notes: "The configuration is /etc/nexcage/config.json, or the file of --config, and then the files config.d/*.json beside it\n\
                in the order of their names. A later one wins, but what one denies stays denied.",
        augment: ConfigArgs::augment_args,
        from: |matches| ConfigArgs::from_arg_matches(matches).map(Command::Config),
        ..BASE
    },
    Entry {
        name: "completion",
        about: "Print a shell's completion script",
        usage: "bash|zsh|fish",
        notes: "bash: source <(nexcage completion bash)    zsh: source <(nexcage completion zsh)\n\
                fish: nexcage completion fish | source\n\n\
                Commands of plugins complete by asking their plugin, for at most 100 ms.",
        augment: CompletionArgs::augment_args,
        from: |matches| CompletionArgs::from_arg_matches(matches).map(Command::Completion),
        ..BASE
    },
];
