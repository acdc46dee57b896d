#!/bin/sh
# Starts a program in an image's files as a hardened pod would: read-only, as user 65532, without capabilities, its own processes in sight alone.
# Runs in mount and pid namespaces that were made for it. `start.sh ROOT TMP PROGRAM ...`; TMP becomes /tmp there.
set -eu
root=$1
tmp=$2
shift 2
mount --make-rprivate /
mkdir -p "$root/tmp" "$root/proc" "$root/dev"
mount --bind "$root" "$root"
mount --bind "$tmp" "$root/tmp"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o nosuid,noexec,mode=755 tmpfs "$root/dev"
for device in null zero random urandom tty; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec=65532:65532 "$root" "$@"
