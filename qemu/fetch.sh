#!/bin/sh
# Fetches QEMU of a Debian release's backports, and all that it needs down to the C library, and prints a
# command for it, which is the path of a script. Nothing is installed: the unpacked packages are in the cache.
#
#   qemu/fetch.sh bookworm
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -eu

release=$1
scripts=$(cd "$(dirname "$0")/../scripts" && pwd)
cache=$("$scripts/cache.sh")/qemu-$release
root=$cache/root

fetch() {
	packages=$("$scripts/debian-package.sh" --with-dependencies "$cache/packages" qemu-system-x86 \
		"$release-backports" "$release")
	for package in $packages; do dpkg-deb -x "$package" "$root"; done
	rm -r "$cache/packages"
	touch "$cache/complete"
}

# It runs with the C library that it was built for, whatever the machine's.
write_command() {
	loader=$(find "$root" -name 'ld-linux-x86-64.so.2' | head -n 1)
	cat >"$cache/qemu.new" <<-END
		#!/bin/sh
		exec "$loader" --library-path "$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu" \\
			"$root/usr/bin/qemu-system-x86_64" \\
			-L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "\$@"
	END
	chmod +x "$cache/qemu.new"
	mv "$cache/qemu.new" "$cache/qemu"
}

mkdir -p "$cache"
# One fetches, others wait for it.
exec 9>"$cache/.lock"
flock 9
[ -e "$cache/complete" ] || fetch
[ -x "$cache/qemu" ] || write_command
echo "$cache/qemu"
