#!/bin/busybox sh
# First process of the guest. The root file system is the host's tree, read-only: this lays a tmpfs over it, mounts what
# the job asks for and hands over to systemd, or, in plain mode, runs the command itself.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mount -t proc proc /proc
mount -t hostfs modules /lib/modules -o /modules
busybox insmod "/lib/modules/$(uname -r)/kernel/fs/overlayfs/overlay.ko"

mount -t tmpfs -o mode=0755 layers /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work root /mnt/root
cd /mnt/root
mount -t proc proc proc
mount -t devtmpfs dev dev
mount -t hostfs modules lib/modules -o /modules
pivot_root . mnt
exec <dev/null >dev/console 2>&1
umount -l /mnt

mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=0755,nosuid,nodev run /run
mkdir /dev/pts /dev/shm
mount -t devpts -o mode=0620,gid=5,ptmxmode=0666 devpts /dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev shm /dev/shm
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup

# An overlay cannot be the upper layer of another one: container storage lives on tmpfs.
mount -t tmpfs -o mode=1777 tmp /tmp
mkdir -p /var/lib/containers /home/dev
mount -t tmpfs -o mode=0700 containers /var/lib/containers
mount -t tmpfs -o mode=0700,uid=1000,gid=1000 home /home/dev

mkdir -p /run/job
mount -t hostfs job /run/job -o /job
mkdir /mnt/project /mnt/share
mount -t hostfs project /mnt/project -o /project
mount -t hostfs share /mnt/share -o /share

# The command writes to pipes, as under a shell; what it leaves behind may hold them open, so the relays never see an
# end of file: `finish` writes a marker instead.
mkdir /run/nexcage
mkfifo -m 0666 /run/nexcage/stdout /run/nexcage/stderr
for line in 0 1 2; do
	stty -F "/dev/ttyS$line" raw -echo
done
cat <>/run/nexcage/stdout >/dev/ttyS0 &
cat <>/run/nexcage/stderr >/dev/ttyS1 &
modprobe -a fuse loop tun
chmod 0666 /dev/fuse /dev/net/tun
ip link set lo up
hostname nexcage-vm

case "$(cat /run/job/mode)" in
plain)
	echo +cpu +io +memory +pids >/sys/fs/cgroup/cgroup.subtree_control
	mkdir /sys/fs/cgroup/command
	status=0
	setsid /usr/lib/nexcage/command &
	wait $! || status=$?
	exec /usr/lib/nexcage/finish "$status"
	;;
*)
	exec /lib/systemd/systemd --show-status=false --log-target=kmsg
	;;
esac
