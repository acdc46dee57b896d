#!/bin/sh
# Installs Debian packages into a stage of a build, and leaves nothing of it that differs from one time to the next: no lists, no logs, no caches.
# `debian-packages.sh PACKAGE ...`
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends "$@"
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache /var/lib/dpkg/*-old \
  /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/log/bootstrap.log /tmp/* /var/tmp/*
# Python writes when a source was last changed into what it compiles, and builds are not made in the same second.
find / -xdev -type d -name __pycache__ -prune -exec rm -rf {} +
