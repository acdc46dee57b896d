#!/bin/sh
# Makes /opt/leaf independent of the image that it is put into: Node, the fork server and its guard get the shared libraries and the loader that
# they are linked with from /opt/leaf/lib. The environment says nothing of it, so commands keep the libraries of their image.
set -eu
leaf=/opt/leaf
assets=$leaf/dist/hands/assets/hands
mkdir -p "$leaf/lib"
loader=$(patchelf --print-interpreter "$leaf/bin/node")
for library in $(ldd "$leaf/bin/node" "$leaf/node_modules/node-pty/build/Release/pty.node" | sed -n 's#^[^/]*\(/[^ ]*\) (0x.*#\1#p' | sort -u); do
  cp -L "$library" "$leaf/lib/$(basename "$library")"
done
for program in "$leaf/bin/node" "$assets/process/keeper/build/keeper" "$assets/process/keeper/build/guard"; do
  patchelf --set-interpreter "$leaf/lib/$(basename "$loader")" --set-rpath "$leaf/lib" "$program"
done
"$leaf/bin/node" --version >/dev/null
chmod -R a+rX "$leaf/lib"
