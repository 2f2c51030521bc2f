#!/bin/bash
# What dsa_test knows and its runner leaves out: delta records, the other sizes of DIF's blocks, more
# descriptors than a work queue has room for. Started by test.sh, under `ioasid run`.
set -euo pipefail

runs=0
# try OPTION...: dsa_test with these, on a dedicated and a shared work queue, with block on fault and without.
try() {
	for mode in 0 1; do
		for flags in 0x0 0x1; do
			./dsa_test -w $mode -f $flags -v "$@" >beyond.out 2>&1 && ! grep -q '\[error\]' beyond.out || {
				tail -n 40 beyond.out
				echo "dsa_test -w $mode -f $flags $* has failed"
				exit 1
			}
			runs=$((runs + 1))
		done
	done
}

accel-config load-config -c configs/2g2q_user_1.conf
accel-config enable-device dsa0
accel-config enable-wq dsa0/wq0.0 dsa0/wq0.1

# Create, and create and apply.
for opcode in 0x7 0x8; do
	for length in 4096 262144; do
		try -o $opcode -l $length
		try -o 0x1 -b $opcode -c 16 -l $length
	done
done
# Check, insert, strip and update, in blocks of 520 and 4104 bytes.
for opcode in 0x12 0x13 0x14 0x15; do
	for length in 1040 8208; do
		try -o $opcode -l $length
		try -o 0x1 -b $opcode -c 16 -l $length
	done
done
for opcode in 0x3 0x8 0x11 0x15 0x20; do try -o $opcode -l 4096 -n 40; done

accel-config disable-device dsa0
echo "$runs runs"
