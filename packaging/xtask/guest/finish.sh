#!/bin/busybox sh
# Tells the host how the command ended; the host then ends the guest. Argument: an exit status of a shell; without it,
# what systemd says of the service (EXIT_CODE, EXIT_STATUS).
if [ $# -gt 0 ]; then
	status=$1
elif [ "$EXIT_CODE" = exited ]; then
	status=$EXIT_STATUS
else
	status=$((128 + $(kill -l "$EXIT_STATUS")))
fi
sync
printf '\000end of output\n' >/run/nexcage/stdout
printf '\000end of output\n' >/run/nexcage/stderr
echo "exit $status" >/dev/ttyS2
exec sleep infinity
