#!/bin/sh
# Runs a command as user dev in a delegated scope of its user manager.
set -eu
if [ $# -eq 0 ]; then
	echo "usage: as-dev COMMAND [ARGUMENT]..." >&2
	exit 2
fi
if ! systemctl start user@1000.service; then
	echo "as-dev: start the user manager of dev: a guest booted with --plain has none" >&2
	exit 125
fi
exec setpriv --reuid=1000 --regid=1000 --init-groups env -i USER=dev LOGNAME=dev HOME=/home/dev SHELL=/bin/sh \
	LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	XDG_RUNTIME_DIR=/run/user/1000 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus \
	systemd-run --user --scope --quiet --collect --property=Delegate=yes -- "$@"
