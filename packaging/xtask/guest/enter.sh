# First stage on the host, between `setpriv --pdeathsig` and the namespaces. Arguments: pid of xtask, its descriptors for
# stdout, stderr and control, the second stage, the arguments of the second stage.
set -eu
# xtask may have died before the parent death signal was set.
[ "$PPID" = "$1" ] || exit 1
exec 3>"/proc/$1/fd/$2" 4>"/proc/$1/fd/$3" 5>"/proc/$1/fd/$4"
stage=$5
shift 5
exec unshare --pid --mount --propagation private --fork --kill-child=KILL --mount-proc sh -c "$stage" launch "$@"
