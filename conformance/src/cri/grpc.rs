//! Unary gRPC calls over a unix socket: one HTTP/2 stream each, a length-prefixed protobuf message each way.
//!
//! It knows nothing of CRI. The protocol is
//! [gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).

use std::io;
use std::path::{Path, PathBuf};

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

/// Bytes in front of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Names of the status codes, in their order.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// A step of a call that went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrpcError {
    /// The loop that drives the connection.
    #[error("start event loop")]
    Loop { source: io::Error },
    /// Nobody listens there.
    #[error("connect to {path:?}")]
    Connect { path: PathBuf, source: io::Error },
    /// The other side does not speak HTTP/2.
    #[error("open HTTP/2 connection")]
    Handshake { source: h2::Error },
    /// The request could not be written as HTTP.
    #[error("make request {method:?}")]
    Make { method: String, source: http::Error },
    /// The stream broke while the request was sent.
    #[error("send request {method:?}")]
    Send { method: String, source: h2::Error },
    /// The stream broke before the answer was whole.
    #[error("receive answer of {method:?}")]
    Receive { method: String, source: h2::Error },
    /// The answer has no status, or not exactly one message.
    #[error("read answer of {method:?}: {what}")]
    Malformed { method: String, what: &'static str },
    /// The answer is not the message that the method returns.
    #[error("decode answer of {method:?}")]
    Decode { method: String, source: prost::DecodeError },
    /// The service refused.
    #[error("rpc error: code = {code} desc = {text}")]
    Status { code: String, text: String },
}

type Result<T> = std::result::Result<T, GrpcError>;

/// A connection to a gRPC server.
pub(super) struct Channel {
    driver: Runtime,
    requests: SendRequest<Bytes>,
}

impl Channel {
    /// Connects to the server that listens at `path`.
    ///
    /// # Errors
    ///
    /// [`GrpcError::Loop`], [`GrpcError::Connect`], [`GrpcError::Handshake`].
    pub(super) fn open(path: &Path) -> Result<Self> {
        let driver = Builder::new_current_thread().enable_io().build();
        let driver = driver.map_err(|source| GrpcError::Loop { source })?;
        let requests = driver.block_on(async {
            let stream = UnixStream::connect(path).await;
            let stream = stream.map_err(|source| GrpcError::Connect {
                path: path.to_owned(),
                source,
            })?;
            let opened = h2::client::handshake(stream).await;
            let (requests, connection) = opened.map_err(|source| GrpcError::Handshake { source })?;
            // Its end is seen by the streams, which fail with the same error.
            tokio::spawn(connection);
            Ok(requests)
        })?;
        Ok(Self { driver, requests })
    }

    /// Calls a method and waits for its answer.
    ///
    /// * `method`: `package.Service/Method`.
    ///
    /// # Errors
    ///
    /// [`GrpcError::Status`] with the server's words when it refused, else the step that broke.
    pub(super) fn call<A: Message + Default>(&self, method: &str, question: &impl Message) -> Result<A> {
        let requests = self.requests.clone();
        let body = frame(question);
        let answer = self.driver.block_on(async {
            let response = send(requests, method, body).await?;
            receive(response, method).await
        })?;
        A::decode(answer).map_err(|source| GrpcError::Decode {
            method: method.to_owned(),
            source,
        })
    }
}

/// The message with its prefix: not compressed, length.
fn frame(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let mut framed = BytesMut::with_capacity(PREFIX + body.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    framed.put_slice(&body);
    framed.freeze()
}

/// Takes the one message out of the body of an answer.
fn unframe(mut body: Bytes) -> std::result::Result<Bytes, &'static str> {
    if body.len() < PREFIX {
        return Err("no message");
    }
    let prefix = body.split_to(PREFIX);
    let (compressed, length) = prefix.split_at(1);
    let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    match (compressed, length == body.len()) {
        ([0], true) => Ok(body),
        ([0], false) => Err("not one whole message"),
        _ => Err("compressed, which was not asked for"),
    }
}

async fn send(requests: SendRequest<Bytes>, method: &str, body: Bytes) -> Result<ResponseFuture> {
    let refused = |source| GrpcError::Send {
        method: method.to_owned(),
        source,
    };
    let request = Request::post(format!("http://localhost/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .map_err(|source| GrpcError::Make {
            method: method.to_owned(),
            source,
        })?;
    let mut requests = requests.ready().await.map_err(refused)?;
    let (response, mut stream) = requests.send_request(request, false).map_err(refused)?;
    stream.send_data(body, true).map_err(refused)?;
    Ok(response)
}

async fn receive(response: ResponseFuture, method: &str) -> Result<Bytes> {
    let broken = |source| GrpcError::Receive {
        method: method.to_owned(),
        source,
    };
    let (head, mut stream) = response.await.map_err(broken)?.into_parts();
    let body = read_body(&mut stream).await.map_err(broken)?;
    // A server that refuses at once puts the status into the headers.
    let trailers = stream.trailers().await.map_err(broken)?.unwrap_or(head.headers);
    let malformed = |what| GrpcError::Malformed {
        method: method.to_owned(),
        what,
    };
    match header(&trailers, "grpc-status") {
        None => Err(malformed("no status")),
        Some("0") => unframe(body).map_err(malformed),
        Some(code) => Err(GrpcError::Status {
            code: code_name(code).to_owned(),
            text: unescape(header(&trailers, "grpc-message").unwrap_or_default()),
        }),
    }
}

async fn read_body(stream: &mut RecvStream) -> std::result::Result<Bytes, h2::Error> {
    let mut body = BytesMut::new();
    while let Some(part) = stream.data().await {
        let part = part?;
        stream.flow_control().release_capacity(part.len())?;
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The code's name, or the code itself where it has none.
fn code_name(code: &str) -> &str {
    let named = code.parse::<usize>().ok().and_then(|number| CODES.get(number));
    named.copied().unwrap_or(code)
}

/// Replaces `%XX` by the byte it stands for.
fn unescape(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(part.bytes().skip(2));
            }
            None => {
                bytes.push(b'%');
                bytes.extend(part.bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_zero_a_length_and_the_message() {
        // A string in field 1.
        let framed = frame(&"hi".to_owned());
        assert_eq!(&framed[..], b"\0\0\0\0\x04\x0a\x02hi");
        assert_eq!(unframe(framed).unwrap(), &b"\x0a\x02hi"[..]);
    }

    #[test]
    fn a_body_that_is_not_one_plain_message_is_refused() {
        for (body, reason) in [
            (&b""[..], "no message"),
            (b"\0\0\0\0\x02a", "not one whole message"),
            (b"\0\0\0\0\0a", "not one whole message"),
            (b"\x01\0\0\0\x01a", "compressed, which was not asked for"),
        ] {
            assert_eq!(unframe(Bytes::from_static(body)), Err(reason));
        }
    }

    #[test]
    fn the_message_of_a_status_is_percent_encoded() {
        assert_eq!(unescape("no%0Aquotes: %22x%22 50% %zz"), "no\nquotes: \"x\" 50% %zz");
        assert_eq!(unescape("%C3%A4"), "\u{e4}");
    }

    #[test]
    fn known_codes_have_names() {
        assert_eq!(
            (code_name("5"), code_name("16"), code_name("99")),
            ("NotFound", "Unauthenticated", "99")
        );
    }

    #[test]
    fn a_socket_without_a_server_is_named() {
        let path = std::env::temp_dir().join(format!("nexcage-no-socket-{}", std::process::id()));
        let error = Channel::open(&path).err().unwrap();
        assert!(matches!(error, GrpcError::Connect { path: named, .. } if named == path));
    }
}
