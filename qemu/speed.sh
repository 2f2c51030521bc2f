#!/bin/sh
# How fast a guest reads a disk of ours, and those of QEMU's, TURNS times: see src/guest/speed.ts.
#
#   qemu/speed.sh TURNS
set -eu

exec node "$(dirname "$0")/../dist/guest/speed.js" "$1"
