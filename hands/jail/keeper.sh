#!/bin/sh
# Runs the fork server, and so every command of a workspace, in the jail for commands. $1: its library, as the daemon sees it; the program
# lies beside it. The rest: arguments of bwrap that leave the workspace alone.
here=$(dirname "$0")
build=$(dirname "$1")
shift
exec "$here/commands.sh" --ro-bind "$build" /run/keeper --remount-ro /run "$@" -- /run/keeper/keeper /run/keeper/zygote.so
