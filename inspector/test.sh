#!/bin/bash
# The inspector's page in Debian's Chromium, driven by playwright-core: browser.js.
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh; SCREENSHOT, a file for a picture of it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
scripts=$here/../scripts
home=$("$scripts/cache.sh")/chromium-bookworm
root=$home/root

fetch() {
	rm -rf "$root"
	"$scripts/debian-package.sh" --with-dependencies "$home/packages" chromium-headless-shell bookworm |
		while read -r file; do dpkg-deb -x "$file" "$root"; done
	rm -r "$home/packages"
	touch "$home/complete"
}

mkdir -p "$home"
# One fetches, others wait for it.
exec 9>"$home/.lock"
flock 9
[ -e "$home/complete" ] || fetch
flock -u 9

# What is not in the folders where a linker looks: PulseAudio's.
libraries=$(find "$root" -name '*.so*' -printf '%h\n' | sort -u | grep -v /lib/chromium | paste -sd:)
CHROMIUM=$root/usr/lib/chromium/chromium-headless-shell CHROMIUM_LIBRARIES=$libraries \
	timeout -k 1 100 node "$here/browser.js"
