#!/bin/sh
# Prints a directory with Linux's headers for programs (linux/, asm/) as the package linux-libc-dev of a suite
# of Debian's has them, which is fetched into the cache and not installed.
#
#   scripts/linux-headers.sh SUITE
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -eu

scripts=$(cd "$(dirname "$0")" && pwd)
home=$("$scripts/cache.sh")/linux-headers-$1
include=$home/root/usr/include
"$scripts/debian-root.sh" "$home" "$1" linux-libc-dev
ln -sfn x86_64-linux-gnu/asm "$include/asm"
echo "$include"
