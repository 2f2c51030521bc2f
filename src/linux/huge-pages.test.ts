import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { address } from './ffi.js';
import { HUGE_PAGE, preferHugePages } from './huge-pages.js';

/** Does the kernel know that huge pages are wanted at `at`? */
function areWanted(at: number): boolean {
  const areas = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const area = areas.find((each) => {
    const [, first = '', end = ''] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(each) ?? [];
    return at >= Number.parseInt(first, 16) && at < Number.parseInt(end, 16);
  });
  return /^VmFlags:.* hg\b/m.test(area ?? '');
}

test('huge pages are wanted from where it is said to the end of what is reserved, and not before', (t) => {
  if (!existsSync('/sys/kernel/mm/transparent_hugepage')) return t.skip('the kernel has no huge pages');
  const buffer = new SharedArrayBuffer(HUGE_PAGE, { maxByteLength: 8 * HUGE_PAGE });
  const start = address(new Uint8Array(buffer));
  preferHugePages(buffer, 2 * HUGE_PAGE);
  assert.equal(areWanted(start), false);
  assert.equal(areWanted(start + HUGE_PAGE), false);
  assert.equal(areWanted(start + 4 * HUGE_PAGE), true);
  buffer.grow(8 * HUGE_PAGE);
  assert.equal(areWanted(start), false);
  assert.equal(areWanted(start + 8 * HUGE_PAGE - 1), true);
});
