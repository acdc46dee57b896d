#!/bin/sh
# Runs the fork server, and so every command, in the jail for commands. $1: its library, as the daemon sees it; the program lies beside it.
here=$(dirname "$0")
exec "$here/jail-commands.sh" --ro-bind "$(dirname "$1")" /run/keeper --remount-ro /run -- /run/keeper/keeper /run/keeper/zygote.so
