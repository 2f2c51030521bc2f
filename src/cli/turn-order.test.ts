import assert from 'node:assert/strict';
import { test } from 'node:test';
import { costs } from '../linux/access-cost.js';
import { TurnOrder } from './turn-order.js';

/** What is done in turns of which each is hurried or not: devices, calls, both. */
function done(turns: readonly boolean[], step: () => boolean): string[] {
  const order = new TurnOrder();
  return turns.map((hurried) => {
    let devices = '';
    order.begin(hurried, () => {
      devices = 'devices ';
      return step();
    });
    return `${devices}${order.callsGoOn(hurried) ? 'calls' : ''}`.trim();
  });
}

const late = () => {
  costs(1024, 1);
  return true;
};

test('devices whose memory is there work in each turn, and calls go on', () => {
  assert.deepEqual(
    done([false, false, false], () => true),
    ['devices calls', 'devices calls', 'devices calls'],
  );
});

test('where requests wait devices begin what they have been given, and neither goes on', () => {
  assert.deepEqual(
    done([true, true], () => true),
    ['devices', ''],
  );
});

test('devices and calls take turns while the memory of devices is always late', () => {
  const turns = [false, false, true, false, true, true, false, false];
  assert.deepEqual(done(turns, late), ['devices', 'calls', '', 'devices', '', '', 'calls', 'devices']);
});
