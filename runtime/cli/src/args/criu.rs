//! Flags of `checkpoint` and `restore`: what they ask of CRIU.

use std::path::PathBuf;

use super::lifecycle::ProcessFiles;

/// How CRIU treats cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "a variant is CRIU's mode of its name")]
pub enum CgroupsMode {
    Soft,
    Full,
    Strict,
    Ignore,
}

fn parse_mode(text: &str) -> Result<CgroupsMode, String> {
    match text {
        "soft" => Ok(CgroupsMode::Soft),
        "full" => Ok(CgroupsMode::Full),
        "strict" => Ok(CgroupsMode::Strict),
        "ignore" => Ok(CgroupsMode::Ignore),
        _ => Err("want soft, full, strict or ignore".into()),
    }
}

/// The address of a CRIU page server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageServer {
    /// Host name or address, without brackets.
    pub address: String,
    /// TCP port.
    pub port: u16,
}

fn parse_page_server(text: &str) -> Result<PageServer, String> {
    let invalid = || "Use --page-server ADDRESS:PORT to specify page server".to_owned();
    let (address, port) = text.rsplit_once(':').ok_or_else(invalid)?;
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if address.is_empty() || (bare.is_none() && address.contains(':')) {
        return Err(invalid());
    }
    let port = port
        .parse()
        .map_err(|error| format!("Invalid port number {port:?}: {error}"))?;
    Ok(PageServer {
        address: bare.unwrap_or(address).to_owned(),
        port,
    })
}

fn parse_empty_ns(text: &str) -> Result<String, String> {
    match text {
        "network" => Ok(text.to_owned()),
        _ => Err(format!("namespace {text:?} is not supported: want network")),
    }
}

/// What `checkpoint` and `restore` both ask of CRIU.
#[derive(Clone, Debug, clap::Args)]
pub struct CriuArgs {
    /// directory of the image files [default: ./checkpoint]
    #[arg(long, value_name = "DIR")]
    pub image_path: Option<PathBuf>,
    /// directory of CRIU's log and work files
    #[arg(long, value_name = "DIR")]
    pub work_path: Option<PathBuf>,
    /// keep open TCP connections
    #[arg(long)]
    pub tcp_established: bool,
    /// allow unix sockets that lead outside
    #[arg(long)]
    pub ext_unix_sk: bool,
    /// allow a process that was started by a shell
    #[arg(long)]
    pub shell_job: bool,
    /// move memory pages when they are touched (userfaultfd)
    #[arg(long)]
    pub lazy_pages: bool,
    /// keep file locks
    #[arg(long)]
    pub file_locks: bool,
    /// soft, full, strict or ignore [default: soft]
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    pub manage_cgroups_mode: Option<CgroupsMode>,
    /// leave this namespace's content out
    #[arg(long, value_name = "NAMESPACE", value_parser = parse_empty_ns)]
    pub empty_ns: Vec<String>,
    /// drop memory pages that another image holds
    #[arg(long)]
    pub auto_dedup: bool,
}

/// Flags of `checkpoint`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckpointArgs {
    /// what is asked of CRIU
    #[command(flatten)]
    pub criu: CriuArgs,
    /// directory of an earlier --pre-dump, relative to --image-path
    #[arg(long, value_name = "DIR")]
    pub parent_path: Option<PathBuf>,
    /// let the container run on
    #[arg(long)]
    pub leave_running: bool,
    /// skip TCP connections that are not yet established
    #[arg(long)]
    pub tcp_skip_in_flight: bool,
    /// link deleted files back where possible
    #[arg(long)]
    pub link_remap: bool,
    /// descriptor that gets a NUL byte once --lazy-pages is ready
    #[arg(long, value_name = "FD", default_value_t = -1)]
    pub status_fd: i32,
    /// send memory pages to a page server
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_page_server)]
    pub page_server: Option<PageServer>,
    /// write memory only and let the container run on
    #[arg(long)]
    pub pre_dump: bool,
    /// id of the container
    #[arg(value_name = "container-id")]
    pub id: String,
}

/// Flags of `restore`.
#[derive(Clone, Debug, clap::Args)]
pub struct RestoreArgs {
    /// what is asked of CRIU
    #[command(flatten)]
    pub criu: CriuArgs,
    /// bundle directory [default: current directory]
    #[arg(short, long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// bring TCP connections back closed
    #[arg(long)]
    pub tcp_close: bool,
    /// return as soon as the process runs
    #[arg(short, long)]
    pub detach: bool,
    /// where the terminal and the process id go
    #[command(flatten)]
    pub files: ProcessFiles,
    /// do not adopt orphans of the container
    #[arg(long)]
    pub no_subreaper: bool,
    /// move the root mount instead of pivoting; for a root filesystem on a ramdisk
    #[arg(long)]
    pub no_pivot: bool,
    /// LSM profile of the restored processes
    #[arg(long, value_name = "TYPE:NAME")]
    pub lsm_profile: Option<String>,
    /// LSM mount context of the restored mounts
    #[arg(long, value_name = "CONTEXT")]
    pub lsm_mount_context: Option<String>,
    /// id of the container
    #[arg(value_name = "container-id")]
    pub id: String,
}
