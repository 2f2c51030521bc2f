import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { finish } from '../file/work.js';
import { libc } from './ffi.js';
import { areaAt, areasFrom, areasInText, areasInTextFrom } from './process-areas.js';
import { ownMaps } from './reach.js';

const PAGE = 4096;
const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;

test('the text of maps gives ranges, rights, devices, and the files of shared memory', () => {
  const text = [
    '55d0c0a00000-55d0c0a02000 r--p 00000000 fe:01 131 /usr/bin/cat',
    '7ffd1000-7ffd3000 rw-p 00000000 00:00 0 [stack]',
    '7fff00000000-7fff00001000 -w-s 00001000 00:01 2049 /memfd:a b (deleted)',
    '',
  ].join('\n');
  assert.deepEqual(areasInText(text), [
    { start: 0x55d0c0a00000, end: 0x55d0c0a02000, rights: 1, device: 0xfe00001, shared: undefined },
    { start: 0x7ffd1000, end: 0x7ffd3000, rights: 3, device: -1, shared: undefined },
    {
      start: 0x7fff00000000,
      end: 0x7fff00001000,
      rights: 2,
      device: 1,
      shared: { identity: '1:0:2049', offset: 0x1000 },
    },
  ]);
});

test('the kernel query and the text agree on every area that both can see', () => {
  const fd = openSync('/proc/self/maps', 'r');
  const areaOf = (address: number) => finish(areaAt(process.pid, ownMaps(fd), address));
  const fixed = areasInText(readFileSync('/proc/self/maps', 'latin1')).filter(
    (area) => area.device !== -1 && area.rights !== 3,
  );
  assert.ok(fixed.length > 3);
  for (const area of fixed) assert.deepEqual(areaOf(area.end - 1), area);
  assert.equal(areaOf(0), undefined);
  closeSync(fd);
});

test('from any address the query and the text lead to the next gap by the same areas, and both pause', () => {
  const pages = 1000;
  const block = libc().mmap(0, pages * PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  for (let n = 0; n < pages; n += 2) libc().mprotect(block + n * PAGE, PAGE, PROT_READ);
  libc().munmap(block + 700 * PAGE, PAGE);
  const fd = openSync('/proc/self/maps', 'r');
  const inBlock = fc.integer({ min: -2 * PAGE, max: (pages + 2) * PAGE }).map((bytes) => block + bytes);
  fc.assert(
    fc.property(fc.oneof(inBlock, fc.nat(2 ** 47)), (address) => {
      const asked = [...areasFrom(process.pid, ownMaps(fd), address)];
      const read = [...areasInTextFrom(ownMaps(fd), address)];
      const listed = (areas: typeof asked) => areas.filter((area) => area !== undefined);
      // What V8 maps meanwhile lies elsewhere.
      const near = listed(asked).filter(({ end }) => end <= block + pages * PAGE && end > block);
      const nearInText = listed(read).filter(({ end }) => end <= block + pages * PAGE && end > block);
      assert.deepEqual(near, nearInText);
      if (near.length > 100) assert.ok(asked.length > listed(asked).length && read.length > near.length);
    }),
    { numRuns: 50 },
  );
  closeSync(fd);
  libc().munmap(block, pages * PAGE);
});
