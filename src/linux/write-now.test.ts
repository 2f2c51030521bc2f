import assert from 'node:assert/strict';
import { closeSync, readSync } from 'node:fs';
import { test } from 'node:test';
import { pipe, socketPair } from './fd-passing.js';
import { writeNow } from './write-now.js';

/** More than a pipe or a socket holds. */
const much = Buffer.alloc(1 << 20, 'x');

test('what nobody has read yet keeps nobody waiting, and what there is room for is written', () => {
  for (const [reads, writes] of [pipe(), socketPair()]) {
    const written = writeNow(writes, much);
    // Linux before 6.4 cannot say whether a pipe takes it at once.
    assert.ok(written < much.length, `${written}`);
    let rest = written;
    while (rest > 0) rest -= readSync(reads, Buffer.alloc(rest));
    closeSync(reads);
    assert.equal(writeNow(writes, Buffer.from('to nobody')), 0);
    closeSync(writes);
  }
});
