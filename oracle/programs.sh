#!/bin/sh
# Makes the two static programs that a guest begins with, unless they are newer than their sources.
#
#   oracle/programs.sh DIRECTORY INIT      DIRECTORY/init of INIT.c, and DIRECTORY/executor
set -eu

directory=$1
init=$2
cd "$(dirname "$0")"

# program NAME SOURCES...
program() {
	name=$directory/$1
	shift
	[ -x "$name" ] && [ -z "$(find "$@" executor.h -newer "$name")" ] && return
	gcc -static -O2 -Wall -Wextra -Werror -o "$name.new" "$@"
	mv "$name.new" "$name"
}

program init "$init.c"
program executor executor.c names.c answers.c ioctl.c files.c memory.c device.c
