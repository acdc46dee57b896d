#!/bin/sh
# Become the process that holds the test cluster's namespaces: first into the groups that are given, then whatever the kernel can set apart.
#   enter.sh GROUP... -- NODE_SH ARGUMENT...
set -eu
while [ "$1" != -- ]; do
  echo $$ >"$1/cgroup.procs"
  shift
done
shift
# Killed however, this process takes the cluster's first process with it (--kill-child), and the kernel ends the rest of a process namespace
# with its first. The groups are entered before, so that they are the root that a cgroup namespace shows.
exec unshare --mount --net --pid --cgroup --uts --ipc --fork --kill-child=KILL --propagation private -- "$@"
