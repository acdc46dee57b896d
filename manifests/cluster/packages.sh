#!/bin/sh
# Find or install the system packages of the test cluster. Silent if nothing is missing.
set -eu
cd "$(dirname "$0")/../.."
. scripts/packages.sh
need containerd containerd
need ctr containerd
need runc runc
need iptables iptables
need ip iproute2
need openssl openssl
need setpriv util-linux
need unshare util-linux
need nsenter util-linux
[ -x /usr/lib/cni/ptp ] || missing="$missing containernetworking-plugins"
install_system_packages
