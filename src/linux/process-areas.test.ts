import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Areas, areasInText } from './process-areas.js';

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
  const areas = new Areas(process.pid, fd);
  const fixed = areasInText(readFileSync('/proc/self/maps', 'latin1')).filter(
    (area) => area.device !== -1 && area.rights !== 3,
  );
  assert.ok(fixed.length > 3);
  for (const area of fixed) assert.deepEqual(areas.at(area.end - 1), area);
  assert.equal(areas.at(0), undefined);
  closeSync(fd);
});
