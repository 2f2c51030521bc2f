#!/bin/bash
# Unpacks packages of Debian into DIRECTORY/root, once: who comes meanwhile waits. What nobody runs or
# compiles with is left out.
#
#   scripts/debian-root.sh [--with-dependencies] DIRECTORY SUITE PACKAGE...
#
# Environment: that of scripts/debian-package.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
options=()
if [ "$1" = --with-dependencies ]; then
	options=("$1")
	shift
fi
home=$1 suite=$2
shift 2

mkdir -p "$home"
exec 9>"$home/.lock"
flock 9
[ ! -e "$home/complete" ] || exit 0

rm -rf "$home/root"
for package in "$@"; do
	"$here/debian-package.sh" "${options[@]}" "$home/packages" "$package" "$suite" |
		while read -r file; do dpkg-deb -x "$file" "$home/root"; done
	rm -r "$home/packages"
done
find "$home/root" -name '*.a' -delete
rm -rf "$home/root/usr/share"
touch "$home/complete"
