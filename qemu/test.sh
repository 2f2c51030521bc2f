#!/bin/sh
# Runs QEMU, as Debian ships it, under `ioasid run`, with the emulated device edu assigned to a virtual machine by
# `-object iommufd` and `-device vfio-pci`, and a guest of our own (guest.c) in that machine which has the device do DMA to guest memory.
#
#   qemu/test.sh            builds nothing but the guest: run `npm run build` first
#
# QEMU 10 of bookworm-backports is fetched by apt into a cache directory outside the repository, with lists and sources of
# its own, and unpacked there; nothing is installed. Software emulation (TCG): no /dev/kvm is needed.
#
# Environment: IOASID_CACHE (default $XDG_CACHE_HOME/ioasid, ~/.cache/ioasid), QEMU_MIRROR (default: the Debian mirror of this machine's apt).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${IOASID_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ioasid}/qemu-10
mirror=${QEMU_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -n 1)}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
libraries=$cache/root/usr/lib/x86_64-linux-gnu:$cache/root/lib/x86_64-linux-gnu

stop() { echo "qemu: $*" >&2; exit 1; }

fetch() {
	mkdir -p "$cache/lists/partial" "$cache/apt/archives/partial"
	for suite in bookworm-backports bookworm; do
		echo "deb [signed-by=$keyring] $mirror $suite main"
	done >"$cache/sources.list"
	cat >"$cache/apt.conf" <<-END
		Dir::Etc::sourcelist "$cache/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::State::lists "$cache/lists";
		Dir::Cache "$cache/apt";
		APT::Install-Recommends "false";
	END
	APT_CONFIG=$cache/apt.conf apt-get update -q >&2
	APT_CONFIG=$cache/apt.conf apt-get install -y -q --download-only -t bookworm-backports qemu-system-x86 >&2
	for package in "$cache"/apt/archives/*.deb; do dpkg-deb -x "$package" "$cache/root"; done
	touch "$cache/complete"
}

[ -e "$cache/complete" ] || fetch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -m32 -O1 -std=gnu11 -Wall -Wextra -Werror -ffreestanding -fno-pie -fno-stack-protector -fcf-protection=none \
	-fno-asynchronous-unwind-tables -mno-sse -nostdlib -static -Wl,-Ttext=0x100000,--build-id=none,-z,noexecstack \
	-o "$work/guest" "$here/guest.c"

# The program that becomes QEMU opens the files: that is all that QEMU has to be given.
status=0
LD_LIBRARY_PATH=$libraries timeout -k 5 60 node "$here/../bin/ioasid" run --device edu -- \
	bash -c 'exec 20<>/dev/iommu 21<>/dev/vfio/devices/vfio0; exec "$@"' launch \
	"$cache/root/usr/bin/qemu-system-x86_64" -L "$cache/root/usr/share/qemu" -L "$cache/root/usr/share/seabios" \
	-machine q35,accel=tcg -m 64 -display none -nodefaults -monitor none -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4 \
	-object iommufd,id=i0,fd=20 -device vfio-pci,id=v0,fd=21,iommufd=i0 \
	-kernel "$work/guest" </dev/null >"$work/said" 2>"$work/complaints" || status=$?

cat "$work/said" "$work/complaints"
# isa-debug-exit ends QEMU with 2 * 0 + 1.
[ "$status" = 1 ] || stop "ended with status $status"
[ ! -s "$work/complaints" ] || stop "QEMU or the server has complained"
cat >"$work/wanted" <<END
identification 010000ed
liveness edcba987
no DMA without bus mastering
DMA through guest memory
end
END
tr -d '\r' <"$work/said" | cmp -s - "$work/wanted" || stop "the guest has said something else"
echo "qemu: the guest's DMA went through iommufd"
