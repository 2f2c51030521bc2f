import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DeviceWork } from '../driver/device-work.js';
import { finish } from '../file/work.js';
import { madeHost } from '../testkit/made-host.js';
import { CalledWork } from './called-model.js';
import { Clock } from './clock.js';
import { DeviceTimers } from './device-timers.js';
import { ModelCalls } from './model-calls.js';

/** A device whose model does what a test gives it. */
function setUp(model: { busy?(): boolean; step?(): boolean; reset?(): void } = {}) {
  const clock = new Clock();
  const calls = new ModelCalls('vfio0');
  const timers = new DeviceTimers(clock, calls);
  const called = new CalledWork(calls, { reset: () => {}, ...model }, timers);
  return { clock, calls, timers, work: new DeviceWork(called) };
}

describe('timers of a device', () => {
  test('come once, when their time has come, and not when they are cancelled', () => {
    const { clock, timers } = setUp();
    const came: string[] = [];
    timers.after(10, () => came.push('first'));
    const cancel = timers.after(20, () => came.push('second'));
    clock.advance(15);
    cancel();
    clock.advance(100);
    assert.deepEqual(came, ['first']);
  });

  test('are gone with a reset, those too that the reset itself asks for', () => {
    const { clock, timers, work } = setUp({ reset: () => timers.after(5, () => assert.fail()) });
    timers.after(10, () => assert.fail());
    work.reset();
    clock.advance(100);
    assert.equal(clock.wait, undefined);
  });

  test('come at once in a drain while the model is busy, and are dropped by a stop when it is not', () => {
    const came: number[] = [];
    const { clock, timers, work } = setUp({ busy: () => came.length < 2, step: () => false });
    for (const n of [1, 2, 3]) timers.after(1_000_000, () => came.push(n));
    finish(work.drain());
    assert.deepEqual(came, [1, 2]);
    finish(work.stop());
    clock.advance(2_000_000);
    assert.deepEqual(came, [1, 2]);
  });

  test('that ask for one another without end keep no drain waiting: the model is reset', () => {
    let resets = 0;
    const { timers, work, clock } = setUp({ busy: () => true, step: () => false, reset: () => resets++ });
    const again = () => void timers.after(1, again);
    again();
    finish(work.drain());
    assert.deepEqual([resets, clock.wait], [1, undefined]);
  });

  test('that throw have made the model fail, and a failed model gets no more of them', () => {
    const { clock, timers, calls } = setUp();
    timers.after(1, () => {
      throw new Error('the timer is broken');
    });
    timers.after(2, () => assert.fail());
    clock.advance(5);
    assert.match(calls.failure!, /the timer is broken/);
    assert.equal(calls.failures, 1);
  });

  test('of one device are 4096 at most, and what has come or is cancelled counts no more', () => {
    for (const { host, clock } of [setUp(), madeHost()].map((each) =>
      'timers' in each ? { host: each.timers, clock: each.clock } : { host: each, clock: each.clock },
    )) {
      let came = 0;
      const count = () => void came++;
      const cancel = Array.from({ length: 4096 }, () => host.after(10, count));
      const refused =
        /^RangeError: host.after was called while 4096 timers wait, which is the most of a device$/;
      assert.throws(() => host.after(10, count), refused);
      cancel[7]!();
      host.after(10, count);
      assert.throws(() => host.after(10, count), RangeError);
      clock.advance(10);
      host.after(10, count);
      assert.equal(came, 4096);
    }
  });

  test('are for a number of microseconds from 0 up, and call a function', () => {
    for (const host of [setUp().timers, madeHost()]) {
      for (const wrong of [-1, Number.NaN, Number.POSITIVE_INFINITY, '5' as unknown as number])
        assert.throws(() => host.after(wrong, () => {}), RangeError);
      assert.throws(() => host.after(1, undefined as unknown as () => void), TypeError);
    }
  });
});

test('a fake host has a clock for the test to move, and resets a model with its timers', () => {
  const host = madeHost();
  const came: number[] = [];
  host.after(50, () => came.push(host.now()));
  host.clock.advance(60);
  host.after(50, () => assert.fail());
  host.reset({ reset: () => came.push(0) });
  host.clock.advance(100);
  assert.deepEqual(came, [50, 0]);
});
