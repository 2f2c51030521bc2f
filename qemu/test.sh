#!/bin/sh
# Runs QEMU, as Debian ships it, under `ioasid run`, with emulated devices assigned to a virtual machine by
# `-object iommufd` and `-device vfio-pci`, and a guest of our own in that machine which has the devices do
# DMA to guest memory.
#
#   qemu/test.sh            builds nothing but the guests: run `npm run build` first
#
# Two such machines: one without an IOMMU of its own, in QEMU 10 (guest.c), by iommufd and by container
# (type1, and an iommufd in its place), and one with a virtual Intel IOMMU whose first-stage tables QEMU hands
# to iommufd, in QEMU 11 (guest-vtd.c). A third one has a virtio-blk by vhost-vdpa, and boots from it: SeaBIOS
# is its driver, and what is on the disk is boot.S.
#
# Software emulation (TCG): no /dev/kvm is needed. Environment: that of fetch.sh.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

stop() { echo "qemu: $*" >&2; exit 1; }

# isa-debug-exit ends QEMU with 2 * 0 + 1.
options='-machine q35,accel=tcg -m 64 -display none -nodefaults -monitor none -serial stdio
	-device isa-debug-exit,iobase=0xf4,iosize=4'

# build GUEST
build() {
	gcc -m32 -O1 -std=gnu11 -Wall -Wextra -Werror -ffreestanding -fno-pie -fno-stack-protector \
		-fcf-protection=none -fno-asynchronous-unwind-tables -mno-sse -nostdlib -static \
		-Wl,-Ttext=0x100000,--build-id=none,-z,noexecstack \
		-o "$work/$1" "$here/$1.c"
}

# What QEMU says of every BAR that it has mapped: an iommufd takes no BAR for DMA, on hardware neither.
no_peer_to_peer='IOMMU_IOAS_MAP failed: Bad address, PCI BAR
vfio_container_dma_map(.*-14 (Bad address)
PCI peer-to-peer transactions on BARs are not supported
VFIO dma-buf not supported in kernel, using mmap fallback'

# What we say of a command that has failed, as QEMU seems to with its status 1: what went wrong last. QEMU has
# tried to map a BAR for DMA, as above, or a queue's notifications; the guest has had a requester refused, or
# a device without bus mastering.
tells='(the last of [0-9]*: `run -v` tells all)$'
last_word="^ioasid: DMA fault: .* bus mastering is off in the command register of 0000:6a:01.0 $tells
^ioasid: DMA fault: .* nothing is attached for PASID 3 of requester 0000:6a:02.0 $tells
^ioasid: /dev/vhost-vdpa-0: ENODEV: vhost-vdpa-0 cannot be mapped $tells"

# check: QEMU, which ended with $status, and its guest have done what was wanted.
check() {
	cat "$work/said" "$work/complaints"
	[ "$status" = 1 ] || stop "ended with status $status"
	! grep -v -e "$no_peer_to_peer" -e "$last_word" "$work/complaints" ||
		stop "QEMU or the server has complained"
	tr -d '\r' <"$work/said" | cmp -s - "$work/wanted" || stop "the guest has said something else"
}

# The program that becomes QEMU opens the files: that is all that QEMU has to be given then.
cat >"$work/open" <<'END'
exec 20<>/dev/iommu 21<>/dev/vfio/devices/vfio0
exec "$@"
END

# machine LAUNCHER RELEASE GUEST ARGUMENTS QEMU-ARGUMENTS...: runs GUEST under `ioasid run ARGUMENTS`, in the
# QEMU that LAUNCHER becomes; stdin is what it must say.
machine() {
	launcher=$1 release=$2 guest=$3 arguments=$4
	shift 4
	cat >"$work/wanted"
	qemu=$("$here/fetch.sh" "$release")
	build "$guest"
	status=0
	# shellcheck disable=SC2086
	timeout -k 5 60 node "$here/../bin/ioasid" run $arguments -- $launcher "$qemu" $options "$@" \
		-kernel "$work/$guest" </dev/null >"$work/said" 2>"$work/complaints" || status=$?
	check
}

# edu HOW LAUNCHER RELEASE ARGUMENTS QEMU-ARGUMENTS...
edu() {
	how=$1 launcher=$2 release=$3 arguments=$4
	shift 4
	machine "$launcher" "$release" guest "--device edu $arguments" "$@" <<END
identification 010000ed
liveness edcba987
no DMA without bus mastering
DMA through guest memory
end
END
	echo "qemu: the guest's DMA went through $how"
}

address=host=0000:6a:01.0
edu 'iommufd, by descriptors' "bash $work/open" bookworm '' \
	-object iommufd,id=i0,fd=20 -device vfio-pci,id=v0,fd=21,iommufd=i0
edu 'iommufd, by address' env bookworm '' -object iommufd,id=i0 -device "vfio-pci,$address,iommufd=i0"
for kind in type1 iommufd; do
	edu "a container of kind $kind" env bookworm "--container $kind" -device "vfio-pci,$address"
done

machine env trixie guest-vtd "--device edu --device $here/writer.js" -object iommufd,id=i0 \
	-device intel-iommu,scalable-mode=on,fsts=on,caching-mode=on,pasid-bits=20 \
	-device "vfio-pci,$address,iommufd=i0" -device vfio-pci,host=0000:6a:02.0,iommufd=i0 <<END
an address that only the guest's table maps: written
the entries are marked as accessed, and that of the page written as dirty
the same memory, in a page for reading: not written
the same memory, at its address in the machine: not written
the same memory, in a large page: written
another page, when the table has been changed and invalidated: written
the page before: not written
the other page, when the table has nothing there any more: not written
the page after, where there never was anything: not written
PASID 3, an address that its table maps: written
PASID 3, an address that only the other device's table maps: not written
PASID 4, which has no entry: not written
no PASID, an address in the machine, because these requests pass through: written
PASID 3, when it has no entry any more: not written
end
END
echo "qemu: the guest's DMA went through tables of its own, nested by iommufd in the memory of the machine"

# disk RELEASE: boots from a disk that is a file of the server's, and looks into the file afterwards.
disk() {
	gcc -m32 -c -o "$work/boot.o" "$here/boot.S"
	ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$work/disk.img" "$work/boot.o"
	printf 'sector 1, read by the firmware through vhost-vdpa\n' >"$work/wanted"
	cat "$work/wanted" >>"$work/disk.img"
	truncate -s 1M "$work/disk.img"
	qemu=$("$here/fetch.sh" "$1")
	status=0
	# shellcheck disable=SC2086
	timeout -k 5 60 node "$here/../bin/ioasid" run --device "virtio-blk,file=$work/disk.img" -- \
		"$qemu" $options -device vhost-vdpa-device-pci,vhostdev=/dev/vhost-vdpa-0,bootindex=1 \
		</dev/null >"$work/said" 2>"$work/complaints" || status=$?
	check
	tail -c +1025 "$work/disk.img" | head -c "$(wc -c <"$work/wanted")" | cmp -s - "$work/wanted" ||
		stop "what the guest has written is not in the file"
}

for release in bookworm trixie; do disk "$release"; done
echo "qemu: the guests booted from a disk behind vhost-vdpa"
