#!/bin/busybox sh
# Runs the command of the job in a cgroup of its own; what it prints goes to the relays that init started.
set -eu
if [ "$(cat /run/job/mode)" = plain ]; then
	echo $$ >/sys/fs/cgroup/command/cgroup.procs
fi
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
cd /mnt/project
echo start >/dev/ttyS2
exec /run/job/command </dev/null >/run/nexcage/stdout 2>/run/nexcage/stderr
