#!/bin/bash
# A second client of vhost-vdpa: Debian's libblkio, with its driver virtio-blk-vhost-vdpa, writes and reads a
# disk of ours. Then the file is looked at from outside.
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
scripts=$here/../scripts
home=$("$scripts/cache.sh")/blkio
blocks=8192

"$scripts/debian-root.sh" "$home" trixie libblkio1 libblkio-dev

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
libraries=$home/root/usr/lib/x86_64-linux-gnu
gcc -O2 -Wall -Wextra -Werror -I "$home/root/usr/include" -o "$work/client" "$here/client.c" \
	-L "$libraries" -lblkio -Wl,-rpath,"$libraries"
truncate -s $((blocks * 4096)) "$work/disk.img"
for queues in 1 2; do
	node "$here/../bin/ioasid" run -d "virtio-blk,file=$work/disk.img,queues=$queues" -- \
		"$work/client" /dev/vhost-vdpa-0 "$queues" "$blocks" "$queues"
	"$work/client" "$work/disk.img" 0 "$blocks" "$queues"
	echo "libblkio: $blocks blocks written, made zeros and read over $queues queues; the file has them"
done
