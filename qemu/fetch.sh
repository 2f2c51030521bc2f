#!/bin/sh
# Fetches QEMU of a Debian release's backports, and all that it needs down to the C library, and prints a
# command for it, which is the path of a script. Nothing is installed: lists, sources and the unpacked packages
# are in a cache directory outside the repository.
#
#   qemu/fetch.sh bookworm
#
# Environment: IOASID_CACHE (default $XDG_CACHE_HOME/ioasid, ~/.cache/ioasid), QEMU_MIRROR (default: the Debian
# mirror of this machine's apt).
set -eu

release=$1
cache=${IOASID_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ioasid}/qemu-$release
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fetch() {
	mirror=${QEMU_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
		grep '/debian/*$' | head -n 1)}
	mkdir -p "$cache/lists/partial" "$cache/apt/archives/partial"
	: >"$cache/status"
	for suite in "$release-backports" "$release"; do
		echo "deb [signed-by=$keyring] $mirror $suite main"
	done >"$cache/sources.list"
	cat >"$cache/apt.conf" <<-EOF2
		Dir::Etc::sourcelist "$cache/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::State::lists "$cache/lists";
		Dir::State::status "$cache/status";
		Dir::Cache "$cache/apt";
		APT::Install-Recommends "false";
	EOF2
	APT_CONFIG=$cache/apt.conf apt-get update -q >&2
	APT_CONFIG=$cache/apt.conf apt-get install -y -q --download-only -t "$release-backports" qemu-system-x86 >&2
	for package in "$cache"/apt/archives/*.deb; do dpkg-deb -x "$package" "$cache/root"; done
	touch "$cache/complete"
}

# It runs with the C library that it was built for, whatever the machine's.
write_command() {
	root=$cache/root
	loader=$(find "$root" -name 'ld-linux-x86-64.so.2' | head -n 1)
	cat >"$cache/qemu.new" <<-EOF2
		#!/bin/sh
		exec "$loader" --library-path "$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu" \\
			"$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "\$@"
	EOF2
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
