#!/bin/sh
# Prints the path of a fusermount3: the machine's, or that of Debian's package fuse3, which is fetched into
# the cache and not installed. It is not set-user-id there: who uses it sees to that.
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -eu

command -v fusermount3 && exit
scripts=$(cd "$(dirname "$0")" && pwd)
cache=$("$scripts/cache.sh")/fuse3
mkdir -p "$cache"
# One fetches, others wait for it.
exec 9>"$cache/.lock"
flock 9
if [ ! -e "$cache/bin/fusermount3" ]; then
	dpkg-deb -x "$("$scripts/debian-package.sh" "$cache/packages" fuse3 bookworm)" "$cache/root"
	mv "$cache/root/bin" "$cache/bin"
	rm -r "$cache/root" "$cache/packages"
fi
echo "$cache/bin/fusermount3"
