# Readies buildah: storage below $S and the image from a local archive.
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
[engine]
cgroup_manager = "cgroupfs"
EOF
base=$(buildah from scratch)
buildah add -q "$base" "$S/rootfs.tar" /
buildah commit -q "$base" "$IMG"
buildah rm "$base"
