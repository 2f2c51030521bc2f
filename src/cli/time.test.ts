/** `--time`: how long devices wait. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ioasid } from '../testkit/processes.js';

it('--time takes a scale above 0', () => {
  const { status, stderr } = ioasid(['run', '--time', 'scale=0', '--', 'true']);
  assert.equal(status, 125);
  assert.match(stderr, /It is scale=N, and N is above 0/);
});
