#!/bin/sh
# Downloads a package of Debian's, for amd64, into a directory, and prints the path of the .deb.
#
#   scripts/debian-package.sh DIRECTORY PACKAGE SUITE
#   scripts/debian-package.sh --with-dependencies DIRECTORY PACKAGE SUITE SUITE...
#
# In the second form it prints a path a line, of all that the package needs, down to the C library: from the
# first suite where that has it, else from the others. In the first form, what lies there already is taken.
#
# The machine's own apt stays as it is: lists, state and sources are private, and nothing is installed.
#
# Environment: DEBIAN_MIRROR (default: the Debian mirror of this machine's apt).
set -eu

whole=
if [ "$1" = --with-dependencies ]; then
	whole=1
	shift
fi
directory=$1 package=$2 suite=$3
shift 2
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

stop() { echo "$package: $*" >&2; exit 1; }

# private_apt SUITE...: what APT_CONFIG names, in a directory of its own.
private_apt() {
	mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
	: >"$apt/status"
	for name in "$@"; do echo "deb [signed-by=$keyring] $mirror $name main"; done >"$apt/sources.list"
	cat >"$apt/apt.conf" <<-END
		Dir::Etc::SourceList "$apt/sources.list";
		Dir::Etc::SourceParts "-";
		Dir::State "$apt/state";
		Dir::State::Status "$apt/status";
		Dir::Cache "$apt/cache";
		APT::Architecture "amd64";
		APT::Architectures "amd64";
		APT::Install-Recommends "false";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
	END
}

# fetch SUITE...
fetch() {
	command -v apt-get >/dev/null || stop "no apt-get: put a ${package}_*.deb into $directory"
	[ -f "$keyring" ] || stop "$keyring is missing: install debian-archive-keyring"
	mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
		grep '/debian/*$' | head -n 1)}
	apt=$(mktemp -d "$directory/apt.XXXXXX")
	trap 'rm -rf "$apt"' EXIT
	private_apt "$@"
	export APT_CONFIG="$apt/apt.conf"
	echo "asking $mirror for $package of $suite" >&2
	apt-get update -q >&2
	if [ -n "$whole" ]; then
		apt-get install -y -q --download-only -t "$suite" "$package" >&2
	else
		(cd "$apt/cache/archives" && apt-get download -q "$package" >&2)
	fi
	mv "$apt/cache/archives/"*.deb "$directory"
}

mkdir -p "$directory"
newest() { ls -t "$directory/${package}_"*.deb 2>/dev/null | head -n 1; }
if [ -n "$whole" ]; then
	fetch "$@"
	ls "$directory"/*.deb
else
	[ -n "$(newest)" ] || fetch "$@"
	newest
fi
