#!/bin/sh
# Builds the fork server, the library that its waiting shells load, and the guard of what it does not start, into build/. Does nothing when
# all are up to date.
set -eu
cd "$(dirname "$0")"
mkdir -p build
stamp=$(cat ./*.c ./*.h build.sh | cksum)
if [ -x build/keeper ] && [ -f build/zygote.so ] && [ -x build/guard ] && [ "$(cat build/stamp 2>/dev/null)" = "$stamp" ]; then exit 0; fi
CC=${CC:-cc}
if ! command -v "$CC" >/dev/null 2>&1; then
  echo "hands/process/keeper: a C compiler is needed: install gcc (Debian: apt-get install gcc libc6-dev)" >&2
  exit 1
fi
flags="-std=gnu11 -O2 -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -fstack-protector-strong"
# To a name of its own, then renamed: another build at the same time, or a keeper that runs, is never cut short.
"$CC" $flags -o "build/keeper.$$" keeper.c children.c input.c events.c bytes.c spec.c start.c pool.c reaper.c tree.c user.c
"$CC" $flags -o "build/guard.$$" guard.c bytes.c spec.c start.c reaper.c tree.c user.c
"$CC" $flags -fPIC -shared -o "build/zygote.$$" zygote.c bytes.c spec.c -ldl
mv "build/keeper.$$" build/keeper
mv "build/guard.$$" build/guard
mv "build/zygote.$$" build/zygote.so
echo "$stamp" >build/stamp
