import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { explanation } from '../compare.js';
import { type Line, plain } from '../language.js';
import { explained } from './explained.js';
import { devices } from './machine.js';
import { BASE, Iotlb, MEMORY_BYTES, memory, VdpaScene } from './scene.js';

const documented = readFileSync(new URL('../../../docs/differences.md', import.meta.url), 'utf8');

function update(size: bigint, iova = BASE, length?: number): Line {
  const scene = new VdpaScene(devices[0]!);
  const range = { iova, size, uaddr: memory(0) };
  scene.message({ version: 2, asid: 0, type: Iotlb.UPDATE, ...range, perm: 3 }, length);
  return scene.lines[0]!;
}

const LAST_PAGE = (1n << 48n) - 0x1000n;

const nameOf = (line: Line, kernel: string, ours: string, after: readonly string[] = []) =>
  explanation({ at: 0, line, before: [], answers: [], kernel, ours, after }, explained)?.name;

test('every difference that is explained has a row in docs/differences.md', () => {
  for (const { name } of explained) assert.ok(documented.includes(`| ${name} `), name);
});

test('an UPDATE that is refused here alone is explained where memory or IOVAs end, and else not', () => {
  assert.equal(nameOf(update(0x1000n), '72', 'EFAULT'), undefined);
  assert.equal(nameOf(update(0x1000n, LAST_PAGE), '72', 'EFAULT'), undefined);
  assert.equal(nameOf(update(0x1001n, LAST_PAGE), '72', 'EFAULT'), 'IOVA range');
  assert.match(nameOf(update(BigInt(MEMORY_BYTES) + 1n), '72', 'EFAULT')!, /memory that is not there/);
  assert.equal(nameOf(update(1n << 50n), 'EFAULT', '72'), undefined);
});

test('a short message is explained when its own length comes back', () => {
  assert.equal(nameOf(update(0x1000n, BASE, 41), '72', '41'), 'a message of 40 bytes');
  assert.equal(nameOf(update(0x1000n, BASE, 41), '72', '40'), undefined);
  assert.equal(nameOf(update(0x1000n, BASE, 39), '72', '39'), undefined);
  assert.equal(nameOf(plain('write', 'd', '-'), 'EINVAL', '0'), 'a `write` of no bytes');
});

test('what is not used is explained by a device that needs a reset, and by nothing else', () => {
  const until = plain('until', 'b', 2050, 1, 50);
  assert.equal(nameOf(until, '0', 'ETIMEDOUT', ['0 +0=4f']), 'a ring that makes no sense');
  assert.equal(nameOf(until, '0', 'ETIMEDOUT', ['0 +0=0f']), undefined);
  assert.equal(nameOf(until, '0', 'ETIMEDOUT'), undefined);
  assert.equal(nameOf(until, 'ETIMEDOUT', '0', ['0 +0=4f']), undefined);
});

test('calls may be fewer than buffers, but never none, nor more', () => {
  const hear = plain('hear', 'c0', 50);
  assert.match(nameOf(hear, '8 0200000000000000', '8 0100000000000000')!, /several buffers/);
  assert.equal(nameOf(hear, '8 0100000000000000', 'EAGAIN'), undefined);
  assert.equal(nameOf(hear, '8 0100000000000000', '8 0200000000000000'), undefined);
});
