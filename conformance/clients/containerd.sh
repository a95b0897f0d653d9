# Starts a containerd of its own below $S and imports the image from an OCI layout written here by hand.
set -eu
cat >"$S/containerd.toml" <<EOF
version = 2
root = "$S/lib"
state = "$S/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "$CONTAINERD_ADDRESS"
EOF
containerd --config "$S/containerd.toml" >"$S/containerd.log" 2>&1 &
layout=$S/layout
blobs=$layout/blobs/sha256
mkdir -p "$blobs"
store() { # file -> digest and size
    digest=$(sha256sum "$1" | cut -d' ' -f1)
    size=$(stat -c %s "$1")
    mv "$1" "$blobs/$digest"
}
cp "$S/rootfs.tar" "$S/layer"
store "$S/layer"
layer=$digest layer_size=$size
printf '{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$layer" >"$S/config"
store "$S/config"
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%s}]}' "$digest" "$size" "$layer" "$layer_size" >"$S/manifest"
store "$S/manifest"
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"io.containerd.image.name":"%s"}}]}' "$digest" "$size" "$IMG" >"$layout/index.json"
# In this order: ctr 1.6 loses an index that comes before its blobs.
tar -C "$layout" -cf "$S/oci.tar" oci-layout blobs index.json
n=0
until ctr version >/dev/null 2>&1; do
    n=$((n + 1))
    [ $n -lt 200 ] || { tail -5 "$S/containerd.log"; exit 1; }
    sleep 0.1
done
# From 2.0 on ctr leaves imports to the daemon unless told otherwise, and that ignores the snapshotter.
local=$(ctr image import --help | grep -o -- --local || true)
ctr image import $local --snapshotter native "$S/oci.tar"
ctr image ls -q | grep -qx "$IMG"
cat >"$S/bin/ctr-run" <<'EOF'
#!/bin/sh
# ctr run with the runtime under test.
exec ctr run --runc-binary "$RT" --runc-root "$S/runtime" "$@"
EOF
chmod 755 "$S/bin/ctr-run"
