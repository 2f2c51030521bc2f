#!/bin/bash
# What manages PCI devices, unmodified, from Debian 13: lspci and setpci (pciutils), dpdk-devbind.py and
# driverctl show the devices of a run with their drivers, and bind and unbind them; libvirt's node devices
# show them too. What they print is compared line by line.
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
scripts=$here/../scripts
home=$("$scripts/cache.sh")/sysfs-trixie
root=$home/root
"$scripts/debian-root.sh" --with-dependencies "$home" trixie pciutils driverctl dpdk
libvirt=$("$scripts/cache.sh")/libvirt-trixie
"$scripts/debian-root.sh" --with-dependencies "$libvirt" trixie libvirt-daemon-driver-nodedev libvirt-clients
libvirt=$libvirt/root

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"

# made_for NAME ROOT COMMAND...: a command that runs COMMAND with the C library that it was made for.
made_for() {
	name=$1 from=$2
	shift 2
	printf '#!/bin/sh\nPYTHONHOME="%s/usr" exec "%s" --library-path "%s" %s "$@"\n' \
		"$from" "$from/usr/lib64/ld-linux-x86-64.so.2" "$from/usr/lib/x86_64-linux-gnu" "$*" >"$work/bin/$name"
	chmod +x "$work/bin/$name"
}
made_for lspci "$root" "$root/usr/bin/lspci"
made_for setpci "$root" "$root/usr/bin/setpci"
made_for dpdk-devbind "$root" "$root/usr/bin/python3.13" "$root/usr/bin/dpdk-devbind.py"
made_for libvirtd "$libvirt" "$libvirt/usr/sbin/libvirtd"
made_for virsh "$libvirt" "$libvirt/usr/bin/virsh"
export LIBVIRT_DRIVER_DIR=$libvirt/usr/lib/x86_64-linux-gnu/libvirt/connection-driver
# It loads vfio-pci without a look whether it is there; there are no modules here.
sed 's,/sbin/modprobe,true,' "$root/usr/sbin/driverctl" >"$work/bin/driverctl"
chmod +x "$work/bin/driverctl"

pci=/sys/bus/pci
list=$(ls "$pci/devices" 2>/dev/null || true)
# judge DSA DEVICE COMMAND...: runs it with a dsa and another device.
judge() {
	dsa=$1 device=$2
	shift 2
	PATH=$work/bin:$PATH timeout -k 1 100 node "$here/../bin/ioasid" run -d "$dsa" -d "$device" \
		-- "$@" >>"$work/output" 2>>"$work/errors" || { cat "$work/output" "$work/errors"; exit 1; }
}
judge dsa,bdf=0000:6a:01.0 edu,bdf=0000:6a:02.0 bash "$here/judges.sh"
judge dsa,idxd=1,bdf=0000:6a:01.0 edu,bdf=0000:6a:02.0 bash "$here/idxd.sh"
# It mounts folders of its own.
[ "$(id -u)" != 0 ] || judge dsa,bdf=0000:6a:01.0 virtio-net unshare --mount bash "$here/nodes.sh"
[ "$(id -u)" = 0 ] || sed '/^== virsh/,$d' "$here/expected.txt" >"$work/expected"
[ "$(id -u)" != 0 ] || cp "$here/expected.txt" "$work/expected"
diff -u "$work/expected" "$work/output" || { cat "$work/errors"; exit 1; }
[ "$list" = "$(ls "$pci/devices" 2>/dev/null || true)" ] ||
	{ echo "the host's list has changed" >&2; exit 1; }
steps=$(grep -c '^== ' "$work/output")
echo "lspci, setpci, dpdk-devbind.py, driverctl and libvirt (as root): $steps steps as expected"
