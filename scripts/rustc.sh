#!/bin/sh
# Compiles a program in Rust: by the machine's rustc, or by Debian's, which is fetched into the cache with the
# libraries that it needs beyond those of a C compiler, and not installed.
#
#   scripts/rustc.sh -o PROGRAM SOURCE
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh; IOASID_RUSTC=debian for Debian's.
set -eu

if [ "${IOASID_RUSTC:-}" != debian ] && rustc --version >/dev/null 2>&1; then exec rustc "$@"; fi
scripts=$(cd "$(dirname "$0")" && pwd)
home=$("$scripts/cache.sh")/rust-bookworm
"$scripts/debian-root.sh" "$home" bookworm rustc libstd-rust-1.63 libstd-rust-dev libllvm14 libz3-4 libedit2 \
	libbsd0 libmd0 libxml2 libicu72
export LD_LIBRARY_PATH="$home/root/usr/lib/x86_64-linux-gnu"
exec "$home/root/usr/bin/rustc" --sysroot "$home/root/usr" "$@"
