#!/bin/sh
# Makes what a guest with Linux is made of: Debian's kernel for clouds with the modules of virtio devices, and
# Debian's busybox, e2fsprogs, fio and nvme-cli with the libraries that they need. Prints the directory:
# `vmlinuz` (whose nvme driver is no module), `mod`, `base` (a root file system without fio and nvme-cli),
# `fio` and `nvme` (what they need beside it).
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -eu

scripts=$(cd "$(dirname "$0")/../scripts" && pwd)
release=7.3.4+deb13-cloud-amd64
suite=bookworm
programs='busybox-static e2fsprogs fio nvme-cli'
home=$("$scripts/cache.sh")/guest-$release

# unpack PACKAGE: with all that it needs, into $unpacked.
unpack() {
	packages=$("$scripts/debian-package.sh" --with-dependencies "$unpacked/packages" "$1" "$suite")
	for package in $packages; do dpkg-deb -x "$package" "$unpacked"; done
	rm -r "$unpacked/packages"
}

# closure DIRECTORY PROGRAM: the program into bin, the libraries that it loads into lib.
closure() {
	mkdir -p "$1/bin" "$1/lib" "$1/lib64"
	loader=$unpacked/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
	libraries=$unpacked/lib/x86_64-linux-gnu:$unpacked/usr/lib/x86_64-linux-gnu
	cp "$unpacked/$2" "$1/bin"
	cp -L "$loader" "$1/lib64"
	"$loader" --library-path "$libraries:$unpacked/usr/lib/x86_64-linux-gnu/ceph" --list "$unpacked/$2" |
		sed -n 's/.* => \(.*\/lib\/x86_64.*\) (0x.*/\1/p' | xargs cp -L -t "$1/lib"
}

fetch() {
	unpacked=$(mktemp -d "$home/root.XXXXXX")
	trap 'rm -rf "$unpacked"' EXIT
	for package in $programs; do unpack "$package"; done
	for program in sbin/mke2fs sbin/e2fsck; do closure "$home/base" "$program"; done
	cp "$unpacked/bin/busybox" "$home/base/bin"
	closure "$home/fio" usr/bin/fio
	closure "$home/nvme" usr/sbin/nvme
	"$scripts/debian-kernel.sh" "$home" "$release" trixie-backports \
		failover net_failover virtio_net virtio_blk
	echo "$programs" >"$home/programs"
}

mkdir -p "$home"
# One makes it, others wait for it.
exec 9>"$home/.lock"
flock 9
[ "$(cat "$home/programs" 2>/dev/null)" = "$programs" ] || fetch
echo "$home"
