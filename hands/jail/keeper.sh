#!/bin/sh
# Runs the fork server, and so every command of a workspace, in the jail for commands. $1: its library, as the daemon sees it; the program
# lies beside it. $2: how many processes may live in the jail by its process ids, $3: by their user's limit; 0: any number. The rest: arguments of
# bwrap that leave the workspace alone.
here=$(dirname "$0")
build=$(dirname "$1")
pids=$2
nproc=$3
shift 3
set -- "$here/commands.sh" "$pids" --ro-bind "$build" /run/keeper --remount-ro /run "$@" --
# In the jail's own user namespace, so that only what runs in it counts.
[ "$nproc" = 0 ] || set -- "$@" /bin/bash -c 'ulimit -u "$0"; exec "$@"' "$nproc"
exec "$@" /run/keeper/keeper /run/keeper/zygote.so
