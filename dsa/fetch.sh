#!/bin/sh
# Fetches Intel's programs for DSA as Debian 13 has them, accel-config and accel-config-test, and all that they
# need down to the C library, and prints the directory that they are unpacked in.
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -eu

scripts=$(cd "$(dirname "$0")/../scripts" && pwd)
home=$("$scripts/cache.sh")/accel-config-trixie
"$scripts/debian-root.sh" --with-dependencies "$home" trixie accel-config accel-config-test >&2
echo "$home/root"
