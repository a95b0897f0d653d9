# Starts a dockerd of its own below $S, with the runtime under test as the default and as BuildKit's runc.
set -eu
mkdir -p "$S/docker-bin"
ln -s "$RT" "$S/docker-bin/runc"
echo '{}' >"$S/daemon.json"
# For --userns-remap; the sandbox's /etc is a layer of its own.
echo 'remap:x:64000:64000::/:/bin/false' >>/etc/passwd
echo 'remap:x:64000:' >>/etc/group
echo 'remap:100000:65536' | tee /etc/subuid >/etc/subgid
PATH=$S/docker-bin:$PATH dockerd --config-file "$S/daemon.json" --host "$DOCKER_HOST" --data-root "$S/lib" \
    --exec-root "$S/x" --pidfile "$S/d.pid" --iptables=false --ip6tables=false --bridge=none \
    --storage-driver overlay2 --exec-opt native.cgroupdriver=cgroupfs \
    --add-runtime "tested=$RT" --default-runtime tested >"$S/dockerd.log" 2>&1 &
n=0
until docker version >/dev/null 2>&1; do
    n=$((n + 1))
    [ $n -lt 200 ] || { tail -5 "$S/dockerd.log"; exit 1; }
    sleep 0.1
done
docker import "$S/rootfs.tar" "$IMG"
