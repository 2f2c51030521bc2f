#!/bin/sh
# Asks the real kernel: runs one script of the executor's language in a fresh kernel and prints the answers.
# The kernel must have been built (oracle/build.sh).
#
#   oracle/run.sh SCRIPT        one answer per line
#   oracle/run.sh -v SCRIPT     each line with its answer, then what the kernel warned of
set -eu

verbose=
if [ "${1:-}" = -v ]; then
	verbose=1
	shift
fi
script=${1:?usage: run.sh [-v] SCRIPT}
cache=$("$(dirname "$0")/../scripts/cache.sh")
kernel=$(ls -td "$cache"/uml-*/linux 2>/dev/null | head -n 1)
[ -n "$kernel" ] || { echo 'no kernel: run oracle/build.sh' >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$script" "$work/script"
timeout 60 "$kernel" mem=64M seccomp=on uml_dir="$work" con0=null con=null ssl=null quiet \
	root=/dev/root rootfstype=hostfs "rootflags=$(dirname "$kernel")/root" rw \
	init=/init "work=$work" >"$work/console" 2>&1 || true
[ -f "$work/out" ] || { cat "$work/console" >&2; exit 1; }
if [ -n "$verbose" ]; then
	grep -v -e '^#' -e '^[[:space:]]*$' "$script" | paste -d '\n' - "$work/out" | sed 'n;s/^/        -> /'
	sed -n '/Run .init as init/,$p' "$work/log" | grep '^<[0-4]>' || true
else
	cat "$work/out"
fi
