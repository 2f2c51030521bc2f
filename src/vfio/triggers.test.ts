import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finish } from '../file/work.js';
import { FakeCaller } from '../testkit/fake-caller.js';
import { Triggers } from './triggers.js';

const VECTORS = 2048;
const EVENTFD = 5;
const IN_A_SLICE = 16;

function setUp() {
  const caller = new FakeCaller();
  caller.addEventfd(EVENTFD);
  const triggers = new Triggers('MSI-X');
  triggers.open(VECTORS);
  const assigned = () => Array.from({ length: VECTORS }, (_, n) => n).filter((n) => triggers.has(n)).length;
  return { caller, triggers, assigned };
}

test('eventfds are assigned in slices, each of a few, the first at once', () => {
  const { caller, triggers, assigned } = setUp();
  const work = triggers.assign(0, new Int32Array(VECTORS).fill(EVENTFD), caller);
  for (let slice = 1; !work.next().done; slice++) assert.equal(assigned(), slice * IN_A_SLICE);
  assert.equal(assigned(), VECTORS);
  assert.equal(caller.openSignals, VECTORS);
  assert.equal(triggers.assign(0, Int32Array.of(-1), caller).next().done, true);
  triggers.clear();
  assert.equal(caller.openSignals, 0);
});

test('when one of a later slice is refused, those of the slices before are taken away', () => {
  const { caller, triggers, assigned } = setUp();
  finish(triggers.assign(VECTORS - 1, Int32Array.of(EVENTFD), caller));
  const fds = new Int32Array(VECTORS - 1).fill(EVENTFD);
  fds[100] = 6;
  assert.throws(() => finish(triggers.assign(0, fds, caller)), { code: 'EBADF' });
  assert.equal(assigned(), 1, 'the one that the request has not come to');
  assert.equal(caller.openSignals, 1);
});
