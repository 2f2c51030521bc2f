import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { madeBytes } from '../testkit/made-bytes.js';
import { refused } from '../testkit/refused.js';
import { type WireEnd, Wires } from './wire.js';

interface Frame {
  readonly bytes: Buffer;
  readonly note: number;
}

function receive(end: WireEnd): Frame {
  const bytes = Buffer.alloc(end.next);
  const { note } = end;
  end.peek(bytes, bytes.length);
  end.shift();
  return { bytes, note };
}

/** Long frames are compared as bytes, at once. */
function same(one: Frame, other: Frame): void {
  assert.equal(one.note, other.note);
  assert.ok(one.bytes.equals(other.bytes), `a frame of ${other.bytes.length} bytes`);
}

test('frames arrive at the other end whole and in order, also around the end of the ring', () => {
  const step = fc.record({
    length: fc.oneof(fc.nat(100), fc.nat(200_000)),
    note: fc.nat(1000),
    takes: fc.nat(3),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const wires = new Wires();
      const [left, right] = [wires.end('w'), wires.end('w')];
      const sent: Frame[] = [];
      for (const { length, note, takes } of steps) {
        const frame = Buffer.from(madeBytes(length, (i) => i + note));
        const before = right.lost;
        left.send(frame, length, note);
        if (right.lost === before) sent.push({ bytes: frame, note });
        for (let n = 0; n < takes && sent.length > 0; n++) same(receive(right), sent.shift()!);
      }
      while (sent.length > 0) same(receive(right), sent.shift()!);
      assert.equal(right.waiting, false);
      assert.equal(left.waiting, false);
    }),
    { numRuns: 20 },
  );
});

test('what finds no room is lost, and what was there stays', () => {
  const end = new Wires().loop();
  const frame = new Uint8Array(300_000).fill(7);
  for (let n = 0; n < 5; n++) end.send(frame, frame.length, n);
  assert.equal(end.lost, 2);
  for (let n = 0; n < 3; n++) assert.equal(receive(end).note, n);
  assert.equal(end.next, 0);
});

test('a wire has two ends', () => {
  const wires = new Wires();
  const one = wires.end('a');
  assert.equal(one.joined, false);
  one.send(new Uint8Array(20), 20, 0);
  assert.equal(one.lost, 1);
  wires.end('b');
  assert.equal(one.joined, false);
  wires.end('a');
  assert.equal(one.joined, true);
  refused(() => wires.end('a'), 'EBUSY', /two devices have link "a" already/);
});

test('the world outside is at one end of a wire that a device has, and comes and goes', () => {
  const wires = new Wires();
  refused(() => wires.outside('a'), 'EINVAL', /0 devices have link "a"/);
  const device = wires.end('a');
  const outside = wires.outside('a');
  refused(() => wires.outside('a'), 'EINVAL', /2 devices have link "a"/);
  assert.equal(device.joined, false);
  device.send(new Uint8Array(20), 20, 0);
  assert.deepEqual([device.lost, outside.waiting], [1, false]);
  outside.isUp = true;
  outside.isUp = true;
  assert.deepEqual([device.joined, device.changes], [true, 1]);
  device.send(new Uint8Array(20), 20, 0);
  outside.send(new Uint8Array(30), 30, 0);
  assert.deepEqual([outside.next, device.next], [20, 30]);
  outside.isUp = false;
  assert.deepEqual([device.joined, device.changes], [false, 2]);
});
