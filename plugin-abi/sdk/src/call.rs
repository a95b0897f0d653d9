//! A call that is under way, and what may be asked for during it.

use std::ffi::c_void;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use nexcage_plugin_abi::status::Status;
use nexcage_plugin_abi::table::{NXC_API_VERSION, NXC_OK, NxcSink, NxcStr};
use nexcage_plugin_types::broker::Effect;
use serde_json::{Value, json};

use crate::PluginError;
use crate::host::{Host, borrow, size};

/// A call of the plugin. Effects are asked for in its name.
#[derive(Debug)]
pub struct Call {
    id: u64,
    host: Host,
}

/// What came of an effect.
#[derive(Debug, Default)]
pub struct Answer {
    /// JSON.
    pub value: Value,
    /// Descriptors that belong to the plugin now.
    pub descriptors: Vec<OwnedFd>,
}

/// A standard stream of whoever runs a command of the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard input.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Call {
    pub(crate) fn new(id: u64, host: Host) -> Self {
        Self { id, host }
    }

    /// Whether nobody waits for the answer any more: a long call looks now and then.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let host = self.host.table();
        // SAFETY: a function of the host's table, with its context and a number.
        host.cancelled
            .is_some_and(|cancelled| unsafe { cancelled(host.ctx, self.id) } != 0)
    }

    /// The time that is left; `None` without a deadline.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let host = self.host.table();
        // SAFETY: a function of the host's table, with its context and a number.
        let left = unsafe { host.deadline_ms?(host.ctx, self.id) };
        u64::try_from(left).ok().map(Duration::from_millis)
    }

    /// Asks for an effect by its name.
    ///
    /// * `name`: such as `config.read`.
    ///
    /// # Errors
    ///
    /// Why it was not performed; without a grant [`PluginError::permission_denied`].
    pub fn effect(&self, name: &str, input: &Value) -> Result<Answer, PluginError> {
        let host = self.host.table();
        let Some(broker) = host.broker_call else {
            return Err(PluginError::unsupported("the host has no broker"));
        };
        let mut taken = Taken::default();
        let sink = NxcSink {
            struct_size: size::<NxcSink>(),
            api_version: NXC_API_VERSION,
            ctx: (&raw mut taken).cast(),
            write: Some(write),
            descriptor: Some(descriptor),
        };
        let input = input.to_string();
        let (name, input) = (NxcStr::lend(name.as_bytes()), NxcStr::lend(input.as_bytes()));
        // SAFETY: a function of the host's table, with its context; texts and sink live during the call, in which alone
        // the host uses them.
        let code = unsafe { broker(host.ctx, self.id, name, input, &raw const sink) };
        if code != NXC_OK {
            let text = String::from_utf8_lossy(&taken.bytes).into_owned();
            return Err(PluginError::of_code(code, text));
        }
        let value = serde_json::from_slice(&taken.bytes)
            .map_err(|error| PluginError::internal(format!("read the answer of the broker: {error}")))?;
        Ok(Answer {
            value,
            descriptors: taken.descriptors,
        })
    }

    fn open(&self, effect: Effect, input: &Value) -> Result<OwnedFd, PluginError> {
        let mut answer = self.effect(&effect.to_string(), input)?;
        let opened = answer.descriptors.pop();
        opened.ok_or_else(|| PluginError::internal(format!("{effect}: no descriptor came")))
    }

    /// Reads a value of nexcage's configuration, by JSON pointer.
    ///
    /// # Errors
    ///
    /// As [`Call::effect`].
    pub fn config_read(&self, pointer: &str) -> Result<Value, PluginError> {
        let effect = Effect::ConfigRead.to_string();
        Ok(self.effect(&effect, &json!({"pointer": pointer}))?.value)
    }

    /// Reads facts about the node.
    ///
    /// # Errors
    ///
    /// As [`Call::effect`].
    pub fn system_info(&self) -> Result<Value, PluginError> {
        Ok(self.effect(&Effect::SystemInfo.to_string(), &json!({}))?.value)
    }

    /// Reads the node's load.
    ///
    /// # Errors
    ///
    /// As [`Call::effect`].
    pub fn system_metrics(&self) -> Result<Value, PluginError> {
        Ok(self.effect(&Effect::SystemMetrics.to_string(), &json!({}))?.value)
    }

    /// Opens a file to read.
    ///
    /// # Errors
    ///
    /// As [`Call::effect`].
    pub fn read_file(&self, path: &str) -> Result<File, PluginError> {
        self.open(Effect::FileOpen, &json!({"path": path, "access": "read"}))
            .map(File::from)
    }

    /// Opens a file to write it anew; it is made if it is not there.
    ///
    /// # Errors
    ///
    /// As [`Call::effect`].
    pub fn write_file(&self, path: &str) -> Result<File, PluginError> {
        self.open(Effect::FileOpen, &json!({"path": path, "access": "write"}))
            .map(File::from)
    }

    /// Opens a file to write at its end; it is made if it is not there.
    ///
    /// # Errors
    ///
    /// As [`Call::effect`].
    pub fn append_file(&self, path: &str) -> Result<File, PluginError> {
        self.open(Effect::FileOpen, &json!({"path": path, "access": "append"}))
            .map(File::from)
    }

    /// Connects to an endpoint, such as `10.0.0.1:443`.
    ///
    /// # Errors
    ///
    /// As [`Call::effect`].
    pub fn dial(&self, endpoint: &str) -> Result<TcpStream, PluginError> {
        self.open(Effect::NetworkDial, &json!({"endpoint": endpoint}))
            .map(TcpStream::from)
    }

    /// Listens on an endpoint.
    ///
    /// # Errors
    ///
    /// As [`Call::effect`].
    pub fn listen(&self, endpoint: &str) -> Result<TcpListener, PluginError> {
        self.open(Effect::NetworkListen, &json!({"endpoint": endpoint}))
            .map(TcpListener::from)
    }

    /// Has a standard stream of whoever runs the command: a pipe, a file or the terminal itself.
    ///
    /// # Errors
    ///
    /// As [`Call::effect`]; only [`crate::CliCommand::execute`] may ask.
    pub fn stream(&self, stream: Stream) -> Result<File, PluginError> {
        let name = match stream {
            Stream::Stdin => "stdin",
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        self.open(Effect::StreamOpen, &json!({"stream": name})).map(File::from)
    }
}

/// What the host has given to a sink.
#[derive(Default)]
struct Taken {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

unsafe extern "C" fn write(ctx: *mut c_void, bytes: NxcStr) -> i32 {
    // SAFETY: the host hands back the sink's context during the call, when nothing else uses it.
    let taken = unsafe { &mut *ctx.cast::<Taken>() };
    // SAFETY: lent for this call by the interface.
    let bytes = unsafe { borrow(bytes) };
    if taken.bytes.try_reserve(bytes.len()).is_err() {
        return Status::ResourceLimit.code();
    }
    taken.bytes.extend_from_slice(bytes);
    NXC_OK
}

unsafe extern "C" fn descriptor(ctx: *mut c_void, fd: i32) -> i32 {
    if fd < 0 {
        return Status::InvalidArgument.code();
    }
    // SAFETY: the host hands back the sink's context during the call, when nothing else uses it.
    let taken = unsafe { &mut *ctx.cast::<Taken>() };
    // SAFETY: the interface gives an open descriptor away with success, which is returned.
    taken.descriptors.push(unsafe { OwnedFd::from_raw_fd(fd) });
    NXC_OK
}
