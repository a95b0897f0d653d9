# Makes the only image there is: busybox with two users, from the machine's static busybox, without a network.
set -eu
ip link set lo up
mkdir -p "$S/rootfs" && cd "$S/rootfs"
mkdir -p bin etc tmp proc sys dev run root work data
chmod 1777 tmp
cp "$(command -v busybox)" bin/busybox
for applet in $(bin/busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "bin/$applet"
done
printf 'root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1001:worker:/work:/bin/sh\n' >etc/passwd
printf 'root:x:0:\nworkers:x:1001:\nextra:x:2000:worker\n' >etc/group
echo text >etc/notexec
echo image >data/file
chown 1000:1001 work
# A program that ends at SIGTERM with a code of its own, and says which signals it gets.
cat >bin/trapper <<'EOF'
#!/bin/sh
trap 'echo got TERM; exit 43' TERM
trap 'echo got USR1' USR1
trap 'echo got HUP' HUP
echo ready
while :; do sleep 0.1; done
EOF
# The first process of a pod: ends at SIGTERM, and reaps those who have lost their parent.
cat >bin/pause <<'EOF'
#!/bin/sh
trap 'exit 0' TERM INT
while :; do sleep 1000 & wait $!; done
EOF
chmod 755 bin/trapper bin/pause
tar -C "$S/rootfs" -cf "$S/rootfs.tar" .
