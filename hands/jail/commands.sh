#!/bin/sh
# Runs a command in a jail within the daemon's: its own process ids, and nothing of the daemon's memory, state, socket and code.
# $1: how many processes may live in it, as limit-pids.sh bounds them, or 0. The rest: those arguments of bwrap that are wanted beside these, then
# the command.
set -eu
here=$(dirname "$0")
processes=$1
shift
for bwrap in /usr/bin/bwrap /bin/bwrap /usr/local/bin/bwrap; do [ -x "$bwrap" ] && break; done
if [ "$(id -u)" = 0 ]; then
  powers="--cap-drop ALL --cap-add CAP_CHOWN --cap-add CAP_DAC_OVERRIDE --cap-add CAP_FOWNER --cap-add CAP_FSETID"
else
  powers="--unshare-user"
fi
# shellcheck disable=SC2086 # several arguments
set -- "$bwrap" --unshare-pid --unshare-ipc --unshare-cgroup-try --die-with-parent $powers --bind / / --proc /proc --dev /dev --tmpfs /run "$@"
[ "$processes" = 0 ] || set -- unshare --pid --fork --kill-child --mount --propagation private /bin/sh "$here/limit-pids.sh" "$processes" "$@"
exec "$@"
