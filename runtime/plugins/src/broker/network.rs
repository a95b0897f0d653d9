//! `network.dial` and `network.listen`: TCP sockets of the node, for `network_client` and `network_server`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use nexcage_plugin_types::text::Endpoint;
use nexcage_plugin_types::{Capability, CapabilityName};
use nexcage_sys::sockets;
use serde::Deserialize;

use super::{Done, Question, Refusal};

/// `{"endpoint": "10.0.0.1:443"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct At {
    endpoint: Endpoint,
}

/// `{"family": "ipv4", "protocol": 1}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    family: Family,
    protocol: u8,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Family {
    Ipv4,
    Ipv6,
}

/// Makes a raw socket of the node's network; the runtime needs `CAP_NET_RAW` for it.
pub(super) fn raw(question: &Question<'_>, asked: &Raw) -> Result<Done, Refusal> {
    question.check_granted(CapabilityName::NetworkRaw, "network.raw", |_| true)?;
    let made = sockets::open_raw(matches!(asked.family, Family::Ipv6), asked.protocol);
    made.map(Done::open).map_err(|source| Refusal::Failed {
        what: "make a raw socket".into(),
        source,
    })
}

pub(super) fn dial(question: &Question<'_>, asked: &At, deadline: Instant) -> Result<Done, Refusal> {
    let endpoint = asked.endpoint.as_str();
    question.check_granted(CapabilityName::NetworkClient, endpoint, |grant| match grant {
        Capability::NetworkClient { endpoints } => endpoints.contains(&asked.endpoint),
        _ => false,
    })?;
    let address = address(endpoint)?;
    let what = format!("connect to {endpoint}");
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Refusal::Late(what));
    }
    match TcpStream::connect_timeout(&address, left) {
        Ok(stream) => Ok(Done::open(stream)),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Refusal::Late(what)),
        Err(source) => Err(Refusal::Failed { what, source }),
    }
}

pub(super) fn listen(question: &Question<'_>, asked: &At) -> Result<Done, Refusal> {
    let endpoint = asked.endpoint.as_str();
    question.check_granted(CapabilityName::NetworkServer, endpoint, |grant| match grant {
        Capability::NetworkServer { endpoints } => endpoints.contains(&asked.endpoint),
        _ => false,
    })?;
    match TcpListener::bind(address(endpoint)?) {
        Ok(listener) => Ok(Done::open(listener)),
        Err(source) => Err(Refusal::Failed {
            what: format!("listen on {endpoint}"),
            source,
        }),
    }
}

/// The address of an endpoint. Names are not looked up: whoever answers for a name would decide where a plugin connects.
fn address(endpoint: &str) -> Result<SocketAddr, Refusal> {
    if let Some(port) = endpoint.strip_prefix("localhost:") {
        let port = port.parse().unwrap_or_default();
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    endpoint.parse().map_err(|_no_address| Refusal::Argument {
        what: format!("use endpoint {endpoint:?}"),
        fix: "give an IP address: names are not looked up for plugins",
    })
}
