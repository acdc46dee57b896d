#!/bin/sh
# Runs a program in a namespace of process ids that ends at $1 + 300: the kernel keeps the first 300 back once they have been used. To be started in a
# pid and a mount namespace of its own. The bound is the namespace's since Linux 6.14; before, it is the machine's and must not be touched.
set -eu
release=$(uname -r)
major=${release%%.*}
minor=${release#*.}
minor=${minor%%[!0-9]*}
[ "$major" -gt 6 ] || { [ "$major" = 6 ] && [ "$minor" -ge 14 ]; } || {
  echo "Linux $release can't bound the processes of a pid namespace, 6.14 can" >&2
  exit 1
}
mount -t proc proc /proc
echo $(($1 + 300)) >/proc/sys/kernel/pid_max
shift
exec "$@"
