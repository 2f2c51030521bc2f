#!/bin/bash
# A configuration goes in by accel-config, comes out as it went in, and in again; what it made is enabled and
# disabled. Started by test.sh, under `ioasid run`.
set -euo pipefail

stop() { echo "$*" >&2; exit 1; }
# shows WHAT TEXT: does `accel-config list WHAT` show TEXT?
shows() {
	# shellcheck disable=SC2086
	list=$(accel-config list $1)
	[[ $list == *"$2"* ]] || stop "accel-config list $1 does not show $2, but $list"
}

enable() {
	accel-config enable-device dsa0
	accel-config enable-wq dsa0/wq0.0 dsa0/wq0.1
}

shows -i '"dev":"dsa0"'
accel-config load-config -c configs/2g2q_user_1.conf
enable
shows '' '"state":"enabled"'
shows '' '"dev":"wq0.1"'
accel-config save-config -s saved.conf
# What is enabled is not configured, and not enabled twice.
! accel-config config-wq dsa0/wq0.0 --priority 3 || stop 'an enabled work queue was configured'
! accel-config enable-wq dsa0/wq0.0 || stop 'a work queue was enabled twice'
accel-config disable-wq dsa0/wq0.0 dsa0/wq0.1
accel-config disable-device dsa0

accel-config load-config -e -c saved.conf
accel-config save-config -s again.conf
diff saved.conf again.conf
accel-config disable-device dsa0
shows -i '"state":"disabled"'
