//! A stand-in for `criu swrk FD`: it records the request and answers as the test has said.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nexcage_sys::packet;
use protobuf::Message;
use rust_criu::rust_criu_protobuf::rpc::{Criu_opts, Criu_req, Criu_req_type, Criu_resp};

use crate::common::Fixture;

/// Names the folder where a stand-in finds its orders and leaves the requests.
const FOLDER: &str = "CRIU_STAND_IN";

/// Orders to a stand-in, as words of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Do what was asked for, or what looks like it to the runtime.
    Obey,
    /// Write a log and report a failure.
    Fail,
    /// Freeze the container and die by SIGKILL.
    Die,
    /// Say that it is criu 3.14.
    BeOld,
    /// Say that the kernel lacks everything.
    LackFeatures,
}

impl Order {
    const ALL: [(&'static str, Self); 5] = [
        ("obey", Self::Obey),
        ("fail", Self::Fail),
        ("die", Self::Die),
        ("old", Self::BeOld),
        ("lack", Self::LackFeatures),
    ];
}

/// A stand-in that is in the search path of a command.
pub(crate) struct StandIn {
    folder: PathBuf,
}

impl StandIn {
    pub(crate) fn new(fixture: &Fixture, order: Order) -> Self {
        let folder = fixture.path("stand-in");
        if !folder.exists() {
            std::fs::create_dir(&folder).unwrap();
            symlink(std::env::current_exe().unwrap(), folder.join("criu")).unwrap();
        }
        let stand_in = Self { folder };
        stand_in.order(order);
        stand_in
    }

    pub(crate) fn order(&self, order: Order) {
        let (word, _) = Order::ALL.iter().find(|(_, known)| *known == order).unwrap();
        std::fs::write(self.folder.join("order"), word).unwrap();
    }

    /// What the restored init does.
    pub(crate) fn restored_runs(&self, script: &str) {
        std::fs::write(self.folder.join("script"), script).unwrap();
    }

    pub(crate) fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let path = format!("{}:{}", self.folder.display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env(FOLDER, &self.folder)
    }

    /// The recorded request of a kind, once.
    pub(crate) fn request(&self, kind: Criu_req_type) -> Option<Criu_opts> {
        let path = self.folder.join(format!("{kind:?}"));
        let bytes = std::fs::read(&path).ok()?;
        std::fs::remove_file(path).unwrap();
        let request = Criu_req::parse_from_bytes(&bytes).unwrap();
        Some(request.opts.unwrap())
    }

    /// What the stand-in said and heard: one line a message.
    pub(crate) fn heard(&self) -> String {
        std::fs::read_to_string(self.folder.join("heard")).unwrap_or_default()
    }
}

/// The socket's number, when this program is executed as criu.
pub(crate) fn asked() -> Option<i32> {
    let mut args = std::env::args();
    let is_criu = args.next()? == "criu" && args.next()? == "swrk";
    is_criu.then(|| args.next()?.parse().ok())?
}

pub(crate) fn run(fd: i32) -> ExitCode {
    let link = nexcage_sys::fds::borrow_inherited(fd).unwrap();
    let mut criu = Criu {
        link,
        folder: std::env::var_os(FOLDER).unwrap().into(),
    };
    criu.serve();
    ExitCode::SUCCESS
}

struct Criu {
    link: BorrowedFd<'static>,
    folder: PathBuf,
}

impl Criu {
    fn serve(&mut self) {
        let packet = packet::receive(self.link, 65536).unwrap().unwrap();
        let request = Criu_req::parse_from_bytes(&packet.bytes).unwrap();
        let kind = request.type_();
        let word = std::fs::read_to_string(self.folder.join("order")).unwrap();
        let order = Order::ALL.iter().find(|(known, _)| *known == word).unwrap().1;
        std::fs::write(self.folder.join(format!("{kind:?}")), &packet.bytes).unwrap();
        let mut answer = Criu_resp::new();
        answer.set_type(kind);
        answer.set_success(true);
        match kind {
            Criu_req_type::VERSION => {
                let version = answer.version.mut_or_insert_default();
                version.set_major_number(if order == Order::BeOld { 3 } else { 4 });
                version.set_minor_number(if order == Order::BeOld { 14 } else { 2 });
            }
            Criu_req_type::FEATURE_CHECK => {
                let features = answer.features.mut_or_insert_default();
                features.set_mem_track(order != Order::LackFeatures);
                features.set_lazy_pages(order != Order::LackFeatures);
            }
            Criu_req_type::RESTORE => self.restore(&request.opts, order, &mut answer),
            _ => self.dump(&request, order, &mut answer),
        }
        self.send(&answer);
    }

    fn dump(&mut self, request: &Criu_req, order: Order, answer: &mut Criu_resp) {
        let opts = &request.opts;
        if order == Order::Die {
            self.freeze_and_die(opts);
        }
        if order == Order::Fail {
            self.fail(opts, answer);
            return;
        }
        if opts.lazy_pages() {
            self.notify("status-ready", 0);
        }
        let goes = request.type_() == Criu_req_type::DUMP && !opts.leave_running();
        if goes {
            self.notify("post-dump", 0);
            nexcage_sys::cgroupfs::kill(opts.pid(), 9).unwrap();
        }
    }

    fn restore(&mut self, opts: &Criu_opts, order: Order, answer: &mut Criu_resp) {
        let cgroup = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        std::fs::write(self.folder.join("cgroup"), cgroup).unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        std::fs::write(self.folder.join("mountinfo"), mounts).unwrap();
        if order == Order::Fail {
            self.fail(opts, answer);
            return;
        }
        let pid = self.background();
        if order == Order::Die {
            die();
        }
        let taken = self.notify("setup-namespaces", pid) && self.notify("post-restore", pid);
        if !taken {
            nexcage_sys::cgroupfs::kill(pid, 9).unwrap();
            answer.set_success(false);
            return;
        }
        let restored = answer.restore.mut_or_insert_default();
        restored.set_pid(pid);
    }

    /// A process that outlives this one, and that a subreaper above gets.
    fn background(&self) -> i32 {
        let script = std::fs::read_to_string(self.folder.join("script")).unwrap_or("exec sleep 1000".into());
        let output = Command::new("/bin/sh")
            .args(["-c", "sh -c \"$0\" </dev/null >/dev/null 2>&1 & echo $!", &script])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    fn freeze_and_die(&self, opts: &Criu_opts) {
        let freezer = Path::new(opts.freeze_cgroup());
        let (file, word) = match freezer.join("freezer.state") {
            v1 if v1.exists() => (v1, "FROZEN"),
            _ => (freezer.join("cgroup.freeze"), "1"),
        };
        std::fs::OpenOptions::new()
            .write(true)
            .open(file)
            .and_then(|mut f| f.write_all(word.as_bytes()))
            .unwrap();
        die();
    }

    /// Reaches the log's folder by the descriptor, as criu does.
    fn fail(&self, opts: &Criu_opts, answer: &mut Criu_resp) {
        let fd = if opts.has_work_dir_fd() {
            opts.work_dir_fd()
        } else {
            opts.images_dir_fd()
        };
        let log = Path::new("/proc/self/fd").join(fd.to_string()).join(opts.log_file());
        let text = "(00.1) fine\n(00.2) Error (criu/a.c:1): first trouble\n(00.3) Error (criu/b.c:2): second trouble\n";
        std::fs::write(log, text).unwrap();
        answer.set_success(false);
        answer.set_cr_errno(3);
    }

    /// Whether the runtime said yes.
    fn notify(&self, script: &str, pid: i32) -> bool {
        let mut message = Criu_resp::new();
        message.set_type(Criu_req_type::NOTIFY);
        message.set_success(true);
        let notify = message.notify.mut_or_insert_default();
        notify.set_script(script.into());
        notify.set_pid(pid);
        self.send(&message);
        let packet = packet::receive(self.link, 65536).unwrap().unwrap();
        let answer = Criu_req::parse_from_bytes(&packet.bytes).unwrap();
        self.note(&format!("{script} {}", answer.notify_success()));
        answer.notify_success()
    }

    fn send(&self, message: &Criu_resp) {
        packet::send(self.link.as_fd(), &message.write_to_bytes().unwrap()).unwrap();
    }

    fn note(&self, line: &str) {
        let path = self.folder.join("heard");
        let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

fn die() -> ! {
    let me = i32::try_from(std::process::id()).unwrap();
    nexcage_sys::cgroupfs::kill(me, 9).unwrap();
    loop {
        std::thread::park();
    }
}
