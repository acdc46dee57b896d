#!/bin/sh
# Makes a root directory in /out with /opt/leaf and nothing else than Node needs: the shared libraries that it is linked with, certificate
# authorities, time zones, a user without rights. No shell, no package manager, no program but Node.
set -eu
out=/out
mkdir -p "$out/etc/ssl/certs" "$out/opt" "$out/usr/share" "$out/var/lib/dpkg/status.d" "$out/dev" "$out/proc" "$out/sys" "$out/tmp"
chmod 1777 "$out/tmp"

# In Debian /lib leads to /usr/lib; here too.
for link in lib lib64; do
  if [ -L "/$link" ]; then
    mkdir -p "$out/usr/$link"
    ln -s "usr/$link" "$out/$link"
  fi
done
needed=$(ldd /opt/leaf/bin/node | sed -n 's#^[^/]*\(/[^ ]*\) (0x.*#\1#p')
files="/etc/ssl/certs/ca-certificates.crt /etc/os-release /usr/lib/os-release /usr/share/zoneinfo"
for library in $needed; do
  mkdir -p "$out$(dirname "$library")"
  cp -L "$library" "$out$library"
done
cp -L /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/"
cp -L /etc/os-release "$out/etc/os-release"
cp -R /usr/share/zoneinfo "$out/usr/share/"
mv /opt/leaf "$out/opt/leaf"

# What scanners look for: the packages that these files are of, one a file, as distroless images have them.
owners=$(for file in $needed $files; do
  # Debian's packages own some files by the name that leads to them over /lib, others by the one below /usr.
  dpkg -S "$(readlink -f "$file")" 2>/dev/null || dpkg -S "$file" 2>/dev/null || dpkg -S "${file#/usr}" 2>/dev/null || true
done | sed 's/: .*//' | tr -d ' ' | tr ',' '\n' | sed 's/:.*//' | sort -u)
for package in $owners ca-certificates; do
  dpkg-query --show --showformat='Package: ${Package}\nStatus: ${Status}\nArchitecture: ${Architecture}\nVersion: ${Version}\nSource: ${source:Package} (${source:Version})\n' \
    "$package" >"$out/var/lib/dpkg/status.d/$package"
done

echo 'leaf:x:65532:65532:Serverless Harness:/nonexistent:/nonexistent' >"$out/etc/passwd"
echo 'leaf:x:65532:' >"$out/etc/group"
echo 'hosts: files dns' >"$out/etc/nsswitch.conf"
