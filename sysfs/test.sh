#!/bin/bash
# What manages PCI devices, unmodified, from Debian 13: lspci and setpci (pciutils), dpdk-devbind.py and
# driverctl show the devices of a run with their drivers, and bind and unbind them. What they print is
# compared line by line.
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
scripts=$here/../scripts
home=$("$scripts/cache.sh")/sysfs-trixie
root=$home/root
libraries=$root/usr/lib/x86_64-linux-gnu
"$scripts/debian-root.sh" --with-dependencies "$home" trixie pciutils driverctl dpdk

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"

# made_for NAME COMMAND...: a command that runs COMMAND with the C library that it was made for.
made_for() {
	name=$1
	shift
	printf '#!/bin/sh\nPYTHONHOME="%s/usr" exec "%s" --library-path "%s" %s "$@"\n' \
		"$root" "$root/usr/lib64/ld-linux-x86-64.so.2" "$libraries" "$*" >"$work/bin/$name"
	chmod +x "$work/bin/$name"
}
made_for lspci "$root/usr/bin/lspci"
made_for setpci "$root/usr/bin/setpci"
made_for dpdk-devbind "$root/usr/bin/python3.13" "$root/usr/bin/dpdk-devbind.py"
# It loads vfio-pci without a look whether it is there; there are no modules here.
sed 's,/sbin/modprobe,true,' "$root/usr/sbin/driverctl" >"$work/bin/driverctl"
chmod +x "$work/bin/driverctl"

pci=/sys/bus/pci
list=$(ls "$pci/devices" 2>/dev/null || true)
PATH=$work/bin:$PATH timeout -k 1 100 node "$here/../bin/ioasid" run -d dsa,bdf=0000:6a:01.0 \
	-d edu,bdf=0000:6a:02.0 -- bash "$here/judges.sh" >"$work/output" 2>"$work/errors" ||
	{ cat "$work/output" "$work/errors"; exit 1; }
diff -u "$here/expected.txt" "$work/output" || { cat "$work/errors"; exit 1; }
[ "$list" = "$(ls "$pci/devices" 2>/dev/null || true)" ] || { echo "the host's list has changed" >&2; exit 1; }
echo "lspci, setpci, dpdk-devbind.py and driverctl: $(grep -c '^== ' "$work/output") steps as expected"
