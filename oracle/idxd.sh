#!/bin/sh
# Makes the oracle of DSA's driver: Debian's own kernel with real idxd, the kernel's dmatest, two modules of
# ours for what QEMU's processors and IOMMU lack, a QEMU, and the static init and executor of its guest.
# Everything lands in a cache directory outside the repository, under the package's version; what is there
# already is not made again. Prints the directory as its last line.
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
scripts=$here/../scripts
cache=$("$scripts/cache.sh")
release=7.3.4+deb13-amd64
home=$cache/idxd-$release
sources="$here/iommu-svm.c $here/movdir64b.c"

# One makes it, others wait for what it makes.
exec 9>"$cache/lock"
flock 9
[ -f "$home/vmlinuz" ] || "$scripts/debian-kernel.sh" "$home" "$release" trixie-backports idxd_bus idxd
qemu=$("$here/../qemu/fetch.sh" trixie)
# shellcheck disable=SC2086
[ -f "$home/modules" ] && [ -z "$(find $sources -newer "$home/modules")" ] || {
	"$here/kernel-modules.sh" "$release" "$home/mod" "$(dirname "$qemu")/root/usr/lib/x86_64-linux-gnu" \
		'iommu-svm movdir64b dmatest' $sources \
		'*/drivers/iommu/intel/iommu.h' '*/drivers/dma/dmatest.c'
	touch "$home/modules"
}
"$here/programs.sh" "$home" idxd-init.c guest.c
ln -sf "$qemu" "$home/qemu"
echo "$home"
