#!/bin/sh
# Compiles a program in Rust: by the machine's rustc, or by Debian's, which is fetched into the cache with the
# libraries that it needs and not installed.
#
#   scripts/rustc.sh -o PROGRAM SOURCE
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh; IOASID_RUSTC=debian for Debian's.
set -eu

if [ "${IOASID_RUSTC:-}" != debian ] && rustc --version >/dev/null 2>&1; then exec rustc "$@"; fi
scripts=$(cd "$(dirname "$0")" && pwd)
home=$("$scripts/cache.sh")/rustc-bookworm
mkdir -p "$home"
# One fetches, others wait for it.
exec 9>"$home/.lock"
flock 9
if [ ! -e "$home/complete" ]; then
	rm -rf "$home/root" "$home/packages"
	"$scripts/debian-package.sh" --with-dependencies "$home/packages" rustc bookworm >/dev/null
	for name in rustc libstd-rust libLLVM libllvm libz3 libedit libbsd libmd libxml2 libicu; do
		for package in "$home/packages/$name"*.deb; do
			[ ! -e "$package" ] || dpkg-deb -x "$package" "$home/root"
		done
	done
	rm -r "$home/packages" "$home/root/usr/share"
	touch "$home/complete"
fi
export LD_LIBRARY_PATH="$home/root/usr/lib/x86_64-linux-gnu"
exec "$home/root/usr/bin/rustc" --sysroot "$home/root/usr" "$@"
