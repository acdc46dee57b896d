#!/bin/sh
# Runs the fork server, and so every command, in a jail within the daemon's: its own process ids, and nothing of the daemon's memory,
# state, socket and code. $1: the fork server's library; the fork server lies beside it.
set -eu
build=$(dirname "$1")
if [ "$(id -u)" = 0 ]; then
  powers="--cap-drop ALL --cap-add CAP_CHOWN --cap-add CAP_DAC_OVERRIDE --cap-add CAP_FOWNER --cap-add CAP_FSETID"
else
  powers="--unshare-user"
fi
# shellcheck disable=SC2086 # several arguments
exec bwrap --unshare-pid --unshare-ipc --die-with-parent $powers --bind / / --proc /proc --dev /dev \
  --tmpfs /run --ro-bind "$build" /run/keeper -- /run/keeper/keeper /run/keeper/zygote.so
