#!/bin/sh
# Runs a program in the control group of directory $1: it and all that it starts count there. The rest: the program and its arguments.
set -eu
echo 0 >"$1/cgroup.procs"
shift
exec "$@"
