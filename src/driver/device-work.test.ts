import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CalledWork } from '../devices/called-model.js';
import type { Drained } from '../devices/device-model.js';
import { ModelCalls } from '../devices/model-calls.js';
import { finish } from '../file/work.js';
import { pasidOf, vpasidOf } from '../iommu/pasid.js';
import { BrokenInvariant, broken } from '../linux/invariant.js';
import { DeviceWork } from './device-work.js';

/** A model with work, whose steps do `step`. */
function working(step: () => boolean, drain?: (vpasid?: number, now?: boolean) => Drained) {
  const rest = drain === undefined ? {} : { drain };
  const model = { resets: 0, busy: () => true, step, reset: () => void model.resets++, ...rest };
  return { model, work: new DeviceWork(new CalledWork(new ModelCalls('vfio0'), model)) };
}

test('a model that throws has failed; what was no fault of its own goes on to who serves the call', () => {
  const failing = working(() => {
    throw new RangeError('no such register');
  });
  assert.equal(failing.work.step(), true);
  const hit = working(() => broken('slot 3 is free'));
  assert.throws(() => hit.work.step(), new BrokenInvariant('slot 3 is free'));
  assert.deepEqual(
    [failing, hit].map(({ work }) => [work.calls.failure, work.calls.failures, work.busy()]),
    [
      ['the device model of vfio0 failed: no such register', 1, false],
      ['the device model of vfio0 failed: slot 3 is free', 1, false],
    ],
  );
});

test('work that breaks an invariant while it is drained is dropped: nothing of it runs later', () => {
  const { model, work } = working(() => broken('slot 3 is free'));
  assert.throws(() => finish(work.drain()), BrokenInvariant);
  assert.equal(model.resets, 1);
  assert.throws(() => finish(work.stop()), BrokenInvariant);
  assert.equal(model.resets, 2);
});

test('a drain ends what waits for anything but pages, in slices; a model that never ends is reset', () => {
  let left = 3;
  const asked: (number | undefined)[] = [];
  const drain = (vpasid?: number) => {
    asked.push(vpasid);
    return --left > 0;
  };
  const { model, work } = working(() => false, drain);
  finish(work.drain(vpasidOf(pasidOf(7))));
  assert.deepEqual([asked, model.resets], [[7, 7, 7], 0]);
  const endless = working(
    () => false,
    () => true,
  );
  finish(endless.work.drain());
  assert.equal(endless.model.resets, 1);
});

test('what ends by itself is waited for where others are served meanwhile, however often it is asked', () => {
  let left = 20_000;
  const { model, work } = working(
    () => false,
    () => --left > 0 && 'waits',
  );
  for (const drain = work.drain(); drain.next().done !== true; );
  assert.deepEqual([left, model.resets], [0, 0]);
});

test('where nobody is served meanwhile a model is told to end it now, and is reset when it does not', () => {
  const told: (boolean | undefined)[] = [];
  const ends = working(
    () => false,
    (_vpasid, now) => {
      told.push(now);
      return now === true ? false : 'waits';
    },
  );
  finish(ends.work.drain());
  assert.deepEqual([told, ends.model.resets], [[undefined, true], 0]);
  const never = working(
    () => false,
    () => 'waits',
  );
  finish(never.work.drain());
  assert.equal(never.model.resets, 1);
});
