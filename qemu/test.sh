#!/bin/sh
# Runs QEMU, as Debian ships it, under `ioasid run`, with emulated devices assigned to a virtual machine by `-object iommufd` and
# `-device vfio-pci`, and a guest of our own in that machine which has the devices do DMA to guest memory.
#
#   qemu/test.sh            builds nothing but the guests: run `npm run build` first
#
# Two machines: one without an IOMMU of its own, in QEMU 10 (guest.c), and one with a virtual Intel IOMMU whose first-stage tables QEMU hands to
# iommufd, in QEMU 11 (guest-vtd.c).
#
# The packages, and all that they need down to the C library, are fetched by apt into a cache directory outside the repository, with lists and
# sources of its own, and unpacked there; nothing is installed. Software emulation (TCG): no /dev/kvm is needed.
#
# Environment: IOASID_CACHE (default $XDG_CACHE_HOME/ioasid, ~/.cache/ioasid), QEMU_MIRROR (default: the Debian mirror of this machine's apt).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
caches=${IOASID_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ioasid}
mirror=${QEMU_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -n 1)}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

stop() { echo "qemu: $*" >&2; exit 1; }

# fetch RELEASE: QEMU of the release's backports into $cache.
fetch() {
	mkdir -p "$cache/lists/partial" "$cache/apt/archives/partial"
	: >"$cache/status"
	for suite in "$1-backports" "$1"; do
		echo "deb [signed-by=$keyring] $mirror $suite main"
	done >"$cache/sources.list"
	cat >"$cache/apt.conf" <<-EOF
		Dir::Etc::sourcelist "$cache/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::State::lists "$cache/lists";
		Dir::State::status "$cache/status";
		Dir::Cache "$cache/apt";
		APT::Install-Recommends "false";
	EOF
	APT_CONFIG=$cache/apt.conf apt-get update -q >&2
	APT_CONFIG=$cache/apt.conf apt-get install -y -q --download-only -t "$1-backports" qemu-system-x86 >&2
	for package in "$cache"/apt/archives/*.deb; do dpkg-deb -x "$package" "$cache/root"; done
	touch "$cache/complete"
}

# build GUEST
build() {
	gcc -m32 -O1 -std=gnu11 -Wall -Wextra -Werror -ffreestanding -fno-pie -fno-stack-protector -fcf-protection=none \
		-fno-asynchronous-unwind-tables -mno-sse -nostdlib -static -Wl,-Ttext=0x100000,--build-id=none,-z,noexecstack \
		-o "$work/$1" "$here/$1.c"
}

# machine RELEASE GUEST ARGUMENTS QEMU-ARGUMENTS...: runs GUEST under `ioasid run ARGUMENTS`; stdin is what it must say.
# The program that becomes QEMU opens the files, as far as they are there: that is all that QEMU has to be given.
machine() {
	release=$1 guest=$2 arguments=$3
	shift 3
	cat >"$work/wanted"
	cache=$caches/qemu-$release
	[ -e "$cache/complete" ] || fetch "$release"
	build "$guest"
	libraries=$cache/root/usr/lib/x86_64-linux-gnu:$cache/root/lib/x86_64-linux-gnu
	loader=$(find "$cache/root" -name 'ld-linux-x86-64.so.2' | head -n 1)
	status=0
	# shellcheck disable=SC2086
	timeout -k 5 60 node "$here/../bin/ioasid" run $arguments -- \
		bash -c 'exec 20<>/dev/iommu 21<>/dev/vfio/devices/vfio0
			[ ! -e /dev/vfio/devices/vfio1 ] || exec 22<>/dev/vfio/devices/vfio1
			exec "$@"' launch \
		"$loader" --library-path "$libraries" "$cache/root/usr/bin/qemu-system-x86_64" \
		-L "$cache/root/usr/share/qemu" -L "$cache/root/usr/share/seabios" \
		-machine q35,accel=tcg -m 64 -display none -nodefaults -monitor none -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4 \
		-object iommufd,id=i0,fd=20 "$@" -kernel "$work/$guest" </dev/null >"$work/said" 2>"$work/complaints" || status=$?
	cat "$work/said" "$work/complaints"
	# isa-debug-exit ends QEMU with 2 * 0 + 1.
	[ "$status" = 1 ] || stop "ended with status $status"
	[ ! -s "$work/complaints" ] || stop "QEMU or the server has complained"
	tr -d '\r' <"$work/said" | cmp -s - "$work/wanted" || stop "the guest has said something else"
}

machine bookworm guest '--device edu' -device vfio-pci,id=v0,fd=21,iommufd=i0 <<END
identification 010000ed
liveness edcba987
no DMA without bus mastering
DMA through guest memory
end
END
echo "qemu: the guest's DMA went through iommufd"

machine trixie guest-vtd "--device edu --device $here/writer.js" \
	-device intel-iommu,scalable-mode=on,fsts=on,caching-mode=on,pasid-bits=20 \
	-device vfio-pci,id=v0,fd=21,iommufd=i0 -device vfio-pci,id=v1,fd=22,iommufd=i0 <<END
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
