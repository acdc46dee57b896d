#!/bin/sh
# Installs what builds images, if it is missing.
set -eu
cd "$(dirname "$0")/../.."
. scripts/packages.sh
need buildah buildah
need mmdebstrap mmdebstrap
need setpriv util-linux
install_system_packages
