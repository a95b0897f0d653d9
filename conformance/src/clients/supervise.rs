//! Starts the sandboxes, collects their results, and removes what outlives them, also when interrupted.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};

use super::client::Client;
use super::job::{Job, Runtime};
use super::report::{Record, Report};
use super::run::{Verdict, command};
use super::sandbox::{self, SandboxError, read_hierarchies};

/// Longest life of one sandbox; a case has its own, much shorter limit.
const SANDBOX_LIMIT: Duration = Duration::from_secs(600);

/// What is to be tried.
#[derive(Debug)]
pub struct Request {
    /// The clients, in the order of the tables.
    pub clients: Vec<&'static Client>,
    /// The runtimes, in the order of the columns; the first is the one under test.
    pub runtimes: Vec<Runtime>,
    /// Only cases whose id holds this.
    pub filter: String,
    /// How many sandboxes run at a time.
    pub jobs: usize,
}

/// Why no report could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuperviseError {
    /// A sandbox could not be started.
    #[error("start sandbox {name:?}")]
    Start {
        /// Its cgroup's name, which holds client and runtime.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The list of hierarchies is needed for the removal.
    #[error("list cgroup hierarchies")]
    Hierarchies {
        /// What could not be read.
        source: SandboxError,
    },
    /// Interrupted; everything has been removed.
    #[error("interrupted by {signal}")]
    Interrupted {
        /// The signal's name.
        signal: &'static str,
    },
    /// Signals could not be taken over.
    #[error("block signals")]
    Signals {
        /// The kernel's answer.
        source: nix::Error,
    },
    /// Something keeps a cgroup of a finished sandbox busy.
    #[error("remove cgroup {name:?} (a process is left in it)")]
    Remove {
        /// The cgroup, in every hierarchy.
        name: String,
    },
    /// Sandboxes end by themselves only through this channel.
    #[error("lose every sandbox")]
    Lost,
}

/// What happened.
#[derive(Debug)]
enum Event {
    Line(usize, String),
    Ended(usize),
    Signal(Signal),
}

/// A sandbox that is alive.
#[derive(Debug)]
struct Running {
    number: usize,
    job: Job,
    child: Child,
    deadline: Instant,
}

/// Runs every client with every runtime and returns all results.
///
/// Must be called from the main thread, which has to live as long as the sandboxes: they end with it. One progress line
/// a case goes to `progress`.
///
/// # Errors
///
/// The step that failed; every sandbox has been ended and removed then.
pub fn run_clients(request: &Request, progress: &mut dyn Write) -> Result<Report, SuperviseError> {
    let (events, inbox) = channel();
    watch_signals(events.clone())?;
    let mut crowd = Crowd {
        events,
        running: Vec::new(),
        waiting: VecDeque::new(),
        records: Vec::new(),
    };
    for runtime in &request.runtimes {
        for client in &request.clients {
            crowd.enqueue(client, runtime, request);
        }
    }
    let outcome = crowd.work(&inbox, request.jobs.max(1), progress);
    let cleared = crowd.end_all();
    outcome.and(cleared)?;
    let runtimes = request.runtimes.iter().map(|runtime| runtime.name.clone()).collect();
    Ok(Report {
        runtimes,
        records: sorted(crowd.records, request),
    })
}

/// Runs one of the processes of a sandbox, as `run_clients` starts them.
///
/// # Errors
///
/// The step of making the sandbox that was refused.
pub fn run_stage(stage: &str, job: &Job) -> Result<u8, SandboxError> {
    match stage {
        "enter" => {
            // The supervisor takes signals on a thread of its own; the clients must get them as usual.
            SigSet::all()
                .thread_unblock()
                .map_err(|source| SandboxError::Tie { source })?;
            sandbox::enter(job)
        }
        "init" => sandbox::init(job),
        _ => sandbox::work(job),
    }
}

/// Puts the records in the order of the request; sandboxes end in any order.
fn sorted(mut records: Vec<Record>, request: &Request) -> Vec<Record> {
    let client = |record: &Record| request.clients.iter().position(|client| client.name == record.client);
    let runtime = |record: &Record| {
        request
            .runtimes
            .iter()
            .position(|runtime| runtime.name == record.runtime)
    };
    records.sort_by_key(|record| (client(record), runtime(record)));
    records
}

fn watch_signals(events: Sender<Event>) -> Result<(), SuperviseError> {
    let set: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    set.thread_block()
        .map_err(|source| SuperviseError::Signals { source })?;
    thread::spawn(move || {
        while let Ok(signal) = set.wait() {
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// All sandboxes, those that run and those that wait for their turn.
#[derive(Debug)]
struct Crowd {
    events: Sender<Event>,
    running: Vec<Running>,
    waiting: VecDeque<Job>,
    records: Vec<Record>,
}

impl Crowd {
    fn enqueue(&mut self, client: &'static Client, runtime: &Runtime, request: &Request) {
        let job = Job {
            client: client.name.to_owned(),
            runtime: runtime.clone(),
            cgroup: format!(
                "nexcage-clients-{}-{}-{}",
                std::process::id(),
                client.name,
                runtime.name
            ),
            filter: request.filter.clone(),
        };
        if client.matching(&request.filter).next().is_none() {
            return;
        }
        let missing = client.missing_packages();
        if missing.is_empty() {
            self.waiting.push_back(job);
            return;
        }
        let reason = format!("missing here: apt-get install {}", missing.join(" "));
        let skip = |case: &super::case::Case| Record::new(&job, case.id, Verdict::Skip(reason.clone()));
        self.records.extend(client.matching(&request.filter).map(skip));
    }

    fn work(&mut self, inbox: &Receiver<Event>, jobs: usize, progress: &mut dyn Write) -> Result<(), SuperviseError> {
        let mut started = 0;
        loop {
            while self.running.len() < jobs
                && let Some(job) = self.waiting.pop_front()
            {
                started += 1;
                let running = self.start(started, job)?;
                self.running.push(running);
            }
            let Some(next) = self.running.iter().map(|running| running.deadline).min() else {
                return Ok(());
            };
            match inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Event::Line(number, line)) => self.note(number, &line, progress),
                Ok(Event::Ended(number)) => self.finish(number)?,
                Ok(Event::Signal(signal)) => {
                    return Err(SuperviseError::Interrupted {
                        signal: signal.as_str(),
                    });
                }
                Err(RecvTimeoutError::Timeout) => self.finish_late()?,
                Err(RecvTimeoutError::Disconnected) => return Err(SuperviseError::Lost),
            }
        }
    }

    fn start(&self, number: usize, job: Job) -> Result<Running, SuperviseError> {
        let failed = |source| SuperviseError::Start {
            name: job.cgroup.clone(),
            source,
        };
        let text = serde_json::to_string(&job).map_err(|error| failed(error.into()))?;
        let mut child = command("/proc/self/exe")
            .args(["--stage", "enter", "--job", &text])
            .env_clear()
            .envs(sandbox::environment(&job))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let out = child
            .stdout
            .take()
            .ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let events = self.events.clone();
        thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            let told = lines
                .map(|line| Event::Line(number, line))
                .chain(std::iter::once(Event::Ended(number)));
            for event in told {
                if events.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Running {
            number,
            job,
            child,
            deadline: Instant::now() + SANDBOX_LIMIT,
        })
    }

    /// Takes a record over; a line that is none is a fault of the sandbox and shown as it is.
    fn note(&mut self, number: usize, line: &str, progress: &mut dyn Write) {
        let shown = match serde_json::from_str::<Record>(line) {
            Ok(record) => {
                let word = match &record.verdict {
                    Verdict::Ok => "ok".to_owned(),
                    Verdict::Fail(reason) => format!("RED {reason}"),
                    Verdict::Skip(reason) => format!("skipped: {reason}"),
                };
                let text = format!(
                    "{:10} {:8} {:22} {:4.1} s {word}",
                    record.client, record.runtime, record.case, record.seconds
                );
                self.records.push(record);
                text
            }
            Err(_) => format!("sandbox {number}: {line}"),
        };
        // Progress is a courtesy: a closed standard error must not end the run.
        drop(writeln!(progress, "{shown}"));
    }

    /// Ends a sandbox and notes the cases that it did not come to.
    fn finish(&mut self, number: usize) -> Result<(), SuperviseError> {
        let Some(at) = self.running.iter().position(|running| running.number == number) else {
            return Ok(());
        };
        let mut running = self.running.swap_remove(at);
        end(&mut running)?;
        let job = &running.job;
        let of = |id: &str| {
            self.records
                .iter()
                .find(|record| record.case == id && belongs(record, job))
        };
        let reason = match (of("setup").map(|r| &r.verdict), of("run").map(|r| &r.verdict)) {
            (Some(Verdict::Fail(text)), _) => format!("client not ready: {text}"),
            (None, Some(Verdict::Fail(_))) => "not tried: no container runs at all".to_owned(),
            _ => "the sandbox ended before".to_owned(),
        };
        self.records
            .retain(|record| !(record.case == "setup" && belongs(record, job)));
        let missing: Vec<_> = Client::named(&job.client)
            .iter()
            .flat_map(|client| client.matching(&job.filter))
            .filter(|case| {
                !self
                    .records
                    .iter()
                    .any(|record| belongs(record, job) && record.case == case.id)
            })
            .map(|case| Record::new(job, case.id, Verdict::Fail(reason.clone())))
            .collect();
        self.records.extend(missing);
        Ok(())
    }

    fn finish_late(&mut self) -> Result<(), SuperviseError> {
        let now = Instant::now();
        let late: Vec<_> = self
            .running
            .iter()
            .filter(|r| r.deadline <= now)
            .map(|r| r.number)
            .collect();
        late.into_iter().try_for_each(|number| self.finish(number))
    }

    fn end_all(&mut self) -> Result<(), SuperviseError> {
        let ended: Vec<_> = self.running.drain(..).map(|mut running| end(&mut running)).collect();
        ended.into_iter().collect()
    }
}

fn belongs(record: &Record, job: &Job) -> bool {
    record.client == job.client && record.runtime == job.runtime.name
}

/// Kills the sandbox's first process, with which all others end, and removes its cgroups.
fn end(running: &mut Running) -> Result<(), SuperviseError> {
    // Both fail only when it has ended already.
    drop(running.child.kill());
    drop(running.child.wait());
    let hierarchies = read_hierarchies().map_err(|source| SuperviseError::Hierarchies { source })?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let roots = hierarchies
            .iter()
            .map(|hierarchy| hierarchy.at.join(&running.job.cgroup));
        let left: Vec<_> = roots.filter(|root| root.exists()).collect();
        if left.is_empty() {
            return Ok(());
        }
        left.iter().for_each(|root| remove_cgroup(root));
        if Instant::now() >= deadline {
            return Err(SuperviseError::Remove {
                name: running.job.cgroup.clone(),
            });
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Thaws and removes a cgroup and all below it, as far as that goes: the caller looks whether it is gone.
fn remove_cgroup(dir: &Path) {
    for (file, text) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        if let Ok(mut file) = OpenOptions::new().write(true).open(dir.join(file)) {
            drop(file.write_all(text.as_bytes()));
        }
    }
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_cgroup(&entry.path());
    }
    drop(fs::remove_dir(dir));
}
