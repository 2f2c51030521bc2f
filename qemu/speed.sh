#!/bin/sh
# How fast a guest reads a disk of ours, and one of QEMU's, PAIRS times: see src/guest/speed.ts.
#
#   qemu/speed.sh PAIRS
set -eu

exec node "$(dirname "$0")/../dist/guest/speed.js" "$1"
