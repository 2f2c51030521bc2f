#!/bin/busybox sh
# The first process of the guest with Linux. The kernel's command line says what to do, as `task=storage` and
# with numbers for it; the kernel makes variables of these words.

. /say.sh
for module in failover net_failover virtio_net virtio_blk; do insmod "/mod/$module.ko"; done

# What the kernel has to complain of when a device, or what is on it, is not as it should be.
wrong='I/O error|EXT4-fs (error|warning)|virtio[^:]*: .*(fail|error|broken|not a head)|NETDEV WATCHDOG'
wrong="$wrong|nvme.*(timeout|fail|error|down|unable|invalid|unsupported|removing)"
disk=/dev/vda

# sums DIRECTORY: of all that is below it, in the order of the names.
sums() { (cd "$1" && find . -type f | sort | xargs md5sum && find . -type l | sort | xargs ls -l); }

# make_tree: $files files of up to 64 KiB, one of $megabytes MiB, one that is a hole with an end; links; and
# a part that is gone again.
make_tree() {
	n=0
	while [ "$n" -lt "$files" ]; do
		mkdir -p "/mnt/tree/$((n % 7))/$((n % 5))"
		head -c $((n * 7919 % 65536)) /dev/urandom >"/mnt/tree/$((n % 7))/$((n % 5))/$n" || return 1
		n=$((n + 1))
	done
	dd if=/dev/urandom of=/mnt/tree/large bs=1M count="$megabytes" 2>/dev/null || return 1
	echo end | dd of=/mnt/tree/hole bs=1M seek=100 2>/dev/null || return 1
	ln -s ../large /mnt/tree/1/link
	ln /mnt/tree/large /mnt/tree/again
	rm -r /mnt/tree/3
}

# storage: a file system with a tree of files; after a reboot they are read again.
storage() {
	if mount -t ext4 $disk /mnt 2>/dev/null; then
		(sums /mnt/tree | cmp - /mnt/sums) || fail "the files have changed over the reboot"
		say "read again: $(md5sum </mnt/sums)"
		return
	fi
	/bin/mke2fs -q -t ext4 -E nodiscard $disk || fail "no file system could be made"
	mount -t ext4 $disk /mnt || fail "the file system cannot be mounted"
	make_tree || fail "the tree cannot be written"
	sums /mnt/tree >/mnt/sums
	echo 3 >/proc/sys/vm/drop_caches
	(sums /mnt/tree | cmp - /mnt/sums) || fail "the files are not what was written"
	fstrim /mnt || fail "free blocks cannot be discarded"
	say "written: $(md5sum </mnt/sums)"
	umount /mnt || fail "the file system cannot be unmounted"
	check_log "$wrong"
	end reboot
	sleep 60
}

# verify: fio writes, and reads again what it has written.
verify() {
	fio --name=verify --directory=/mnt --size="${megabytes}m" --bsrange="${block:-512}-256k" --rw=randrw \
		--loops="$loops" --ioengine=libaio --iodepth=32 --direct=1 --numjobs=2 \
		--verify=crc32c --verify_fatal=1 --eta=never --output=/fio.log || { cat /fio.log; fail fio; }
	rm /mnt/verify*
	say "fio has verified what it wrote"
}

# find_partition: makes one where there is none.
find_partition() {
	until [ -b /dev/nvme0n1 ]; do sleep 0.1; done
	disk=/dev/nvme0n1p1
	[ -b $disk ] || printf 'n\np\n1\n\n\nw\n' | fdisk /dev/nvme0n1 >/fdisk.log || fail "$(cat /fdisk.log)"
	until [ -b $disk ]; do sleep 0.1; done
}

# amid WHAT FILE: writes 1 to FILE while a file is written, of which all must have arrived.
amid() {
	head -c "$((megabytes << 20))" /dev/urandom >/amid
	cp /amid /mnt/amid && sync &
	sleep 0.2
	echo 1 >"$2" || fail "no $1"
	wait $! || fail "nothing can be written since $1"
	echo 3 >/proc/sys/vm/drop_caches
	cmp /amid /mnt/amid || fail "what was written during $1 is not there"
	rm /amid /mnt/amid
	say "$1 while a file was written"
}

# resets: of the controller by the driver, and of the function as itself and by the bus that it is on.
resets() {
	function=$(readlink -f /sys/class/nvme/nvme0/device)
	amid 'a controller reset' /sys/class/nvme/nvme0/reset_controller
	amid 'a function level reset' "$function/reset"
	echo bus >"$function/reset_method" || fail "the function cannot be reset by its bus"
	amid 'a hot reset' "$function/reset"
}

# fields COMMAND FIELD...: what nvme-cli prints of these.
fields() {
	nvme $1 >/fields 2>&1 || fail "nvme $1: $(cat /fields)"
	shift
	for field in "$@"; do say "$(grep -E "^$field[[:space:]]*:" /fields | tr -d '[:space:]')"; done
}

# refused COMMAND: what nvme-cli says of the status.
refused() {
	nvme $1 >/refused 2>&1 && fail "nvme $1 is not refused"
	say "$1: $(grep -o 'NVMe status: .*' /refused || cat /refused)"
}

ask_nvme_cli() {
	fields 'id-ctrl /dev/nvme0' sn nn sqes cqes
	fields 'id-ns /dev/nvme0n1' nsze nlbaf
	fields 'smart-log /dev/nvme0' critical_warning media_errors
	for log in fw-log error-log effects-log supported-log-pages changed-ns-list-log; do
		nvme $log /dev/nvme0 >/log 2>&1 || fail "nvme $log: $(cat /log)"
	done
	refused 'get-log /dev/nvme0 --log-id=0x7f --log-len=512'
	refused 'get-feature /dev/nvme0 --feature-id=0x7f'
	refused 'format /dev/nvme0n1 --lbaf=0 --force'
	refused 'id-ns /dev/nvme0 --namespace-id=9'
	refused 'read /dev/nvme0n1 --start-block=0xfffffffff --data-size=4096 --block-count=0'
	refused 'admin-passthru /dev/nvme0 --opcode=0x7f'
}

# cards: each is in a network of its own. In one, the kernel would not send to itself by wire.
cards() {
	unshare -n sleep 100000 &
	other=$!
	while [ "$(readlink "/proc/$other/ns/net")" = "$(readlink /proc/1/ns/net)" ]; do sleep 0.1; done
	ip link set eth1 netns "$other"
	ip addr add 10.0.0.1/24 dev eth0
	ip link set eth0 up
	there ip addr add 10.0.0.2/24 dev eth1
	there ip link set eth1 up
}

there() { nsenter -t "$other" -n "$@"; }

network() {
	cards
	ping -q -c 10 -i 0.1 10.0.0.2 >/ping.log || { cat /ping.log; fail "ping"; }
	say "$(grep -o '10 packets received' /ping.log)"
	stream >/stream.sum
	cmp /stream.sum /received.sum || fail "$(cat /received.count) bytes received are not what was sent"
	say "$(($(cat /received.count) >> 20)) MiB received are those sent"
}

# stream: sends $traffic MiB and prints their sum; /received.sum and /received.count are what the other end
# has got. That end sends nothing, but for as long as it receives: this nc ends when it can send no more.
stream() {
	dd if=/dev/urandom of=/block bs=1M count=4 2>/dev/null
	mkfifo /sent /got /silence
	exec 3<>/silence
	md5sum </got >/received.sum &
	jobs=$!
	there nc -l -p 5000 <&3 | tee /got | wc -c >/received.count &
	jobs="$jobs $!"
	until there netstat -ltn | grep -q ':5000 '; do sleep 0.1; done
	md5sum </sent &
	jobs="$jobs $!"
	for n in $(seq $((traffic / 4))); do cat /block; done | tee /sent | nc 10.0.0.2 5000
	wait $jobs
}

# speed NAME RW SIZE DEPTH FIELD: what fio reads of $block_device in $seconds, by a field of its
# terse output.
speed() {
	until [ -e "$block_device" ]; do sleep 0.1; done
	fio --name="$1" --filename="$block_device" --rw="$2" --bs="$3" --iodepth="$4" \
		--ioengine=libaio --direct=1 --runtime="$seconds" --time_based --eta=never \
		--output-format=terse --output=/fio.log || fail fio
	say "$1 $(cut -d ';' -f "$5" /fio.log)"
}

case $task in
storage)
	storage
	[ "$traffic" = 0 ] || network
	verify
	umount /mnt || fail "the file system cannot be unmounted"
	;;
nvme)
	find_partition
	storage
	verify
	ask_nvme_cli
	resets
	umount /mnt || fail "the file system cannot be unmounted"
	;;
records)
	# The host saves the guest here, and plugs the devices in when it goes on.
	say waiting
	read -r round wire
	if [ "$wire" = wire ]; then
		until [ -e /sys/class/net/eth1 ]; do sleep 0.05; done
		cards
		ping -A -q -s 1400 10.0.0.2 >/dev/null &
	fi
	until [ -b $disk ]; do sleep 0.05; done
	/bin/records $disk "$round" || fail "records"
	;;
speed)
	speed random randread 4k 32 8
	speed sequential read 1m 4 7
	;;
esac
check_log "$wrong"
say end
end poweroff
sleep 60
