#!/bin/sh
# Takes a kernel, and modules that it needs, out of Debian's packages: DIRECTORY/vmlinuz and
# DIRECTORY/mod/MODULE.ko. The packages themselves are not kept.
#
#   scripts/debian-kernel.sh DIRECTORY RELEASE SUITE MODULE...
#
# Environment: that of scripts/debian-package.sh.
set -eu

home=$1 release=$2 suite=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$home/mod"
unpacked=$(mktemp -d "$home/unpacked.XXXXXX")
trap 'rm -rf "$unpacked"' EXIT

# take PACKAGE PATTERN: the files of the package.
take() {
	deb=$("$here/debian-package.sh" "$unpacked" "$1" "$suite")
	dpkg-deb --fsys-tarfile "$deb" | tar -xf - -C "$unpacked" --wildcards "$2"
}

take "linux-binary-$release" '*/vmlinuz'
take "linux-modules-$release" '*.ko.xz'
for name in "$@"; do
	find "$unpacked" -name "$name.ko.xz" -exec xz -dc {} + >"$home/mod/$name.ko"
	[ -s "$home/mod/$name.ko" ] || { echo "no module $name in $release" >&2; exit 1; }
done
find "$unpacked" -name vmlinuz -exec mv {} "$home/vmlinuz" \;
