#!/bin/busybox sh
# The first process of the guest with a dsa, which the kernel's own idxd drives: Intel's accel-config makes a
# work queue of the kernel's, which the kernel's dmatest copies by, and with `sva=1` two of users', a
# dedicated and a shared one, which Intel's dsa_test has do every operation in its own address space.

. /say.sh
export PATH=/bin
for module in iommu-svm movdir64b idxd_bus idxd; do
	# Without an IOMMU there is nothing to tell it.
	[ "$module$sva" = iommu-svm0 ] || insmod "/mod/$module.ko" || fail "no module $module"
done

# config ARGUMENTS: accel-config, which has to succeed.
config() {
	accel-config "$@" >/config.log 2>&1 || fail "accel-config $*: $(cat /config.log)"
}

# refused ARGUMENTS: accel-config, which has to fail.
refused() {
	accel-config "$@" >/config.log 2>&1 && fail "accel-config $* is not refused"
}

# queue NAME TYPE DRIVER MODE: configures one of the device's.
queue() {
	threshold=
	[ "$4" = dedicated ] || threshold=--threshold=8
	config config-wq "dsa0/$1" --group-id=0 --wq-size=16 --priority=10 --block-on-fault=0 \
		--name=test --type="$2" --driver-name="$3" --mode="$4" $threshold
}

configure() {
	config config-engine dsa0/engine0.0 --group-id=0
	queue wq0.0 kernel dmaengine dedicated
	[ "$sva" = 0 ] || { queue wq0.1 user user dedicated; queue wq0.2 user user shared; }
	config enable-device dsa0
	refused enable-device dsa0
	config enable-wq dsa0/wq0.0
	[ "$sva" = 0 ] || config enable-wq dsa0/wq0.1 dsa0/wq0.2
	refused enable-wq dsa0/wq0.0
	refused config-wq dsa0/wq0.0 --priority=3
}

# copies: by the kernel's queue, of sizes and offsets at random. What ends a run in this kernel leaves the
# queue with an interrupt handle that no device has: it is enabled anew for the next.
copies() {
	round=$((round + 1))
	insmod /mod/dmatest.ko channel=dma0chan0 iterations="$iterations" timeout=60000 run=1 ||
		fail "dmatest: $(dmesg)"
	cat /sys/module/dmatest/parameters/wait >/dev/null
	dmesg | grep -o 'summary .* failures' >/summaries
	[ "$(wc -l </summaries)" = "$round" ] || fail "dmatest: $(dmesg)"
	say "dmatest: $(tail -n 1 /summaries)"
	rmmod dmatest
}

# operations MODE: by dsa_test, in batches too. It takes the first queue of the mode.
operations() {
	for opcode in 0x0 0x2 0x3 0x4 0x5 0x6 0x7 0x8 0x9 0x10 0x11 0x12 0x13 0x14 0x15 0x20; do
		for options in "-o $opcode" "-o 0x1 -b $opcode -c 8"; do
			[ "$options" != '-o 0x1 -b 0x2 -c 8' ] || continue
			dsa_test -w "$1" -l 4096 $options >/out 2>&1 && ! grep -q '\[error\]' /out ||
				fail "dsa_test -w $1 -l 4096 $options: $(cat /out)"
			runs=$((runs + 1))
		done
	done
}

round=0
configure
config save-config -s /saved
copies
runs=0
[ "$sva" = 0 ] || { operations 0; operations 1; }
say "dsa_test: $runs runs"
config disable-device dsa0
# As it was, from what was saved.
config load-config -e -c /saved
copies
config disable-device dsa0
check_log 'idxd.*(error|fail|timeout|timed out|invalid|halt)|DMAR.*(fault|Fault|error)|dmatest.*fail(ed|ure:)'
say end
end poweroff
sleep 60
