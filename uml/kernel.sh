#!/bin/sh
# Builds Linux as an ordinary program (User-Mode Linux) from Debian's source package: with its own iommufd,
# which answers the oracle, and with the bus and the drivers by which it uses devices of ours. It lands in a
# cache directory outside the repository, under the version of the package, unless it is there already.
# the directory, which has `linux`, as its last line.
#
#   uml/kernel.sh [linux-source-7.3_VERSION_all.deb]
#
# Environment: that of scripts/cache.sh and scripts/debian-package.sh, and UML_JOBS (default: all CPUs).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
scripts=$here/../scripts
cache=$("$scripts/cache.sh")
jobs=${UML_JOBS:-$(nproc)}
package=linux-source-7.3
suite=trixie-backports

say() { echo "uml: $*" >&2; }
stop() { say "$*"; exit 1; }

install_host_tools() {
	missing=
	for pair in flex:flex bison:bison bc:bc xz:xz-utils make:make gcc:gcc dpkg-deb:dpkg perl:perl; do
		command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
	done
	printf '#include <stdio.h>\n' | gcc -E - >/dev/null 2>&1 || missing="$missing libc6-dev"
	[ -z "$missing" ] && return
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		say "installing$missing"
		apt-get install -y -q --no-install-recommends $missing >&2 ||
			{ apt-get update -q >&2 &&
				apt-get install -y -q --no-install-recommends $missing >&2; }
	else
		stop "please install:$missing"
	fi
}

newest() {
	ls -td "$@" 2>/dev/null | head -n 1
}

# Two one-line changes without which mock devices and fault queues fail under UML.
change_source() {
	core=$1/drivers/iommu/iommu.c
	sed -i 's/!IS_ENABLED(CONFIG_IOMMU_DMA)/& \&\& !IS_ENABLED(CONFIG_UML)/' "$core"
	grep -q 'IS_ENABLED(CONFIG_UML)' "$core" || stop "$core is not as expected"
	options=$1/drivers/iommu/Kconfig
	sed -i '/^config IOMMU_IOPF$/,/^$/s/^\tbool$/\tdef_bool y/' "$options"
	grep -A2 '^config IOMMU_IOPF$' "$options" | grep -q 'def_bool y' || stop "$options is not as expected"
}

unpack_source() {
	[ -f "$source/.complete" ] && return
	say "unpacking $(basename "$deb")"
	rm -rf "$source"
	mkdir -p "$source"
	dpkg-deb --fsys-tarfile "$deb" | tar -xOf - "./usr/src/$package.tar.xz" |
		xz -dc -T0 | tar -xf - -C "$source" --strip-components=1
	change_source "$source"
	touch "$source/.complete"
}

build_kernel() {
	unpack_source
	build=$home/build
	mkdir -p "$build"
	say "building the kernel (6 to 8 minutes on 2 CPUs), log in $home/build.log"
	{
		make -C "$source" ARCH=um O="$build" tinyconfig
		(cd "$source" &&
			scripts/kconfig/merge_config.sh -m -O "$build" "$build/.config" "$here/kernel.config")
		make -C "$source" ARCH=um O="$build" olddefconfig
		make -C "$source" ARCH=um O="$build" -j"$jobs" linux
	} >"$home/build.log" 2>&1 || { tail -n 20 "$home/build.log" >&2; stop 'the kernel did not build'; }
	while read -r option; do
		case $option in CONFIG_*) ;; *) continue ;; esac
		grep -qx "$option" "$build/.config" || say "the kernel did not take $option"
	done <"$here/kernel.config"
	strip -o "$home/linux.new" "$build/linux"
	mv "$home/linux.new" "$home/linux"
	cp "$here/kernel.config" "$home/kernel.config"
	rm -rf "$build" "$source"
}

is_built() {
	[ -x "$1/linux" ] && cmp -s "$1/kernel.config" "$here/kernel.config"
}

[ "$(uname -m)" = x86_64 ] || stop 'User-Mode Linux needs an x86-64 machine'
# One builds, others wait for what it builds.
exec 9>"$cache/lock"
flock 9
install_host_tools
deb=${1:-}
home=$(newest "$cache/uml-"*/)
home=${home%/}
if [ -n "$deb" ] || ! is_built "$home"; then
	[ -n "$deb" ] || deb=$("$scripts/debian-package.sh" "$cache" "$package" "$suite")
	[ -f "$deb" ] || stop "no such file: ${deb:-$package}"
	version=$(dpkg-deb -f "$deb" Version)
	home=$cache/uml-$version
	source=$cache/$package-$version
	mkdir -p "$home"
	is_built "$home" || build_kernel
	rm -f "$cache/${package}_"*_all.deb
fi
echo "$home"
