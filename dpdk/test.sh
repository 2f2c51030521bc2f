#!/bin/bash
# DPDK's own test of DMA devices, dmadev_autotest, on a dsa: its driver for idxd maps both BARs, configures
# the device by loads and stores, and submits by MOVDIR64B. DPDK 24.11 is Debian's, unpacked in the cache with
# all that it needs down to the C library.
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
scripts=$here/../scripts
home=$("$scripts/cache.sh")/dpdk-24.11
root=$home/root
libraries=$root/usr/lib/x86_64-linux-gnu
# Each work queue is a DMA device, and all tests run on each of them. The driver wants as many as groups.
queues=2
device=dsa,wqs=$queues,engines=$queues,groups=$queues

"$scripts/debian-root.sh" --with-dependencies "$home" trixie dpdk-dev

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RUNTIME_DIRECTORY=$work
# Without huge pages each of 4 KiB is a mapping of its own, of which type1 takes 65,535.
memory='--no-huge -m 128 --iova-mode=va'
drivers="-d $libraries/librte_mempool_ring.so.25 -d $libraries/librte_bus_pci.so.25 \
-d $libraries/librte_dma_idxd.so.25"
# shellcheck disable=SC2086
echo dmadev_autotest |
	timeout -k 1 300 node "$here/../bin/ioasid" run -d "$device" -- \
		"$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$libraries" "$root/usr/bin/dpdk-test" \
		$memory -l 0 --no-telemetry --no-shconf $drivers -a 0000:6a:01.0 >"$work/output" 2>&1 ||
	{ cat "$work/output"; exit 1; }
grep -a '^### Test dmadev instance\|TestCase\|Tests Failed' "$work/output"
tests=$(grep -ac '^### Test dmadev instance.*0000:6a:01.0' "$work/output" || true)
if [ "$tests" != "$queues" ] || ! grep -aqx 'Test OK' "$work/output"; then
	cat "$work/output"
	echo "dmadev_autotest has failed, or has seen $tests of $queues DMA devices" >&2
	exit 1
fi
echo "DPDK: dmadev_autotest says Test OK on $queues work queues"
