#!/bin/sh
# Builds what the jail for commands is made with, into build/: cell, the filter of system calls (filter.bpf), and the same as a profile for
# container runtimes (profile.json). Does nothing if all are up to date.
set -eu
cd "$(dirname "$0")"
mkdir -p build
stamp=$(cat cell.c seccomp/compile.c seccomp/syscalls.list build.sh | cksum)
if [ -x build/cell ] && [ -f build/filter.bpf ] && [ -f build/profile.json ] && [ "$(cat build/stamp 2>/dev/null)" = "$stamp" ]; then exit 0; fi
CC=${CC:-cc}
if ! echo '#include <seccomp.h>' | "$CC" -E - >/dev/null 2>&1; then
  echo "hands/jail: a C compiler and libseccomp are needed (Debian: apt-get install gcc libc6-dev libseccomp-dev)" >&2
  exit 1
fi
flags="-std=gnu11 -O2 -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -fstack-protector-strong"
# To a name of its own, then renamed: another build at the same time, or a jail that starts, is never cut short.
"$CC" $flags -o "build/cell.$$" cell.c
"$CC" $flags -o "build/compile.$$" seccomp/compile.c -lseccomp
"build/compile.$$" filter <seccomp/syscalls.list >"build/filter.$$"
"build/compile.$$" profile <seccomp/syscalls.list >"build/profile.$$"
rm "build/compile.$$"
mv "build/cell.$$" build/cell
mv "build/filter.$$" build/filter.bpf
mv "build/profile.$$" build/profile.json
echo "$stamp" >build/stamp
