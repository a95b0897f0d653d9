//! A conversation with the runtime, from HELLO to GOODBYE.
//!
//! One call at a time, on the thread that serves. Threads of the plugin may log, measure and ask for effects meanwhile;
//! a cancellation is noticed when the plugin asks whether there is one.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nexcage_plugin_abi::extension::Extension;
use nexcage_plugin_abi::host::{CallError, Function, Host as Offered, LoadError, Loaded};
use nexcage_plugin_abi::status::Status;
use nexcage_plugin_types::frame::{Frame, FrameError, Kind, Method, PROTOCOL};
use nexcage_plugin_types::message::{self, BodyError, Failure, Hello, Ready};
use nexcage_plugin_types::session::{Asked, SessionError};

mod link;
#[cfg(test)]
mod tests;

use link::Link;

/// Why a host ends before its time. The runtime is told by an ERROR frame where that can still be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The socket failed, or the runtime has gone.
    #[error("speak with the runtime")]
    Socket {
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// What came is no frame.
    #[error("read from the runtime")]
    Frame {
        /// What is wrong with it.
        #[source]
        source: FrameError,
    },
    /// What came breaks a rule of the conversation.
    #[error("follow the runtime")]
    Session {
        /// The rule.
        #[source]
        source: SessionError,
    },
    /// HELLO cannot be read.
    #[error("follow the runtime")]
    Body {
        /// What is wrong with it.
        #[source]
        source: BodyError,
    },
    /// The runtime speaks only other protocols.
    #[error("speak protocol {PROTOCOL}: the runtime knows {} to {}: install both from one release", .0[0], .0[1])]
    Protocol([u32; 2]),
    /// The runtime ended the conversation.
    #[error("the runtime ended the conversation")]
    Ended,
    /// The plugin cannot be loaded.
    #[error("load the plugin")]
    Load {
        /// Why.
        #[source]
        source: LoadError,
    },
    /// The package holds another plugin than its manifest says.
    #[error("load plugin {manifest:?}: its file says that it is {plugin:?}")]
    Name {
        /// In the manifest.
        manifest: String,
        /// In the file.
        plugin: String,
    },
    /// The sandbox could not be made stricter after the plugin had been entered.
    #[error("tighten the sandbox")]
    Tighten {
        /// The step.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The plugin's own start failed.
    #[error("start the plugin")]
    Init {
        /// What the plugin says.
        #[source]
        source: CallError,
    },
}

/// How a host gets at its plugin. The steps happen in this order.
pub struct Steps<L, T> {
    /// Loads the plugin; its constructors and its entry function run in here.
    pub load: L,
    /// Makes the sandbox stricter once nothing more has to be loaded.
    pub tighten: T,
}

/// Serves one plugin until the runtime says GOODBYE.
///
/// * `socket`: connected to the runtime, blocking.
///
/// # Errors
///
/// [`ServeError`]; the runtime has been told, unless the socket is gone.
pub fn serve<L, T>(socket: UnixStream, steps: Steps<L, T>) -> Result<(), ServeError>
where
    L: FnOnce(Box<dyn Offered>) -> Result<Loaded, LoadError>,
    T: FnOnce() -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
{
    // Threads of the plugin may use it for as long as the process lives.
    let link: &'static Link = Box::leak(Box::new(Link::new(socket)));
    let served = start(link, steps).and_then(|plugin| run(link, &plugin));
    if let Err(error) = &served {
        let body = failure(&chain(error));
        // The cause is returned; a runtime that has gone cannot be told.
        let _told = link.send(&Frame::new(Kind::Error, 0, body));
    }
    link.close();
    served
}

fn start<L, T>(link: &'static Link, steps: Steps<L, T>) -> Result<Loaded, ServeError>
where
    L: FnOnce(Box<dyn Offered>) -> Result<Loaded, LoadError>,
    T: FnOnce() -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
{
    let (_, frame) = link.receive()?;
    let hello: Hello = message::parse(&frame).map_err(|source| ServeError::Body { source })?;
    let [oldest, newest] = hello.protocol;
    if !(oldest..=newest).contains(&PROTOCOL) {
        return Err(ServeError::Protocol(hello.protocol));
    }
    link.set_log_level(hello.log_level);
    let plugin = (steps.load)(Box::new(link)).map_err(|source| ServeError::Load { source })?;
    if plugin.name() != hello.plugin {
        return Err(ServeError::Name {
            manifest: hello.plugin,
            plugin: message::printable(plugin.name()),
        });
    }
    (steps.tighten)().map_err(|source| ServeError::Tighten { source })?;
    let config = serde_json::to_vec(&hello.config).unwrap_or_default();
    let started = plugin.call(Function::Init, 0, &config);
    started.map_err(|source| ServeError::Init { source })?;
    let ready = Ready {
        protocol: PROTOCOL,
        api: plugin.api_version().0,
        extensions: extensions(&plugin),
    };
    let body = serde_json::to_vec(&ready).unwrap_or_default();
    link.send(&Frame::new(Kind::Ready, 0, body))?;
    Ok(plugin)
}

fn extensions(plugin: &Loaded) -> Vec<String> {
    let has_any = |extension: &Extension| {
        let functions = extension.functions();
        functions.iter().any(|name| plugin.has(Function::Of(*extension, name)))
    };
    let all = Extension::ALL.into_iter().filter(has_any);
    all.map(|extension| extension.id().to_owned()).collect()
}

fn run(link: &'static Link, plugin: &Loaded) -> Result<(), ServeError> {
    loop {
        let (asked, frame) = link.receive()?;
        match asked {
            Asked::Call => {
                link.begin(frame.id, frame.deadline.map(|left| Instant::now() + left));
                let reply = call(plugin, &frame);
                link.reply(&reply)?;
            }
            Asked::Ping => link.send(&Frame::new(Kind::Ping, 0, Vec::new()))?,
            Asked::Leave => {
                // The process ends whatever the plugin answers; a failure is worth a line of its log.
                if let Err(error) = plugin.call(Function::Deinit, 0, b"") {
                    link.warn(&chain(&error));
                }
                return link.send(&Frame::new(Kind::Goodbye, 0, Vec::new()));
            }
            Asked::Failed => return Err(ServeError::Ended),
            // A cancellation that crossed the answer.
            _ => {}
        }
    }
}

/// Runs a function of the plugin.
fn call(plugin: &Loaded, asked: &Frame) -> Frame {
    let Some(function) = Method::parse(asked.method).and_then(find) else {
        let text = format!("method {} is unknown to this plugin host", asked.method);
        return refusal(asked, Status::Unsupported, &text);
    };
    match plugin.call(function, asked.id.into(), &asked.body) {
        Ok(body) => Frame {
            method: asked.method,
            ..Frame::new(Kind::Reply, asked.id, body)
        },
        Err(CallError::Failed { source, .. }) => refusal(asked, source.status, &source.text),
        Err(error @ CallError::Missing { .. }) => refusal(asked, Status::Unsupported, &error.to_string()),
        Err(error) => refusal(asked, Status::Internal, &error.to_string()),
    }
}

fn find(method: Method) -> Option<Function<'static>> {
    match method {
        Method::CONFIG_RELOAD => return Some(Function::ConfigReload),
        Method::HEALTH_CHECK => return Some(Function::HealthCheck),
        _ => {}
    }
    let (extension, function) = method.function()?;
    Some(Function::Of(Extension::from_id(extension.as_bytes())?, function))
}

fn refusal(asked: &Frame, status: Status, text: &str) -> Frame {
    Frame {
        method: asked.method,
        status: number(status),
        ..Frame::new(Kind::Reply, asked.id, failure(text))
    }
}

/// A status as the wire has it.
fn number(status: Status) -> u32 {
    u32::try_from(status.code()).unwrap_or(u32::MAX)
}

fn failure(text: &str) -> Vec<u8> {
    let message = message::printable(text);
    serde_json::to_vec(&Failure { message }).unwrap_or_default()
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
