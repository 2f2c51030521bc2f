#!/bin/sh
# Makes the oracle: the kernel (uml/kernel.sh), and beside it the root that it boots with, with a static init
# and executor. Prints the directory of both as its last line.
#
#   oracle/build.sh
set -eu

here=$(cd "$(dirname "$0")" && pwd)
home=$("$here/../uml/kernel.sh")
mkdir -p "$home/root/proc" "$home/root/sys" "$home/root/dev" "$home/root/tmp"
"$here/programs.sh" "$home/root" init.c
echo "$home"
