# What the first process of every guest begins with, and how it says what is for the host to read: "guest:"
# before it. The first thing that goes wrong is told there too, and ends the guest.

/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys

say() { echo "guest: $*"; }

# The serial port sends what it was given before the machine goes.
end() {
	sleep 1
	"$1" -f
}

fail() {
	say "failed: $*"
	end poweroff
	sleep 60
}

# check_log PATTERN: what the kernel has to complain of when a device is not as it should be.
check_log() {
	dmesg | grep -E "$1|Oops|BUG:" >/complaints && fail "$(cat /complaints)"
}
