# Starts a containerd of its own below $S with the CRI plugin, the runtime under test as its only one, and a CNI bridge.
export CONTAINERD_NAMESPACE=k8s.io
mkdir -p "$S/cni" "$S/pods" "$S/logs"
cat >"$S/containerd.toml" <<TOML
version = 2
root = "$S/lib"
state = "$S/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "$CONTAINERD_ADDRESS"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/pause:test"
# Without CAP_SYS_RESOURCE the score of the pod's first process could not be lowered.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$S/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
default_runtime_name = "tested"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tested]
runtime_type = "io.containerd.runc.v2"
privileged_without_host_devices = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tested.options]
BinaryName = "$RT"
Root = "$S/runtime"
TOML
cat >"$S/cni/10-bridge.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "pods0", "isGateway": true,
  "ipam": {"type": "host-local", "dataDir": "$S/cni-leases", "ranges": [[{"subnet": "10.88.0.0/24"}]]}}]}
JSON
# On a node sysfs is mounted writable already; where the first mount of a network namespace is read-only, all are.
mkdir "$S/sysfs"
mount -t sysfs sysfs "$S/sysfs"
start_containerd
image_archive busybox '["sh"]'
image_archive pause '["pause"]'
for name in busybox pause; do
    import "$name"
    ctr image tag "$name:test" "docker.io/library/$name:test"
done
tool() { # name; its text is standard input
    { echo '#!/bin/sh'; cat; } >"$S/bin/$1"
    chmod 755 "$S/bin/$1"
}
tool cri <<'EOT'
exec nexcage-clients cri --socket "$CONTAINERD_ADDRESS" "$@"
EOT
tool pod <<'EOT'
# pod NAME [FILTER]: runs a pod with the network of the node; the jq filter changes its config.
set -eu
jq -cn --arg name "$1" --arg logs "$S/logs/$1" '
    def sec: .linux.security_context;
    def ns: sec.namespace_options;
    {metadata: {name: $name, uid: $name, namespace: "tested"}, log_directory: $logs} | ns.network = 2 |'"${2:-.}" >"$S/pods/$1"
cri runp "$(cat "$S/pods/$1")"
EOT
tool box <<'EOT'
# box POD NAME FILTER COMMAND...: creates and starts a container; the jq filter changes its config.
set -eu
pod=$1 name=$2 filter=$3
shift 3
config=$(jq -cn --arg name "$name" --arg image "$IMG" '
    def sec: .linux.security_context;
    def ns: sec.namespace_options;
    def res: .linux.resources;
    {metadata: {name: $name}, image: {image: $image}, log_path: ($name + ".log"), command: $ARGS.positional} |
    ns.network = 2 | ns.pid = 1 |'"$filter" --args -- "$@")
cri create "$pod" "$config" "$(cat "$S/pods/$pod")" >/dev/null
cri start "$name"
EOT
tool ended <<'EOT'
# ended NAME: waits for the end of a container; prints its exit code and the reason.
n=0
until [ "$(cri inspect "$1" | jq .status.state)" = 2 ]; do
    n=$((n + 1))
    [ $n -lt 150 ] || { echo "$1 does not end"; exit 1; }
    sleep 0.1
done
cri inspect "$1" | jq -r '.status | "\(.exit_code) \(.reason)"'
EOT
tool log <<'EOT'
# log POD NAME: what a container wrote, without the time and the stream of each line.
cut -d' ' -f4- "$S/logs/$1/$2.log"
EOT
tool once <<'EOT'
# once POD NAME FILTER COMMAND...: runs a container to its end, prints what it wrote, removes it, exits with its code.
set -eu
box "$@"
code=$(ended "$2" | cut -d' ' -f1)
log "$1" "$2"
cri rm "$2"
exit "$code"
EOT
tool init-of <<'EOT'
# init-of NAME: the process id of a container's first process.
cri inspect "$1" | jq -r '.info.info | fromjson | .pid'
EOT
tool restart-containerd <<'EOT'
# restart-containerd: ends containerd and starts it again; containers live on.
pid=$(cat "$S/containerd.pid")
kill "$pid"
while [ -e "/proc/$pid" ]; do sleep 0.05; done
setsid containerd --config "$S/containerd.toml" >>"$S/containerd.log" 2>&1 &
echo $! >"$S/containerd.pid"
until cri info 2>/dev/null | grep -q RuntimeReady; do sleep 0.1; done
EOT
tool away <<'EOT'
# away POD...: stops and removes pods.
for pod; do cri stopp "$pod" && cri rmp "$pod" || exit; done
EOT
