# What sysfs/test.sh has in a run with a dsa of Linux's driver idxd at 6a:01.0 and an edu at 6a:02.0.
dsa=0000:6a:01.0

step() { echo "== $*"; }
# Names, modules that would do, and whether all functions are in a NUMA node, are the machine's.
ours() { grep -a '6a:0' | sed "s/ '.*'//; s/ unused=.*//; s/ numa_node=[0-9]*//" || true; }

step lspci -k lists a function of idxd beside one of vfio-pci
lspci -n -k -s 6a: 2>/dev/null | grep -v 'Kernel modules'

step lspci -vvv decodes it as its driver has it
lspci -vvv -n -s 6a:01.0 2>/dev/null | grep -E 'Control: I|Region|Capabilities|group|ATSCtl|PRICtl'

step setpci reads it, and writes nothing
setpci -s 6a:01.0 COMMAND=0 2>&1
setpci -s 6a:01.0 COMMAND

step dpdk-devbind --status of it
dpdk-devbind --status 2>/dev/null | ours

step dpdk-devbind -u and -b leave it to its driver
dpdk-devbind -u $dsa >/dev/null 2>&1 || echo refused
dpdk-devbind -b vfio-pci $dsa >/dev/null 2>&1 || echo refused
dpdk-devbind --status 2>/dev/null | ours

step driverctl list-devices of it
driverctl list-devices 2>&1 | ours

step driverctl set-override leaves it to its driver
driverctl --nosave set-override $dsa vfio-pci 2>&1 | grep '^driverctl:'
driverctl list-devices 2>&1 | ours
