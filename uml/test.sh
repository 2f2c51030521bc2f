#!/bin/bash
# Linux's own nvme driver as an ordinary process, without a virtual machine: User-Mode Linux with a
# PCI bus over VFIO (kernel.sh), on disks of ours (`npm run test:uml`).
#
#   uml/test.sh [KILLS]
#
# It mounts ext4, writes, reads and compares, as root where we are root and as a plain user; then e2fsck looks
# at the disk. KILLS times (default: 4) a process is killed with SIGKILL in the middle of its writes, the
# kernel and ioasid by turns, and what the kernel has said to be flushed must be on the disk.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
kills=${1:-4}
bdf=0000:6a:01.0

say() { echo "uml: $*"; }
stop() { say "$*" >&2; exit 1; }
give_up() { cat "$work/console" >&2; stop "$*"; }

PATH=$PATH:/usr/sbin:/sbin
for tool in mkfs.ext4 e2fsck gcc; do
	command -v "$tool" >/dev/null || stop "$tool is missing"
done
home=$("$here/kernel.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/dev" "$root/mnt"
cp "$home/linux" "$work/linux"
gcc -static -O2 -Wall -Wextra -Werror -o "$root/init" "$here/init.c"
users=self
if [ "$(id -u)" = 0 ]; then
	users='root plain'
	chmod 777 "$work"
fi

# as USER COMMAND...: in place of this shell. For a plain user /dev/fuse is made open to all, for him alone.
as() {
	user=$1
	shift
	[ "$user" = plain ] || exec "$@"
	exec unshare --mount sh -euc '
		mount -t tmpfs none /mnt
		mknod /mnt/fuse c 10 229
		chmod 666 /mnt/fuse
		mount --bind /mnt/fuse /dev/fuse
		umount -l /mnt
		exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "$@"' sh "$@"
}

# linux USER DISK PART: a kernel from boot to power-off, its console on stdout. In place of this shell.
linux() {
	as "$1" node "$here/../bin/ioasid" run --device "nvme,bdf=$bdf,file=$2,block=4096" -- \
		"$work/linux" mem=64M seccomp=on quiet "uml_dir=$work/uml-$1" \
		con0=null,fd:1 con=null ssl=null root=/dev/root rootfstype=hostfs "rootflags=$root" ro \
		init=/init "vfio_uml.device=$bdf" "part=$3"
}

new_disk() {
	rm -f "$1"
	truncate -s 64M "$1"
	chmod 666 "$1"
}

# What a kernel has said to be flushed last; whatever was cut off is not said.
last_flushed() {
	sed -n 's/^flushed \([0-9]*\)\..*/\1/p' "$1" | tail -n 1
}

verify() {
	disk=$work/$1.img
	new_disk "$disk"
	mkfs.ext4 -q -b 4096 "$disk"
	begin=$(date +%s%N)
	(linux "$1" "$disk" verify) </dev/null >"$work/console" 2>&1 || true
	taken=$((($(date +%s%N) - begin) / 1000000))
	grep -q '^passed' "$work/console" || give_up "$1 does not get through"
	e2fsck -fn "$disk" >"$work/console" 2>&1 || give_up 'the file system is broken'
	say "$1: ext4 on nvme written, read and compared, $taken ms from boot to power-off"
}

# kill_at USER COUNT VICTIM: kills `kernel` or `ioasid` when COUNT records have been flushed.
kill_at() {
	disk=$work/records.img
	new_disk "$disk"
	: >"$work/console"
	(linux "$1" "$disk" records) </dev/null >"$work/console" 2>&1 &
	server=$!
	until [ "$(last_flushed "$work/console" || true)" -ge "$2" ] 2>/dev/null; do
		kill -0 "$server" 2>/dev/null || give_up 'the kernel has ended by itself'
		sleep 0.005
	done
	victim=$server
	[ "$3" = ioasid ] || victim=$(pgrep -P "$server" -f "^$work/linux" | head -n 1 || true)
	# It may have ended with its records: that too is a moment.
	[ -z "$victim" ] || kill -9 "$victim" 2>/dev/null || true
	wait "$server" 2>/dev/null || true
	last=$(last_flushed "$work/console")
	"$root/init" check "$disk" "$last" || stop "$3 was killed after record $last"
}

for user in $users; do verify "$user"; done
for ((n = 0; n < kills; n++)); do
	victim=kernel
	((n % 2 == 0)) || victim=ioasid
	kill_at "${users##* }" $((1 + RANDOM % 100)) "$victim"
done
say "$kills times killed in the middle of its writes: what was flushed is on the disk"
