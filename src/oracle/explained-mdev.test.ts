import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareAnswers } from './compare.js';
import { explainedOfMdevs } from './explained-mdev.js';
import { type Line, plain } from './language.js';
import { call } from './layouts.js';

/** The line whose answers differ, after a mediated device and an object that has the id 5 or 6. */
function differing(line: Line, kernel: string, ours: string): number | undefined {
  const group = call('VFIO_GROUP_GET_DEVICE_FD', {}, { saves: { dev: { fd: 'result' } } });
  const object = call('IOAS_ALLOC', {}, { saves: { ioas: 'out_ioas_id' } });
  const theirs = ['fd', '0 +8=05000000', kernel];
  const mine = ['fd', '0 +8=06000000', ours];
  return compareAnswers({ name: 's', lines: [group, object, line] }, theirs, mine, explainedOfMdevs).left?.at;
}

test('an id that both sides gave to one object may differ in what is read later, nothing else', () => {
  const read = plain('read', 'q', 8);
  assert.equal(differing(read, '8 0200000005000000', '8 0200000006000000'), undefined);
  assert.equal(differing(read, '8 0200000005000000', '8 0200000007000000'), 2);
  assert.equal(differing(read, '8 0100000005000000', '8 0200000006000000'), 2);
  assert.equal(differing(read, '8 0200000005000000', '4 02000000'), 2);
});

test('the id of the IOAS that the container ioctls mean may differ', () => {
  const ask = call('VFIO_IOAS', { op: 0 });
  assert.equal(differing(ask, '0 +4=01000000', '0 +4=02000000'), undefined);
  assert.equal(differing(ask, '0 +4=01000000', 'ENODEV'), 2);
});
