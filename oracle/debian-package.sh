#!/bin/sh
# Fetches a package of Debian's, and prints the path of the .deb as its last line.
#
#   oracle/debian-package.sh linux-source-7.3 trixie-backports
#
# The machine's own apt configuration stays as it is: lists, state and sources are private, and nothing is installed. What has been fetched
# lies in the cache until whoever uses it removes it.
#
# Environment: IOASID_CACHE (default $XDG_CACHE_HOME/ioasid, ~/.cache/ioasid), ORACLE_MIRROR (default: the Debian mirror of this machine's apt).
set -eu

package=$1
suite=$2
cache=${IOASID_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ioasid}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

stop() { echo "$package: $*" >&2; exit 1; }
fetched() { ls -td "$cache/${package}_"*.deb 2>/dev/null | head -n 1; }

fetch() {
	command -v apt-get >/dev/null || stop "no apt-get: put a ${package}_*.deb into $cache"
	[ -f "$keyring" ] || stop "$keyring is missing: install debian-archive-keyring"
	mirror=${ORACLE_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -n 1)}
	apt=$(mktemp -d "$cache/apt.XXXXXX")
	trap 'rm -rf "$apt"' EXIT
	mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
	: >"$apt/status"
	echo "deb [signed-by=$keyring] $mirror $suite main" >"$apt/sources.list"
	cat >"$apt/apt.conf" <<-END
		Dir::Etc::SourceList "$apt/sources.list";
		Dir::Etc::SourceParts "-";
		Dir::State "$apt/state";
		Dir::State::Status "$apt/status";
		Dir::Cache "$apt/cache";
		APT::Architecture "amd64";
		APT::Architectures "amd64";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
	END
	echo "asking $mirror for $package of $suite" >&2
	APT_CONFIG=$apt/apt.conf apt-get update -q >&2
	(cd "$apt" && APT_CONFIG=$apt/apt.conf apt-get download "$package" >&2)
	mv "$apt/${package}_"*.deb "$cache"
}

mkdir -p "$cache"
[ -n "$(fetched)" ] || fetch
fetched
