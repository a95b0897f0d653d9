//! The messages of CRI's runtime.v1 that the verbs need, with the fields that cases set or read.
//!
//! Names and numbers are those of
//! [api.proto](https://github.com/kubernetes/cri-api/blob/v0.35.0/pkg/apis/runtime/v1/api.proto). An unknown field in a
//! case's JSON is an error; one in an answer of the server is passed over, as protobuf does.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

type Map = HashMap<String, String>;

macro_rules! messages {
    ($($name:ident { $($field:ident: $type:ty, ($($number:tt)+);)* })*) => {$(
        #[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name {
            $(#[prost($($number)+)] pub(super) $field: $type,)*
        }
    )*};
}

// Shared parts.
messages! {
    Nothing {}
    Number {
        value: i64, (int64, tag = 1);
    }
    Unsigned {
        value: u64, (uint64, tag = 1);
    }
    KeyValue {
        key: String, (string, tag = 1);
        value: String, (string, tag = 2);
    }
    ImageSpec {
        image: String, (string, tag = 1);
    }
    NamespaceOption {
        network: i32, (int32, tag = 1);
        pid: i32, (int32, tag = 2);
        ipc: i32, (int32, tag = 3);
        target_id: String, (string, tag = 4);
    }
    SecurityProfile {
        profile_type: i32, (int32, tag = 1);
        localhost_ref: String, (string, tag = 2);
    }
    Resources {
        cpu_period: i64, (int64, tag = 1);
        cpu_quota: i64, (int64, tag = 2);
        cpu_shares: i64, (int64, tag = 3);
        memory_limit_in_bytes: i64, (int64, tag = 4);
        oom_score_adj: i64, (int64, tag = 5);
        cpuset_cpus: String, (string, tag = 6);
        cpuset_mems: String, (string, tag = 7);
        memory_swap_limit_in_bytes: i64, (int64, tag = 10);
    }
}

// Pods.
messages! {
    PodMetadata {
        name: String, (string, tag = 1);
        uid: String, (string, tag = 2);
        namespace: String, (string, tag = 3);
        attempt: u32, (uint32, tag = 4);
    }
    DnsConfig {
        servers: Vec<String>, (string, repeated, tag = 1);
        searches: Vec<String>, (string, repeated, tag = 2);
        options: Vec<String>, (string, repeated, tag = 3);
    }
    PodSecurity {
        namespace_options: Option<NamespaceOption>, (message, optional, tag = 1);
        run_as_user: Option<Number>, (message, optional, tag = 3);
        readonly_rootfs: bool, (bool, tag = 4);
        supplemental_groups: Vec<i64>, (int64, repeated, tag = 5);
        privileged: bool, (bool, tag = 6);
        run_as_group: Option<Number>, (message, optional, tag = 8);
        seccomp: Option<SecurityProfile>, (message, optional, tag = 9);
    }
    PodLinux {
        cgroup_parent: String, (string, tag = 1);
        security_context: Option<PodSecurity>, (message, optional, tag = 2);
        sysctls: Map, (map = "string, string", tag = 3);
    }
    PodConfig {
        metadata: Option<PodMetadata>, (message, optional, tag = 1);
        hostname: String, (string, tag = 2);
        log_directory: String, (string, tag = 3);
        dns_config: Option<DnsConfig>, (message, optional, tag = 4);
        labels: Map, (map = "string, string", tag = 6);
        annotations: Map, (map = "string, string", tag = 7);
        linux: Option<PodLinux>, (message, optional, tag = 8);
    }
    RunPodRequest {
        config: Option<PodConfig>, (message, optional, tag = 1);
        runtime_handler: String, (string, tag = 2);
    }
    PodRequest {
        pod_sandbox_id: String, (string, tag = 1);
    }
    PodReply {
        pod_sandbox_id: String, (string, tag = 1);
    }
    PodStatusRequest {
        pod_sandbox_id: String, (string, tag = 1);
        verbose: bool, (bool, tag = 2);
    }
    PodNetwork {
        ip: String, (string, tag = 1);
    }
    PodStatus {
        id: String, (string, tag = 1);
        metadata: Option<PodMetadata>, (message, optional, tag = 2);
        state: i32, (int32, tag = 3);
        created_at: i64, (int64, tag = 4);
        network: Option<PodNetwork>, (message, optional, tag = 5);
        labels: Map, (map = "string, string", tag = 7);
        annotations: Map, (map = "string, string", tag = 8);
        runtime_handler: String, (string, tag = 9);
    }
    PodStatusReply {
        status: Option<PodStatus>, (message, optional, tag = 1);
        info: Map, (map = "string, string", tag = 2);
    }
    Pod {
        id: String, (string, tag = 1);
        metadata: Option<PodMetadata>, (message, optional, tag = 2);
        state: i32, (int32, tag = 3);
        created_at: i64, (int64, tag = 4);
        labels: Map, (map = "string, string", tag = 5);
    }
    Pods {
        items: Vec<Pod>, (message, repeated, tag = 1);
    }
}

// Containers.
messages! {
    Metadata {
        name: String, (string, tag = 1);
        attempt: u32, (uint32, tag = 2);
    }
    Mount {
        container_path: String, (string, tag = 1);
        host_path: String, (string, tag = 2);
        readonly: bool, (bool, tag = 3);
        propagation: i32, (int32, tag = 5);
    }
    Device {
        container_path: String, (string, tag = 1);
        host_path: String, (string, tag = 2);
        permissions: String, (string, tag = 3);
    }
    Capabilities {
        add_capabilities: Vec<String>, (string, repeated, tag = 1);
        drop_capabilities: Vec<String>, (string, repeated, tag = 2);
    }
    Security {
        capabilities: Option<Capabilities>, (message, optional, tag = 1);
        privileged: bool, (bool, tag = 2);
        namespace_options: Option<NamespaceOption>, (message, optional, tag = 3);
        run_as_user: Option<Number>, (message, optional, tag = 5);
        run_as_username: String, (string, tag = 6);
        readonly_rootfs: bool, (bool, tag = 7);
        supplemental_groups: Vec<i64>, (int64, repeated, tag = 8);
        no_new_privs: bool, (bool, tag = 11);
        run_as_group: Option<Number>, (message, optional, tag = 12);
        masked_paths: Vec<String>, (string, repeated, tag = 13);
        readonly_paths: Vec<String>, (string, repeated, tag = 14);
        seccomp: Option<SecurityProfile>, (message, optional, tag = 15);
    }
    Linux {
        resources: Option<Resources>, (message, optional, tag = 1);
        security_context: Option<Security>, (message, optional, tag = 2);
    }
    ContainerConfig {
        metadata: Option<Metadata>, (message, optional, tag = 1);
        image: Option<ImageSpec>, (message, optional, tag = 2);
        command: Vec<String>, (string, repeated, tag = 3);
        args: Vec<String>, (string, repeated, tag = 4);
        working_dir: String, (string, tag = 5);
        envs: Vec<KeyValue>, (message, repeated, tag = 6);
        mounts: Vec<Mount>, (message, repeated, tag = 7);
        devices: Vec<Device>, (message, repeated, tag = 8);
        labels: Map, (map = "string, string", tag = 9);
        annotations: Map, (map = "string, string", tag = 10);
        log_path: String, (string, tag = 11);
        stdin: bool, (bool, tag = 12);
        tty: bool, (bool, tag = 14);
        linux: Option<Linux>, (message, optional, tag = 15);
    }
    CreateRequest {
        pod_sandbox_id: String, (string, tag = 1);
        config: Option<ContainerConfig>, (message, optional, tag = 2);
        sandbox_config: Option<PodConfig>, (message, optional, tag = 3);
    }
    ContainerRequest {
        container_id: String, (string, tag = 1);
    }
    ContainerReply {
        container_id: String, (string, tag = 1);
    }
    StopRequest {
        container_id: String, (string, tag = 1);
        timeout: i64, (int64, tag = 2);
    }
    StatusRequest {
        container_id: String, (string, tag = 1);
        verbose: bool, (bool, tag = 2);
    }
    Status {
        id: String, (string, tag = 1);
        metadata: Option<Metadata>, (message, optional, tag = 2);
        state: i32, (int32, tag = 3);
        created_at: i64, (int64, tag = 4);
        started_at: i64, (int64, tag = 5);
        finished_at: i64, (int64, tag = 6);
        exit_code: i32, (int32, tag = 7);
        image: Option<ImageSpec>, (message, optional, tag = 8);
        image_ref: String, (string, tag = 9);
        reason: String, (string, tag = 10);
        message: String, (string, tag = 11);
        labels: Map, (map = "string, string", tag = 12);
        annotations: Map, (map = "string, string", tag = 13);
        mounts: Vec<Mount>, (message, repeated, tag = 14);
        log_path: String, (string, tag = 15);
    }
    StatusReply {
        status: Option<Status>, (message, optional, tag = 1);
        info: Map, (map = "string, string", tag = 2);
    }
    Container {
        id: String, (string, tag = 1);
        pod_sandbox_id: String, (string, tag = 2);
        metadata: Option<Metadata>, (message, optional, tag = 3);
        state: i32, (int32, tag = 6);
        labels: Map, (map = "string, string", tag = 8);
    }
    Containers {
        containers: Vec<Container>, (message, repeated, tag = 1);
    }
    UpdateRequest {
        container_id: String, (string, tag = 1);
        linux: Option<Resources>, (message, optional, tag = 2);
    }
    ExecRequest {
        container_id: String, (string, tag = 1);
        cmd: Vec<String>, (string, repeated, tag = 2);
        timeout: i64, (int64, tag = 3);
    }
    ExecReply {
        stdout: Vec<u8>, (bytes = "vec", tag = 1);
        stderr: Vec<u8>, (bytes = "vec", tag = 2);
        exit_code: i32, (int32, tag = 3);
    }
}

// The service, and what containers use.
messages! {
    VersionReply {
        version: String, (string, tag = 1);
        runtime_name: String, (string, tag = 2);
        runtime_version: String, (string, tag = 3);
        runtime_api_version: String, (string, tag = 4);
    }
    InfoRequest {
        verbose: bool, (bool, tag = 1);
    }
    Condition {
        r#type: String, (string, tag = 1);
        status: bool, (bool, tag = 2);
        reason: String, (string, tag = 3);
        message: String, (string, tag = 4);
    }
    Conditions {
        conditions: Vec<Condition>, (message, repeated, tag = 1);
    }
    InfoReply {
        status: Option<Conditions>, (message, optional, tag = 1);
        info: Map, (map = "string, string", tag = 2);
    }
    Cpu {
        timestamp: i64, (int64, tag = 1);
        usage_core_nano_seconds: Option<Unsigned>, (message, optional, tag = 2);
    }
    Memory {
        timestamp: i64, (int64, tag = 1);
        working_set_bytes: Option<Unsigned>, (message, optional, tag = 2);
        available_bytes: Option<Unsigned>, (message, optional, tag = 3);
        usage_bytes: Option<Unsigned>, (message, optional, tag = 4);
        rss_bytes: Option<Unsigned>, (message, optional, tag = 5);
    }
    Attributes {
        id: String, (string, tag = 1);
        metadata: Option<Metadata>, (message, optional, tag = 2);
    }
    Stats {
        attributes: Option<Attributes>, (message, optional, tag = 1);
        cpu: Option<Cpu>, (message, optional, tag = 2);
        memory: Option<Memory>, (message, optional, tag = 3);
    }
    StatsReply {
        stats: Option<Stats>, (message, optional, tag = 1);
    }
    Process {
        timestamp: i64, (int64, tag = 1);
        process_count: Option<Unsigned>, (message, optional, tag = 2);
    }
    PodLinuxStats {
        cpu: Option<Cpu>, (message, optional, tag = 1);
        memory: Option<Memory>, (message, optional, tag = 2);
        process: Option<Process>, (message, optional, tag = 4);
        containers: Vec<Stats>, (message, repeated, tag = 5);
    }
    PodStats {
        linux: Option<PodLinuxStats>, (message, optional, tag = 2);
    }
    PodStatsReply {
        stats: Option<PodStats>, (message, optional, tag = 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn a_misspelt_field_in_a_config_is_an_error() {
        let error = serde_json::from_str::<ContainerConfig>(r#"{"linux":{"resource":{}}}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `resource`"), "{error}");
    }

    #[test]
    fn fields_have_the_numbers_of_the_protocol() {
        let config: ContainerConfig = serde_json::from_str(r#"{"image":{"image":"b"},"log_path":"l"}"#).unwrap();
        assert_eq!(config.encode_to_vec(), b"\x12\x03\x0a\x01b\x5a\x01l");
    }

    #[test]
    fn unknown_fields_of_an_answer_are_passed_over() {
        let reply = PodReply::decode(&b"\x0a\x02id\x9a\x06\x01x"[..]).unwrap();
        assert_eq!(reply.pod_sandbox_id, "id");
    }
}
