#!/bin/sh
# Makes the two static programs that a guest begins with, unless they are newer than their sources.
#
#   oracle/programs.sh DIRECTORY SOURCE...      DIRECTORY/init of the sources, and DIRECTORY/executor
set -eu

directory=$1
shift
cd "$(dirname "$0")"

# program NAME SOURCES...
program() {
	name=$directory/$1
	shift
	[ -x "$name" ] && [ -z "$(find "$@" ./*.h -newer "$name")" ] && return
	gcc -static -O2 -Wall -Wextra -Werror -o "$name.new" "$@"
	mv "$name.new" "$name"
}

program init "$@"
program executor executor.c names.c answers.c ioctl.c files.c memory.c device.c attributes.c
