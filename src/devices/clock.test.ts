import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Clock } from './clock.js';

test('what is due is done in the order of its time, then of its asking, however the time is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(20), { maxLength: 12 }),
      fc.array(fc.nat(9), { maxLength: 8 }),
      (delays, cuts) => {
        const clock = new Clock();
        const done: string[] = [];
        for (const [n, delay] of delays.entries())
          clock.after(delay, () => done.push(`${clock.now} ${delay} ${n}`));
        for (const cut of [...cuts, 20]) clock.advance(cut);
        const sorted = [...delays.entries()].sort(([a, x], [b, y]) => x - y || a - b);
        assert.deepEqual(
          done,
          sorted.map(([n, delay]) => `${delay} ${delay} ${n}`),
        );
        assert.equal(clock.wait, undefined);
      },
    ),
  );
});

test('what is asked for on the way is done on the way; what is cancelled is not done', () => {
  const clock = new Clock();
  const done: number[] = [];
  const tick = () => {
    done.push(clock.now);
    clock.after(10, tick);
  };
  clock.after(10, tick);
  const never = clock.after(25, () => assert.fail());
  clock.after(20, () => clock.cancel(never));
  clock.advance(35);
  assert.deepEqual([done, clock.now, clock.wait], [[10, 20, 30], 35, 5]);
});

test('a clock that runs does what is due when it is asked, and what that asks for the next time', () => {
  let time = 0;
  const clock = new Clock(() => time);
  let done = 0;
  const again = () => {
    done++;
    clock.after(0, again);
  };
  clock.after(100, again);
  assert.deepEqual([clock.fire(), done, clock.wait], [false, 0, 100]);
  time = 250;
  assert.deepEqual([clock.fire(), done, clock.wait], [true, 1, 0]);
  assert.throws(() => clock.advance(1), /runs by itself/);
});

test('of two that are due the first may cancel the second', () => {
  let time = 0;
  const clock = new Clock(() => time);
  clock.after(1, () => clock.cancel(second));
  const second = clock.after(2, () => assert.fail());
  time = 5;
  assert.equal(clock.fire(), true);
});
