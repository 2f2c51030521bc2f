# What sysfs/test.sh has in a run with a dsa at 6a:01.0 and an edu at 6a:02.0.
dsa=0000:6a:01.0
edu=0000:6a:02.0

step() { echo "== $*"; }
# Names, modules that would do, and whether all functions are in a NUMA node, are the machine's.
ours() { grep -a '6a:0' | sed "s/ '.*'//; s/ unused=.*//; s/ numa_node=[0-9]*//" || true; }

step lspci lists them, with their drivers
lspci -n -k -s 6a: 2>/dev/null | grep -v 'Kernel modules'

step lspci -vvv decodes all that there is
lspci -vvv -n -s 6a:01.0 2>/dev/null | grep -E 'Region|Capabilities|group|Vector table|ATSCtl|PRICtl'
lspci -xxxx -s 6a:02.0 2>/dev/null | grep -c '^[0-9a-f]*:'

step setpci writes what can be written, and nothing else
setpci -s 6a:02.0 COMMAND=0406 VENDOR_ID=ffff BASE_ADDRESS_0=ffffffff
setpci -s 6a:02.0 COMMAND VENDOR_ID BASE_ADDRESS_0

step dpdk-devbind --status
dpdk-devbind --status 2>/dev/null | ours

step dpdk-devbind -u
dpdk-devbind -u $dsa 2>/dev/null
dpdk-devbind --status 2>/dev/null | ours
ls /dev/vfio /dev/vfio/devices

step dpdk-devbind -b
dpdk-devbind -b vfio-pci $dsa 2>/dev/null
dpdk-devbind --status 2>/dev/null | ours
ls /dev/vfio /dev/vfio/devices
cat /sys/bus/pci/devices/$dsa/driver_override

step dpdk-devbind -b of a driver that is not there
dpdk-devbind -b uio_pci_generic $dsa >/dev/null 2>&1 || echo refused

step driverctl list-devices
driverctl list-devices | ours

step driverctl unset-override leaves it to whoever takes it
driverctl --nosave unset-override $edu 2>&1
driverctl list-devices | ours

step driverctl set-override
driverctl --nosave set-override $edu vfio-pci
driverctl list-devices | ours
driverctl list-overrides | ours

step driverctl set-override of a driver that is not there
driverctl --nosave set-override $edu e1000 2>&1
driverctl list-devices | ours
