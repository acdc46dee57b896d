#!/bin/sh
# Makes ready what a service is, in /opt/leaf: Node and its bundle, as in a checkout, and what Node compiled the bundle to.
# `service.sh SERVICE` in a stage of a build that has both there.
set -eu
service=$1
leaf=/opt/leaf
main=$leaf/dist/$service/main.mjs
cache=$leaf/node_modules/.cache/leaf

# Whoever built the bundle may have kept it from other users.
chmod -R u+w,a+rX "$leaf"
mkdir -p "$cache"
chown 65532:65532 "$cache"
# Without its settings a service ends at once with exit code 64; it is asked to load the rest too. Node finds what it compiled only as the user
# that it was when it did. With a seed of its own V8 writes the same bytes each time; the seed is not among the flags that what was compiled depends on.
for load in "" "--import /build/scripts/load-service.ts"; do
  code=0
  # shellcheck disable=SC2086
  setpriv --reuid 65532 --regid 65532 --clear-groups env -i NODE_COMPILE_CACHE="$cache" NODE_COMPILE_CACHE_PORTABLE=1 MODEL_LISTEN=none \
    "$leaf/bin/node" --random-seed=1 $load "$main" </dev/null >/tmp/service.log 2>&1 || code=$?
  if [ "$code" != 64 ]; then
    cat /tmp/service.log >&2
    echo "service.sh: $service can't be loaded in this base (exit code $code): was it bundled with a newer libc than the base has?" >&2
    exit 1
  fi
done
rm -f /tmp/service.log
# Read only from here on, by whichever user.
chown -R 0:0 "$cache"
chmod -R a+rX,go-w "$cache"
