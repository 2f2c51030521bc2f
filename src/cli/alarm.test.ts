import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clock } from '../devices/clock.js';
import { Alarm } from './alarm.js';

test('an alarm is set for the next timer, by its scale, and anew only for an earlier one', (t) => {
  const timers = t.mock.method(globalThis, 'setTimeout');
  const delays = () => timers.mock.calls.map((call) => call.arguments[1]);
  const clock = new Clock();
  const alarm = new Alarm(clock, 10);
  alarm.set();
  assert.deepEqual(delays(), []);
  clock.after(30_000_000, () => {});
  alarm.set();
  alarm.set();
  assert.deepEqual(delays(), [300_000]);
  clock.after(20_000_000, () => {});
  alarm.set();
  assert.deepEqual(delays(), [300_000, 200_000]);
  alarm.end();
});
