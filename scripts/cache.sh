#!/bin/sh
# Prints the directory where the suites of foreign programs keep what they fetch and build, and makes it if
# need be.
#
# Environment: IOASID_CACHE (default $XDG_CACHE_HOME/ioasid, ~/.cache/ioasid).
set -eu

cache=${IOASID_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ioasid}
mkdir -p "$cache"
echo "$cache"
