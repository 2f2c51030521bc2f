# What sysfs/test.sh has in a run as root with a dsa at 6a:01.0 and a virtio-net: libvirtd with its driver of
# node devices alone, without a bus of messages, in /run and /var/lib of its own.
mount -t tmpfs none /run
mount -t tmpfs none /var/lib
mkdir -p /run/libvirt /var/lib/libvirt
printf '%s = "none"\n' auth_unix_ro auth_unix_rw >/run/libvirtd.conf

libvirtd -f /run/libvirtd.conf --timeout 60 >/run/log 2>&1 &
server=$!
ready() { virsh -c nodedev:///system nodedev-list --cap pci 2>/dev/null | grep -q 6a; }
for _ in $(seq 200); do
	ready && break
	kill -0 $server || break
	sleep 0.1
done
ready || { cat /run/log; exit 1; }

nodes() { virsh -c nodedev:///system "$@"; }
echo "== virsh nodedev-list shows functions and vDPA devices"
nodes nodedev-list --cap pci | grep 6a
nodes nodedev-list --cap vdpa | grep .
echo "== virsh nodedev-dumpxml shows driver and group"
nodes nodedev-dumpxml pci_0000_6a_01_0 |
	sed -n '/<path>/p; /<driver>/,/<\/driver>/p; /<iommuGroup/,/<\/iommu/p'
nodes nodedev-dumpxml vdpa_vdpa0 | grep -A1 -E '<path>|<driver>|chardev'
kill $server
wait $server 2>/dev/null || true
