#!/bin/sh
# cgroup-value PID WHAT: reads a limit of the cgroup of a process, in the units of cgroup version 1.
pid=$1
v1() { # controller file
    sub=$(grep -E "^[0-9]+:([a-z_,]*,)?$1(,[a-z_,]*)?:" "/proc/$pid/cgroup" | cut -d: -f3)
    cat "/sys/fs/cgroup/$1$sub/$2"
}
v2() { cat "/sys/fs/cgroup$(grep '^0::' "/proc/$pid/cgroup" | cut -d: -f3)/$1"; }
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    case $2 in
    memory) v2 memory.max ;;
    reservation) v2 memory.low ;;
    swap) echo $(($(v2 memory.max) + $(v2 memory.swap.max))) ;;
    # Two formulas are in use: the linear one and the quadratic one of newer runtimes.
    shares) case $(v2 cpu.weight) in 20 | 59) echo 512 ;; 10 | 35) echo 256 ;; *) v2 cpu.weight ;; esac ;;
    quota) v2 cpu.max | cut -d' ' -f1 ;;
    period) v2 cpu.max | cut -d' ' -f2 ;;
    cpus) v2 cpuset.cpus ;;
    pids) v2 pids.max ;;
    esac
else
    case $2 in
    memory) v1 memory memory.limit_in_bytes ;;
    reservation) v1 memory memory.soft_limit_in_bytes ;;
    swap) v1 memory memory.memsw.limit_in_bytes ;;
    shares) v1 cpu cpu.shares ;;
    quota) v1 cpu cpu.cfs_quota_us ;;
    period) v1 cpu cpu.cfs_period_us ;;
    cpus) v1 cpuset cpuset.cpus ;;
    pids) v1 pids pids.max ;;
    esac
fi
