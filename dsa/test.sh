#!/bin/bash
# Intel's own programs for a DSA that Linux's driver has, unmodified, from Debian 13: accel-config configures
# a dsa through /sys/bus/dsa, and the runners of accel-config-test try what can be configured, and every
# operation on shared and dedicated work queues, in batches and without; beyond.sh what they leave out.
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$("$here/fetch.sh")
libraries=$root/usr/lib/x86_64-linux-gnu
tests=$root/usr/libexec/accel-config/test
# What the runner is to do: runs of dsa_test.
runs=476

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# made_for FILE PROGRAM: FILE becomes a command that runs PROGRAM with the C library that it was made for.
made_for() {
	printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' \
		"$root/usr/lib64/ld-linux-x86-64.so.2" "$libraries" "$2" >"$1"
	chmod +x "$1"
}

# The runners look for their programs in the folder that they are started in. There are no modules here.
mkdir "$work/accfg" "$work/bin"
made_for "$work/accfg/accel-config" "$root/usr/bin/accel-config"
made_for "$work/dsa_test" "$tests/dsa_test"
made_for "$work/iaa_test" "$tests/iaa_test"
ln -s "$work/accfg/accel-config" "$work/bin/accel-config"
for none in lsmod rmmod modprobe; do ln -s /bin/true "$work/bin/$none"; done
cp -r "$tests/configs" "$work"
cd "$work"

# judge SECONDS COMMAND...: runs it on a dsa of idxd's, and shows what it printed when it fails.
judge() {
	seconds=$1
	shift
	PATH=$work/bin:$PATH timeout -k 1 "$seconds" node "$here/../bin/ioasid" run -d dsa,idxd=1 -- "$@" \
		>"$work/output" 2>&1 || { tail -n 100 "$work/output"; echo "failed: $*" >&2; exit 1; }
}

judge 60 "$here/configure.sh"
cat "$work/output"
# What is loaded is a part of what is saved, which has all attributes.
node "$here/has-all.js" "$work/configs/2g2q_user_1.conf" "$work/saved.conf"
echo "accel-config: configured, enabled, saved, loaded again, disabled"

judge 120 "$tests/dsa_config_test_runner.sh"
echo "dsa_config_test_runner.sh: passed"

judge 600 "$tests/dsa_user_test_runner.sh"
count=$(grep -c '^Testing [0-9]* bytes$' "$work/output" || true)
if [ "$count" != "$runs" ] || grep '\[error\]' "$work/output"; then
	tail -n 100 "$work/output"
	echo "dsa_user_test_runner.sh has done $count of $runs runs, or says there was an error" >&2
	exit 1
fi
echo "dsa_user_test_runner.sh: $count runs of dsa_test, no error"

judge 120 "$here/beyond.sh"
echo "delta records, all blocks of DIF, many descriptors: $(tail -n 1 "$work/output") of dsa_test, no error"
