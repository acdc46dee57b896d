#!/bin/sh
# Builds what makes the networks of workspaces, into build/. Does nothing if it is up to date.
set -eu
cd "$(dirname "$0")"
mkdir -p build
stamp=$(cat network.c build.sh | cksum)
if [ -x build/network ] && [ "$(cat build/stamp 2>/dev/null)" = "$stamp" ]; then exit 0; fi
CC=${CC:-cc}
if ! command -v "$CC" >/dev/null 2>&1; then
  echo "hands/network: a C compiler is needed: install gcc (Debian: apt-get install gcc libc6-dev)" >&2
  exit 1
fi
flags="-std=gnu11 -O2 -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -fstack-protector-strong"
# To a name of its own, then renamed: another build at the same time, or a network that is made, is never cut short.
"$CC" $flags -o "build/network.$$" network.c
mv "build/network.$$" build/network
echo "$stamp" >build/stamp
