#!/bin/sh
# Removes from dist/ what was compiled of sources that are there no more: `npm test` would run it.
#
# Not all of dist/ before each build: a server that runs loads some of its modules when it needs them, and its
# guard at the end. What tsc remembers of the last build, for the next one, stays too.
set -eu
cd "$(dirname "$0")/.."

find dist -type f ! -name .tsbuildinfo | while read -r made; do
	name=${made#dist/}
	name=${name%.map} name=${name%.js} name=${name%.d.ts}
	[ -e "src/$name.ts" ] || [ -e "src/$name.tsx" ] || [ -e "src/$name" ] || rm "$made"
done
find dist -type d -empty -delete
