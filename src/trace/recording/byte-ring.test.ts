/** A ring between two threads: the writer is the test's, the reader a worker. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ByteRing } from './byte-ring.js';

const module = new URL('byte-ring.js', import.meta.url).href;
/** Reads to the end, and tells the digest of what it has read; `most` bytes when it stops before. */
const reader = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { createHash } = require('node:crypto');
  import(workerData.module).then(({ ByteRing }) => {
    const ring = new ByteRing(workerData.memory);
    ring.beginReading();
    const hash = createHash('sha256');
    let length = 0;
    for (let bytes = ring.read(1000); bytes !== undefined; bytes = ring.read(1000)) {
      hash.update(bytes);
      length += bytes.length;
      if (length > workerData.most) break;
    }
    parentPort.postMessage({ length, digest: hash.digest('hex') });
    ring.endReading();
  });`;

function readBy(ring: ByteRing, most = Infinity): Promise<{ length: number; digest: string }> {
  const worker = new Worker(reader, { eval: true, workerData: { module, memory: ring.memory, most } });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

test('what is written arrives whole and in order, however often the ring goes round', async () => {
  const ring = new ByteRing();
  const read = readBy(ring);
  const hash = createHash('sha256');
  let length = 0;
  for (let n = 0; n < 200; n++) {
    const part = randomBytes((n * 7919) % 200_000);
    hash.update(part);
    length += part.length;
    ring.write(part);
  }
  ring.endWriting();
  assert.deepEqual(await read, { length, digest: hash.digest('hex') });
});

test('nobody waits for a reader that has ended', async () => {
  const ring = new ByteRing();
  const read = readBy(ring, 1000);
  for (let n = 0; n < 10; n++) ring.write(randomBytes(1 << 20));
  ring.endWriting();
  assert.ok((await read).length > 1000);
});

test('nobody waits for ever for a reader that does not begin', () => {
  const ring = new ByteRing(undefined, 1);
  for (let n = 0; n < 10; n++) ring.write(randomBytes(1 << 20));
  ring.endWriting();
});
