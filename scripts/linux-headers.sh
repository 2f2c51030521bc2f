#!/bin/sh
# Prints a directory with Linux's headers for programs (linux/, asm/) as the package linux-libc-dev of a suite
# of Debian's has them, which is fetched into the cache and not installed.
#
#   scripts/linux-headers.sh SUITE
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -eu

scripts=$(cd "$(dirname "$0")" && pwd)
home=$("$scripts/cache.sh")/headers-$1
mkdir -p "$home"
# One fetches, others wait for it.
exec 9>"$home/.lock"
flock 9
if [ ! -e "$home/complete" ]; then
	rm -rf "$home/root" "$home/include"
	dpkg-deb -x "$("$scripts/debian-package.sh" "$home/packages" linux-libc-dev "$1")" "$home/root"
	mkdir "$home/include"
	for folder in linux asm-generic x86_64-linux-gnu/asm; do
		mv "$home/root/usr/include/$folder" "$home/include"
	done
	rm -r "$home/root" "$home/packages"
	touch "$home/complete"
fi
echo "$home/include"
