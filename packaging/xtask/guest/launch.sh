# Second stage on the host, first process of a pid and a mount namespace: makes a root directory that holds no more than
# the guest may see and User-Mode Linux needs, enters it, then becomes User-Mode Linux. The option `hostfs=` alone does
# not confine the guest: a mount of `/..` leaves that directory.
# Arguments: base directory, tree, modules, project, share, "ro" or "rw" for the share, memory, "systemd" or "plain".
# Standard input: the script that the guest runs.
set -eu
base=$1
bind() {
	mkdir -p "$base/$1"
	mount --bind "$2" "$base/$1"
	mount -o "remount,bind,$3" "$base/$1"
}
mount -t tmpfs -o mode=0700 nexcage-vm "$base"
bind guest/root "$2" ro
bind guest/modules "$3" ro
bind guest/project "$4" ro
bind guest/share "$5" "$6"
mkdir "$base/guest/job"
cat >"$base/guest/job/command"
chmod 0755 "$base/guest/job/command"
echo "$8" >"$base/guest/job/mode"

# What User-Mode Linux itself needs: its libraries, /proc, a null device, a place for the guest's memory.
bind usr /usr ro
for dir in bin sbin lib lib64; do
	if [ -L "/$dir" ]; then
		cp -P "/$dir" "$base/$dir"
	elif [ -d "/$dir" ]; then
		bind "$dir" "/$dir" ro
	fi
done
mkdir "$base/proc" "$base/dev" "$base/uml" "$base/old"
touch "$base/dev/null"
mount --bind /dev/null "$base/dev/null"
mount -t proc -o ro proc "$base/proc"
cd "$base"
pivot_root . old
umount -l /old
rmdir /old

# `panic=-1`: a guest that panics must not wait for anyone.
export TMPDIR=/uml
exec linux.uml "mem=$7" hostfs=/guest uml_dir=/uml/ umid=vm \
	con=null con0=null,fd:1 ssl=null ssl0=null,fd:3 ssl1=null,fd:4 ssl2=null,fd:5 \
	root=none rootfstype=hostfs rootflags=/root ro init=/usr/lib/nexcage/init \
	selinux=0 apparmor=0 panic=-1 quiet systemd.unit=nexcage-vm.target </dev/null 2>&1
