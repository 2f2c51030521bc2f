#!/bin/sh
# Makes the API pages, one for each public type, in site/api, by TypeDoc. It fails on what is exported and has
# no docstring, and on a type that is named and not exported.
#
# TypeDoc does not know TypeScript 7: it and a compiler for it alone (api-docs/package.json) are installed
# into the cache.
#
# Environment: that of scripts/cache.sh.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
home=$("$here/cache.sh")/api-docs
mkdir -p "$home"
# One installs, others wait for it.
exec 9>"$home/.lock"
flock 9
if ! cmp -s "$here/api-docs/package-lock.json" "$home/complete"; then
	cp "$here/api-docs/package.json" "$here/api-docs/package-lock.json" "$home"
	npm ci --prefix "$home" --no-audit --no-fund >&2
	cp "$here/api-docs/package-lock.json" "$home/complete"
fi
cd "$here/.."
exec "$home/node_modules/.bin/typedoc" --options scripts/api-docs/typedoc.js "$@"
