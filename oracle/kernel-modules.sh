#!/bin/sh
# Builds modules that Debian's kernel RELEASE is built without, into DIRECTORY. The sources are those of its
# own package, as they are, and files of ours; the kernel itself is not built. Ten seconds, and the unpacking
# of the sources.
#
#   oracle/kernel-modules.sh RELEASE DIRECTORY LIBRARIES 'MODULE...' SOURCE...
#
# SOURCE: a file that is there, or a pattern of paths in the kernel's sources. LIBRARIES: what the programs of
# Debian's kernel packages are to run with, which want a newer C library than the machine may have: its
# ld-linux-x86-64.so.2, libelf and libz.
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh.
set -eu

release=$1 directory=$2 libraries=$3 modules=$4
shift 4
scripts=$(cd "$(dirname "$0")/../scripts" && pwd)
suite=trixie-backports
version=${release%-*}
work=$(mktemp -d "$("$scripts/cache.sh")/modules.XXXXXX")
trap 'rm -rf "$work"' EXIT

for tool in gcc make xz perl; do
	command -v "$tool" >/dev/null || { echo "please install $tool" >&2; exit 1; }
done

package() { "$scripts/debian-package.sh" "$work" "$1" "$suite"; }

for name in "linux-headers-$release" "linux-headers-$version-common" "linux-kbuild-$version"; do
	dpkg-deb -x "$(package "$name")" "$work"
done
mkdir "$work/source" "$work/build"
patterns=
for source in "$@"; do
	if [ -f "$source" ]; then cp "$source" "$work/build"; else patterns="$patterns $source"; fi
done
# shellcheck disable=SC2086
(set -f && dpkg-deb --fsys-tarfile "$(package linux-source-7.3)" |
	tar -xOf - ./usr/src/linux-source-7.3.tar.xz | xz -dc -T0 |
	tar -xf - -C "$work/source" --wildcards $patterns)
find "$work/source" -name '*.[ch]' -exec mv {} "$work/build" \;
for module in $modules; do echo "obj-m += $module.o"; done >"$work/build/Makefile"

# wrap NAME PROGRAM: a script in the place of NAME, that runs PROGRAM with `libraries`.
kbuild=$work/usr/lib/linux-kbuild-$version
wrap() {
	printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' \
		"$libraries/ld-linux-x86-64.so.2" "$libraries" "$kbuild/$2" >"$work/wrapper"
	chmod +x "$work/wrapper"
	mv "$work/wrapper" "$kbuild/$1"
}
mv "$kbuild/scripts/basic/fixdep" "$kbuild/scripts/basic/fixdep.real"
wrap scripts/basic/fixdep scripts/basic/fixdep.real
wrap scripts/mod/modpost scripts/mod/modpost.real-lsb-64
wrap tools/objtool/objtool tools/objtool/objtool.real-x86

# The machine's compiler may be older than that of the kernel: what it does not know is left out.
headers=$work/usr/src/linux-headers-$release
printf 'override ARCH = x86\noverride KERNELRELEASE = %s\n' "$release" >"$headers/.kernelvariables"
make -C "$work/usr/src/linux-headers-$version-common" KBUILD_OUTPUT="$headers" M="$work/build" \
	CONFIG_DEBUG_INFO= CONFIG_DEBUG_INFO_BTF_MODULES= CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT= \
	modules >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
strip --strip-debug "$work/build"/*.ko
mv "$work/build"/*.ko "$directory"
