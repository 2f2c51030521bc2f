#!/bin/sh
# Makes the oracle of vhost-vdpa: Debian's own kernel and its modules, vDPA's simulators, which it lacks, a
# QEMU to run it in, and the static init and executor of its guest. Everything lands in a cache directory
# outside the repository, under the package's version; what is there already is not made again. Prints the
# directory as its last line.
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
scripts=$here/../scripts
cache=$("$scripts/cache.sh")
release=7.3.4+deb13-amd64
suite=trixie-backports
home=$cache/vdpa-$release

# One makes it, others wait for what it makes.
exec 9>"$cache/lock"
flock 9
[ -f "$home/vmlinuz" ] || "$scripts/debian-kernel.sh" "$home" "$release" "$suite" \
	irqbypass vhost_iotlb vhost vdpa vhost_vdpa
newer=$("$here/../qemu/fetch.sh" trixie)
[ -f "$home/mod/vringh.ko" ] || "$here/kernel-modules.sh" "$release" "$home/mod" \
	"$(dirname "$newer")/root/usr/lib/x86_64-linux-gnu" 'vringh vdpa_sim vdpa_sim_net vdpa_sim_blk' \
	'*/drivers/vdpa/vdpa_sim' '*/drivers/vhost/vringh.c'
"$here/programs.sh" "$home" vdpa-init.c guest.c
ln -sf "$newer" "$home/qemu"
echo "$home"
