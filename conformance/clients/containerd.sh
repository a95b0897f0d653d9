# Starts a containerd of its own below $S, and imports the image.
cat >"$S/containerd.toml" <<TOML
version = 2
root = "$S/lib"
state = "$S/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "$CONTAINERD_ADDRESS"
TOML
start_containerd
image_archive busybox '["sh"]'
import busybox
cat >"$S/bin/ctr-run" <<'EOT'
#!/bin/sh
# ctr run with the runtime under test.
exec ctr run --runc-binary "$RT" --runc-root "$S/runtime" "$@"
EOT
chmod 755 "$S/bin/ctr-run"
