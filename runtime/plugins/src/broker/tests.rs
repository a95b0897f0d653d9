use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use nexcage_plugin_types::Capability;
use nexcage_plugin_types::broker::Effect;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Broker, Streams};
use crate::audit::{self, Audit, Kind, Record};
use crate::connection::Answer;

struct Node {
    folder: TempDir,
    audit: Audit,
    config: Value,
}

impl Node {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let audit = Audit::new(folder.path().join("audit.jsonl"));
        let config = json!({"plugins": {"hello": {"config": {"greeting": "hi"}}}, "security": {"secret": 1}});
        Self { folder, audit, config }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn ask(&self, grants: &[String], effect: Effect, body: &Value) -> Answer {
        let grants: Vec<Capability> = grants.iter().map(|grant| grant.parse().unwrap()).collect();
        let broker = Broker {
            plugin: "hello",
            grants: &grants,
            config: &self.config,
            container: "web1",
            audit: &self.audit,
            streams: Streams::Closed,
            commands: None,
            settings: None,
            containers: None,
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        broker.perform(effect.number(), &serde_json::to_vec(body).unwrap(), deadline)
    }

    fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        audit::read(self.audit.path(), |_, record| {
            records.push(record.unwrap());
            true
        })
        .unwrap();
        records
    }

    /// The effect is refused with this status and text, and that is on record.
    #[track_caller]
    fn check_refused(&self, grants: &[String], effect: Effect, body: &Value, expected: (u32, &str)) {
        let answer = self.ask(grants, effect, body);
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, told["message"].as_str().unwrap()), expected);
        assert!(answer.fd.is_none());
        let last = self.records().pop().unwrap();
        assert_eq!(last.text, expected.1);
        let kind = if expected.0 == 3 { Kind::Denial } else { Kind::Broker };
        assert_eq!(
            (last.kind, last.plugin.as_str(), last.container.as_str()),
            (kind, "hello", "web1")
        );
    }

    #[track_caller]
    fn answer(&self, grants: &[String], effect: Effect, body: &Value) -> Answer {
        let answer = self.ask(grants, effect, body);
        assert_eq!(answer.status, 0, "{}", String::from_utf8_lossy(&answer.body));
        let last = self.records().pop().unwrap();
        assert_eq!(last.kind, Kind::Broker);
        assert!(
            last.text.starts_with(&format!("{effect} by capability ")),
            "{}",
            last.text
        );
        answer
    }
}

fn no_grants() -> Vec<String> {
    Vec::new()
}

#[expect(clippy::disallowed_methods, reason = "a file of the test's own folder")]
fn write(path: impl AsRef<Path>, text: &str) {
    fs::write(path, text).unwrap();
}

#[test]
fn config_is_read_at_and_below_what_is_granted() {
    let node = Node::new();
    let grants = ["config_read:/plugins/hello".to_owned()];
    let read = |pointer: &str| json!({ "pointer": pointer });
    let answer = node.answer(&grants, Effect::ConfigRead, &read("/plugins/hello/config/greeting"));
    assert_eq!(answer.body, b"\"hi\"");
    let secret = "capability config_read is not granted for \"/security/secret\"";
    node.check_refused(&grants, Effect::ConfigRead, &read("/security/secret"), (3, secret));
    let beside = "capability config_read is not granted for \"/plugins/hello2\"";
    node.check_refused(&grants, Effect::ConfigRead, &read("/plugins/hello2"), (3, beside));
    let none = "capability config_read is not granted for \"/plugins/hello\"";
    node.check_refused(&no_grants(), Effect::ConfigRead, &read("/plugins/hello"), (3, none));
    node.check_refused(
        &grants,
        Effect::ConfigRead,
        &read("/plugins/hello/no"),
        (4, "find \"/plugins/hello/no\""),
    );
}

#[test]
fn facts_and_load_of_the_node_need_a_grant() {
    let node = Node::new();
    let info = node.answer(&["system_info".to_owned()], Effect::SystemInfo, &json!({}));
    let info: Value = serde_json::from_slice(&info.body).unwrap();
    assert_eq!(
        info["kernel"],
        fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim_end()
    );
    assert!(info["memory_bytes"].as_u64().unwrap() > 1 << 20);
    let metrics = node.answer(&["system_metrics".to_owned()], Effect::SystemMetrics, &json!({}));
    let metrics: Value = serde_json::from_slice(&metrics.body).unwrap();
    assert_eq!(metrics["load"].as_array().unwrap().len(), 3);

    let text = "capability system_info is not granted for \"system.info\"";
    node.check_refused(
        &["system_metrics".to_owned()],
        Effect::SystemInfo,
        &json!({}),
        (3, text),
    );
    let text = "capability system_metrics is not granted for \"system.metrics\"";
    node.check_refused(
        &["system_info".to_owned()],
        Effect::SystemMetrics,
        &json!({}),
        (3, text),
    );
}

#[test]
fn a_granted_file_is_opened_to_read_and_nothing_more() {
    let node = Node::new();
    write(node.path("note"), "text");
    let grants = [format!("filesystem_read:{}", node.path("").trim_end_matches('/'))];
    let asked = json!({"path": node.path("note"), "access": "read"});
    let mut file = File::from(node.answer(&grants, Effect::FileOpen, &asked).fd.unwrap());
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "text");
    assert!(file.write_all(b"x").is_err());

    let write = json!({"path": node.path("note"), "access": "write"});
    let text = format!("capability filesystem_write is not granted for {:?}", node.path("note"));
    node.check_refused(&grants, Effect::FileOpen, &write, (3, &text));
    let outside = json!({"path": "/etc/passwd", "access": "read"});
    let text = "capability filesystem_read is not granted for \"/etc/passwd\"";
    node.check_refused(&grants, Effect::FileOpen, &outside, (3, text));
}

#[test]
fn files_are_written_anew_or_at_their_end() {
    let node = Node::new();
    let path = node.path("log");
    let grants = [format!("filesystem_write:{path}")];
    for (access, text) in [("write", "one"), ("append", "two"), ("write", "3"), ("append", "4")] {
        let answer = node.answer(&grants, Effect::FileOpen, &json!({"path": path, "access": access}));
        File::from(answer.fd.unwrap()).write_all(text.as_bytes()).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "34");
    let text = format!("capability filesystem_read is not granted for {path:?}");
    node.check_refused(
        &grants,
        Effect::FileOpen,
        &json!({"path": path, "access": "read"}),
        (3, &text),
    );
}

#[test]
fn links_and_what_is_no_file_are_refused() {
    let node = Node::new();
    let grants = ["filesystem_read:/".to_owned(), "filesystem_write:/".to_owned()];
    symlink("/etc/passwd", node.path("link")).unwrap();
    symlink("/etc", node.path("folder")).unwrap();
    for path in [
        node.path("link"),
        node.path("folder/passwd"),
        "/proc/self/root/etc/passwd".to_owned(),
    ] {
        let text = format!("open {path:?}: Too many levels of symbolic links (os error 40)");
        node.check_refused(
            &grants,
            Effect::FileOpen,
            &json!({"path": path, "access": "read"}),
            (7, &text),
        );
    }
    symlink("/dev/null", node.path("dangling")).unwrap();
    let dangling = json!({"path": node.path("dangling"), "access": "write"});
    let text = format!(
        "open {:?}: Too many levels of symbolic links (os error 40)",
        node.path("dangling")
    );
    node.check_refused(&grants, Effect::FileOpen, &dangling, (7, &text));
    for path in ["/dev/null".to_owned(), node.path("").trim_end_matches('/').to_owned()] {
        let text = format!("open {path:?}: name a regular file");
        node.check_refused(
            &grants,
            Effect::FileOpen,
            &json!({"path": path, "access": "read"}),
            (1, &text),
        );
    }
}

#[test]
fn dots_and_unknown_fields_are_no_question() {
    let node = Node::new();
    let grants = ["filesystem_read:/".to_owned()];
    for body in [
        json!({"path": "/a/../etc/passwd", "access": "read"}),
        json!({"path": "etc/passwd", "access": "read"}),
        json!({"path": "/etc/passwd", "access": "own"}),
        json!({"path": "/etc/passwd", "access": "read", "mode": 4}),
        json!(["/etc/passwd"]),
        Value::Null,
    ] {
        let answer = node.ask(&grants, Effect::FileOpen, &body);
        assert_eq!((answer.status, answer.fd.is_some()), (1, false), "{body}");
    }
    assert_eq!(node.records().len(), 6);
}

#[test]
fn sockets_lead_to_granted_endpoints_only() {
    let node = Node::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let grants = [format!("network_client:{endpoint}")];
    let asked = json!({ "endpoint": endpoint });
    let dialled = node.answer(&grants, Effect::NetworkDial, &asked).fd.unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    TcpStream::from(dialled).write_all(b"hello").unwrap();
    let mut text = String::new();
    accepted.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");

    let text = "capability network_client is not granted for \"127.0.0.1:1\"";
    node.check_refused(
        &grants,
        Effect::NetworkDial,
        &json!({"endpoint": "127.0.0.1:1"}),
        (3, text),
    );
    let text = format!("capability network_server is not granted for {endpoint:?}");
    node.check_refused(&grants, Effect::NetworkListen, &asked, (3, &text));
    let named = ["network_client:example.org:80".to_owned()];
    let text = "use endpoint \"example.org:80\": give an IP address: names are not looked up for plugins";
    node.check_refused(
        &named,
        Effect::NetworkDial,
        &json!({"endpoint": "example.org:80"}),
        (1, text),
    );
}

#[test]
fn a_granted_endpoint_is_listened_on() {
    let node = Node::new();
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let grants = [format!("network_server:{free}")];
    let listener = TcpListener::from(
        node.answer(&grants, Effect::NetworkListen, &json!({"endpoint": free}))
            .fd
            .unwrap(),
    );
    let client = TcpStream::connect(&free).unwrap();
    assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
}

#[test]
fn what_is_not_offered_says_so() {
    let node = Node::new();
    let text = "effect container.create is not offered by this nexcage";
    node.check_refused(
        &["container_create".to_owned()],
        Effect::ContainerCreate,
        &json!({"id": "web1", "bundle": "/srv/web1"}),
        (2, text),
    );
}

#[test]
fn nothing_happens_that_cannot_be_recorded() {
    let node = Node::new();
    let path = node.path("note");
    let grants = [format!("filesystem_write:{path}")];
    fs::create_dir(node.audit.path()).unwrap();
    let answer = node.ask(&grants, Effect::FileOpen, &json!({"path": path, "access": "append"}));
    let told = String::from_utf8(answer.body).unwrap();
    assert_eq!((answer.status, answer.fd.is_some()), (7, false), "{told}");
    assert!(told.contains("record the effect: keep audit log"), "{told}");
    assert!(!Path::new(&path).exists());
}
