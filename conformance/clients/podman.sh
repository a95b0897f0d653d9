# Readies podman: everything below $S, no network, no systemd, the runtime under test as the only one.
set -eu
cat >"$S/storage.conf" <<EOF
[storage]
driver = "overlay"
graphroot = "$S/lib"
runroot = "$S/state"
EOF
cat >"$CONTAINERS_CONF" <<EOF
[containers]
netns = "none"
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
init_path = "$(command -v catatonit)"
[engine]
runtime = "$RTNAME"
runtime_supports_json = ["$RTNAME"]
cgroup_manager = "cgroupfs"
events_logger = "file"
infra_image = ""
tmp_dir = "$S/libpod"
image_default_transport = "containers-storage:"
[engine.runtimes]
$RTNAME = ["$RT"]
EOF
podman import -q "$S/rootfs.tar" "$IMG"
