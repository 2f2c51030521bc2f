/**
 * Rings that no driver should write: random ones, near enough to right ones to get past the first check.
 *
 * `tryRing` lets a queue work through one of them and says what is wrong: a buffer that the reference does
 * not see, or that it sees otherwise; a ring that is taken for whole or for broken when it is not; a changed
 * byte that was not the device's to change.
 */
import { strictEqual as equal, ok, deepStrictEqual as same } from 'node:assert/strict';
import { Effort } from '../devices/effort.js';
import type { Chain } from '../devices/virtio/chain.js';
import { type QueueSetup, Virtqueue } from '../devices/virtio/virtqueue.js';
import { FlatMemory } from './flat-memory.js';
import type { Random } from './random.js';
import { referenceWalk, type WalkedChain } from './reference-walk.js';
import { drivers, writeDescriptor } from './ring-driver.js';

const MEMORY = 0x1000;
const RINGS = 0x400;
const READ = 1;
const WRITE = 2;

/** A ring, the memory around it, and whether all bytes of it are there. */
interface BadRing {
  readonly memory: FlatMemory;
  readonly setup: QueueSetup;
  readonly base: number;
  readonly whole: boolean;
}

function makeRing(random: Random, packed: boolean): BadRing {
  const memory = new FlatMemory(MEMORY);
  const options = { size: random.pick([1, 2, 4, 8, 16]), eventIndex: random.below(2) === 1 };
  const { setup } = new drivers[packed ? 'packed' : 'split'](memory, options);
  // Where in the numbering it begins: near a wrap as often as not.
  const wrap = random.below(2) * 0x8000;
  const entry = wrap | random.below(options.size);
  const base = packed ? (entry | (entry << 16)) >>> 0 : random.pick([0, 0x7ffe, 0xfffe, 0xffff]);
  // A small word now and then instead of a likely one: loops, ends past the table, lengths past the memory.
  for (let at = RINGS; at + 16 <= MEMORY; at += 16) fillDescriptor(random, memory, at, setup, base, false);
  for (let i = 0; i < setup.size; i++) fillDescriptor(random, memory, i * 16, setup, base, true);
  if (!packed) fillAvailable(random, memory, setup, base);
  for (let page = RINGS; page < MEMORY; page += 0x100)
    memory.rights.fill(random.pick([READ | WRITE, READ | WRITE, READ, 0]), page, page + 0x100);
  const whole = random.below(16) !== 0;
  if (!whole) memory.rights.fill(random.below(3), random.below(RINGS), RINGS);
  return { memory, setup, base, whole };
}

function fillDescriptor(
  random: Random,
  memory: FlatMemory,
  at: number,
  { size, packed }: QueueSetup,
  base: number,
  inRing: boolean,
): void {
  const iova = random.below(8) === 0 ? random.pick([0, 2 ** 40, 2 ** 53]) : RINGS + random.below(0xc0) * 16;
  const length = random.below(8) === 0 ? random.below(2 ** 32) : random.below(8) * 16;
  const kinds = random.below(4) === 0 ? random.below(0x10000) : random.below(inRing ? 8 : 4);
  const next = random.below(8) === 0 ? random.below(0x10000) : random.below(Math.max(2, size));
  if (!packed) writeDescriptor(memory, at, { iova, length }, kinds, next);
  else {
    const ahead = random.below(6) !== 0;
    const wrap = (base & 0x8000) !== 0;
    const odd = at / 16 >= (base & 0x7fff) === wrap;
    const marks = (odd ? 0x80 : 0x8000) ^ (ahead ? 0 : 0x8080);
    writeDescriptor(memory, at, { iova, length }, next, inRing ? (kinds & ~0x8080) | marks : kinds);
  }
}

function fillAvailable(
  random: Random,
  { view }: FlatMemory,
  { size, driver }: QueueSetup,
  base: number,
): void {
  const ahead = random.below(8) === 0 ? random.below(0x10000) : random.below(size + 1);
  view.setUint16(driver, random.below(2), true);
  view.setUint16(driver + 2, (base + ahead) & 0xffff, true);
  for (let i = 0; i < size; i++)
    view.setUint16(
      driver + 4 + i * 2,
      random.below(12) === 0 ? random.below(0x10000) : random.below(size),
      true,
    );
}

/** The bytes of a range, up to the first that may not be touched and to `limit`, as IOVAs. */
function reachable({ rights }: FlatMemory, { parts }: WalkedChain, write: boolean, limit: number): number[] {
  const found: number[] = [];
  for (const part of parts.filter((each) => each.write === write))
    for (let i = 0; i < part.length; i++) {
      if (found.length === limit || ((rights[part.iova + i] ?? 0) & (write ? WRITE : READ)) === 0)
        return found;
      found.push(part.iova + i);
    }
  return found;
}

/** The device area and, of a packed ring, the descriptors: what a device writes by itself. */
function isDevices({ device, size, packed }: QueueSetup, at: number): boolean {
  return packed
    ? at < size * 16 || (at >= device && at < device + 4)
    : at >= device && at < device + 6 + size * 8;
}

/** Takes all there is, and holds it against the reference. */
function takeAll(queue: Virtqueue, { memory, setup, base, whole }: BadRing): [Chain, WalkedChain][] {
  const { chains, broken } = referenceWalk(memory, setup, base);
  const taken: [Chain, WalkedChain][] = [];
  queue.budget = 1000;
  for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
    const expected = chains[taken.length];
    ok(expected !== undefined, `a buffer ${chain.id} is taken, and there are only ${chains.length}`);
    same([chain.id, chain.slots], [expected.id, expected.slots]);
    const sum = (write: boolean) =>
      expected.parts.reduce((bytes, part) => bytes + (part.write === write ? part.length : 0), 0);
    same([chain.readable, chain.writable], [sum(false), sum(true)]);
    taken.push([chain, expected]);
  }
  if (broken) ok(queue.broken !== undefined, 'the ring is broken and the device has not noticed');
  if (whole && !broken) equal(queue.broken, undefined);
  if (queue.broken === undefined) equal(taken.length, chains.length);
  return taken;
}

/** @throws AssertionError what a queue does wrong with the random ring of that format. */
export function tryRing(random: Random, packed: boolean): { broken: boolean; taken: number } {
  const ring = makeRing(random, packed);
  const { memory, setup } = ring;
  const queue = new Virtqueue(memory, new Effort(memory));
  queue.base = ring.base;
  const initial = memory.bytes.slice();
  queue.start({ ...setup, inOrder: random.below(2) === 1 });
  const taken = takeAll(queue, ring);
  const expected = memory.bytes.slice();
  for (let at = 0; at < MEMORY; at++)
    if (expected[at] !== initial[at]) ok(isDevices(setup, at), `taking changes byte ${at}`);
  const bytes = new Uint8Array(MEMORY);
  for (const [chain, is] of taken) {
    const readable = reachable(memory, is, false, MEMORY);
    equal(chain.read(0, bytes), readable.length);
    same(
      bytes.slice(0, readable.length),
      Uint8Array.from(readable, (iova) => expected[iova]!),
    );
    const writable = reachable(memory, is, true, MEMORY);
    const mark = random.below(256);
    equal(chain.write(0, bytes.fill(mark)), writable.length);
    for (const iova of writable) expected[iova] = mark;
    same(memory.bytes, expected);
  }
  while (taken.length > 0) queue.put(taken.splice(random.below(taken.length), 1)[0]![0]);
  queue.flush();
  for (let at = 0; at < MEMORY; at++)
    if (memory.bytes[at] !== expected[at]) ok(isDevices(setup, at), `putting back changes byte ${at}`);
  const { broken } = queue;
  ok(broken === undefined || /^[^\n]{20,300}$/.test(broken), `a reason is a sentence: ${broken}`);
  return { broken: broken !== undefined, taken: queue.outstanding };
}
