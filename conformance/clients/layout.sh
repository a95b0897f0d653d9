set -eu
# image_archive NAME COMMAND: packs the files of the image as an OCI layout written by hand into $S/NAME.tar, for ctr to
# import as NAME:test; COMMAND is a JSON array.
image_archive() {
    layout=$S/layout-$1
    blobs=$layout/blobs/sha256
    mkdir -p "$blobs"
    cp "$S/rootfs.tar" "$S/layer"
    store "$S/layer"
    layer=$digest layer_size=$size
    printf '{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$2" "$layer" >"$S/config"
    store "$S/config"
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%s}]}' "$digest" "$size" "$layer" "$layer_size" >"$S/manifest"
    store "$S/manifest"
    printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
    printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"io.containerd.image.name":"%s:test"}}]}' "$digest" "$size" "$1" >"$layout/index.json"
    # In this order: ctr 1.6 loses an index that comes before its blobs.
    tar -C "$layout" -cf "$S/$1.tar" oci-layout blobs index.json
}
store() { # file -> digest and size
    digest=$(sha256sum "$1" | cut -d' ' -f1)
    size=$(stat -c %s "$1")
    mv "$1" "$blobs/$digest"
}
# start_containerd: starts it with $S/containerd.toml and waits until it answers.
start_containerd() {
    containerd --config "$S/containerd.toml" >>"$S/containerd.log" 2>&1 &
    echo $! >"$S/containerd.pid"
    n=0
    until ctr version >/dev/null 2>&1; do
        n=$((n + 1))
        [ $n -lt 200 ] || { tail -5 "$S/containerd.log"; exit 1; }
        sleep 0.1
    done
}
# import NAME: imports $S/NAME.tar as NAME:test.
import() {
    # From 2.0 on ctr leaves imports to the daemon unless told otherwise, and that ignores the snapshotter.
    local=$(ctr image import --help | grep -o -- --local || true)
    ctr image import $local --snapshotter native "$S/$1.tar"
    ctr image ls -q | grep -qx "$1:test"
}
