#!/bin/bash
# The inspector's page in Debian's Chromium, driven by playwright-core: browser.js.
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh; SCREENSHOT, a file for a picture of it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
scripts=$here/../scripts
home=$("$scripts/cache.sh")/chromium-bookworm
root=$home/root

"$scripts/debian-root.sh" --with-dependencies "$home" bookworm chromium-headless-shell

# What is not in the folders where a linker looks: PulseAudio's.
libraries=$(find "$root" -name '*.so*' -printf '%h\n' | sort -u | grep -v /lib/chromium | paste -sd:)
CHROMIUM=$root/usr/lib/chromium/chromium-headless-shell CHROMIUM_LIBRARIES=$libraries \
	timeout -k 1 100 node "$here/browser.js"
