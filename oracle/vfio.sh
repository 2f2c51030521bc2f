#!/bin/sh
# Makes the oracle of device files: Debian's own kernel with real vfio-pci, the modules that it needs, a QEMU
# to run it in, and the static init and executor of its guest. Everything lands in a cache directory outside
# the repository, under the package's version; what is there already is not made again. Prints the directory
# as its last line.
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
scripts=$here/../scripts
cache=$("$scripts/cache.sh")
release=7.3.4+deb13-amd64
suite=trixie-backports
modules='irqbypass vfio vfio_iommu_type1 vfio-pci-core vfio-pci'
home=$cache/vfio-$release

# One makes it, others wait for what it makes.
exec 9>"$cache/lock"
flock 9
# shellcheck disable=SC2086
[ -f "$home/vmlinuz" ] || "$scripts/debian-kernel.sh" "$home" "$release" "$suite" $modules
"$here/programs.sh" "$home" vfio-init.c guest.c
ln -sf "$("$here/../qemu/fetch.sh" bookworm)" "$home/qemu"
echo "$home"
