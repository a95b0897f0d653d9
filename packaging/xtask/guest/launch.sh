# Second stage on the host, first process of a pid and a mount namespace: gathers what the guest may see below one
# directory, as read-only bind mounts, then becomes User-Mode Linux, whose hostfs is confined to that directory.
# Arguments: base directory, tree, modules, project, share, "ro" or "rw" for the share, memory, "systemd" or "plain".
# Standard input: the script that the guest runs.
set -eu
base=$1
bind() {
	mkdir "$base/$1"
	mount --bind "$2" "$base/$1"
	mount -o "remount,bind,$3" "$base/$1"
}
mount -t tmpfs -o mode=0700 nexcage-vm "$base"
bind root "$2" ro
bind modules "$3" ro
bind project "$4" ro
bind share "$5" "$6"
mkdir "$base/job" "$base/uml"
cat >"$base/job/command"
chmod 0755 "$base/job/command"
echo "$8" >"$base/job/mode"
# The memory of the guest is an unlinked file in TMPDIR. `panic=-1`: a guest that panics must not wait for anyone.
export TMPDIR="$base"
exec linux.uml "mem=$7" "hostfs=$base" "uml_dir=$base/uml/" umid=vm \
	con=null con0=null,fd:1 ssl=null ssl0=null,fd:3 ssl1=null,fd:4 ssl2=null,fd:5 \
	root=none rootfstype=hostfs rootflags=/root ro init=/usr/lib/nexcage/init \
	selinux=0 apparmor=0 panic=-1 quiet systemd.unit=nexcage-vm.target </dev/null 2>&1
