#!/bin/sh
# A device's folder below /sys that is no sysfs, such as a bind mount of a copy of it, is no device to
# libudev: ENODEV, whatever is in it.
#
# A good guess is that sysfs is a tree of files, and that who shows a program another tree at its place, in
# a mount namespace (a made or a filtered /sys for tests, containers or emulated devices, on tmpfs or FUSE),
# shows it other devices: lspci, driverctl and DPDK's scripts, which open the files, see them. libudev asks
# statfs for the filesystem before it reads anything, so what links against it (udevadm, libvirt, libinput,
# Qt) does not, with the same files, the same contents and the same links. systemd's docs/ENVIRONMENT.md
# tells how a test may have it otherwise.
#
# Seen with libudev of systemd 257.13 (Debian's libudev1 257.13-1~deb13u1). Prints what it says of one
# device in sysfs and of its copy; fails when it is otherwise.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

for package in $("$here/../scripts/debian-package.sh" --with-dependencies "$folder/packages" \
	libudev1=257.13-1~deb13u1 trixie 2>/dev/null); do dpkg-deb -x "$package" root; done
libraries=$folder/root/usr/lib/x86_64-linux-gnu
# asked SYSPATH: what libudev says of the device there.
cat >ask.c <<'C'
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	void *library = dlopen("libudev.so.1", RTLD_NOW);
	void *(*make)(void) = dlsym(library, "udev_new");
	void *(*find)(void *, const char *) = dlsym(library, "udev_device_new_from_syspath");
	const char *(*name)(void *) = dlsym(library, "udev_device_get_sysname");
	void *device = find(make(), argv[argc - 1]);

	printf("%s\n", device ? name(device) : strerror(errno));
}
C
gcc -O1 -o ask ask.c -ldl

cat >compare.sh <<'SH'
device=/sys/devices/virtual/mem/null
ask() { root/usr/lib64/ld-linux-x86-64.so.2 --library-path "$1" ./ask $device; }
echo "sysfs: $(ask "$1")"
mkdir copy
mount -t tmpfs none copy
cp -a $device copy 2>/dev/null || true
mount --bind copy/null $device
echo "a copy in its place, with its $(cat $device/dev) and $(readlink $device/subsystem): $(ask "$1")"
SH
unshare --map-root-user --mount sh compare.sh "$libraries" | tee said
cat >expected <<'END'
sysfs: null
a copy in its place, with its 1:3 and ../../../../class/mem: No such device
END
cmp expected said
