#!/bin/sh
# Builds what watches the services of a stack, into build/. Does nothing if it is up to date.
set -eu
cd "$(dirname "$0")"
mkdir -p build
stamp=$(cat watcher.c build.sh | cksum)
if [ -x build/watcher ] && [ "$(cat build/stamp 2>/dev/null)" = "$stamp" ]; then exit 0; fi
CC=${CC:-cc}
if ! command -v "$CC" >/dev/null 2>&1; then
  echo "clients/cli/watcher: a C compiler is needed: install gcc (Debian: apt-get install gcc libc6-dev)" >&2
  exit 1
fi
flags="-std=gnu11 -O2 -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -fstack-protector-strong"
# To a name of its own, then renamed: another build at the same time, or a watcher that runs, is never cut short.
"$CC" $flags -o "build/watcher.$$" watcher.c
mv "build/watcher.$$" build/watcher
echo "$stamp" >build/stamp
