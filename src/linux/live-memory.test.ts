import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { Memory } from '../iommu/memory.js';
import { account, Child, descriptors, PAGE, runs, stackOf } from '../testkit/child.js';
import { ForeignFilesystem } from '../testkit/foreign-filesystem.js';
import { madeBytes } from '../testkit/made-bytes.js';
import { refused } from '../testkit/refused.js';
import { libc } from './ffi.js';
import { LiveMemory, liveMemory } from './live-memory.js';
import { areaInText, areaNow } from './process-areas.js';
import { ProcessMemory } from './process-memory.js';
import { Ranges } from './ranges.js';
import { ownMaps } from './reach.js';

const READ = 1;
const WRITE = 2;
const [PROT_NONE, PROT_READ, PROT_WRITE] = [0, 1, 2];
const MAP_PRIVATE = 2;
const MAP_FIXED = 0x10;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const PR_SET_DUMPABLE = 4;
const PAGES = 8;

const child = new Child();
after(() => child.kill());

/** How far an access to `length` bytes at byte `at` of a region comes, by the rights of its pages. */
function reached(
  rights: readonly (number | undefined)[],
  at: number,
  length: number,
  access: number,
): number {
  for (let done = 0; done < length; done++)
    if (((rights[Math.floor((at + done) / PAGE)] ?? 0) & access) !== access) return done;
  return length;
}

test('LiveMemory is a Memory of all that its process has, whose descriptors it gives back', () => {
  const before = descriptors();
  const memory: Memory = liveMemory(account, child.pid);
  assert.match(memory.description, new RegExp(`^all of process ${child.pid} \\(.+\\)$`));
  assert.equal(memory.ofProcess, true);
  memory.close();
  assert.deepEqual(descriptors(), before);
});

test('after any maps, unmaps, protections an access comes as far as the process itself would', async () => {
  const region = await child.map(PAGES * PAGE);
  const memory = liveMemory(account, child.pid);
  const rights: (number | undefined)[] = Array.from({ length: PAGES }, () => READ | WRITE);
  const contents = new Uint8Array(PAGES * PAGE);
  const page = fc.nat(PAGES - 1);
  const change = fc.record({
    page,
    count: fc.integer({ min: 1, max: 3 }),
    to: fc.constantFrom(undefined, PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE),
    access: fc.constantFrom(READ, WRITE),
    at: fc.nat(PAGES * PAGE - 1),
    length: fc.integer({ min: 1, max: 3 * PAGE }),
  });
  const apply = async (first: number, count: number, to: number | undefined) => {
    for (let n = first; n < Math.min(first + count, PAGES); n++) {
      const address = region + n * PAGE;
      if (to === undefined) await child.call('munmap', address, PAGE);
      else if (rights[n] !== undefined) await child.call('mprotect', address, PAGE, to);
      else {
        await child.call('mmap', address, PAGE, to, MAP_PRIVATE_ANONYMOUS | MAP_FIXED, -1, 0);
        contents.fill(0, n * PAGE, (n + 1) * PAGE);
      }
      rights[n] = to;
    }
  };
  let byte = 0;
  await fc.assert(
    fc.asyncProperty(change, async ({ page, count, to, access, at, length }) => {
      await apply(page, count, to);
      const within = Math.min(length, PAGES * PAGE - at);
      const expected = reached(rights, at, within, access);
      const buffer = new Uint8Array(3 * PAGE).fill(++byte);
      if (access === WRITE) contents.fill(byte, at, at + expected);
      const moved =
        access === WRITE
          ? memory.write(region + at, buffer, 0, within)
          : memory.read(region + at, buffer, 0, within);
      assert.equal(moved, expected);
      if (access === READ) assert.deepEqual(buffer.subarray(0, moved), contents.subarray(at, at + moved));
    }),
    { numRuns: 300 },
  );
  await apply(0, PAGES, undefined);
  memory.close();
});

test('many parts are moved as one after the other, up to the first that may not be', async () => {
  const region = await child.map(PAGES * PAGE);
  const memory = liveMemory(account, child.pid);
  const right = fc.constantFrom(PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_NONE);
  const part = fc.tuple(fc.nat(PAGES * PAGE - 1), fc.integer({ min: 1, max: PAGE }));
  const rights = fc.array(right, { minLength: PAGES, maxLength: PAGES });
  let byte = 0;
  await fc.assert(
    fc.asyncProperty(rights, fc.array(part, { minLength: 1, maxLength: 80 }), async (rights, parts) => {
      for (const [n, to] of rights.entries()) await child.call('mprotect', region + n * PAGE, PAGE, to);
      const ranges = new Ranges();
      for (const [at, length] of parts) ranges.add(region + at, Math.min(length, PAGES * PAGE - at));
      const count = (access: number) => {
        let done = 0;
        for (let n = 0; n < ranges.count; n++) {
          const [at, length] = [ranges.addresses[n]! - region, ranges.lengths[n]!];
          const here = reached(rights, at, length, access);
          done += here;
          if (here < length) break;
        }
        return done;
      };
      const source = madeBytes(3 + ranges.length, (n) => n * 7 + byte++);
      assert.equal(memory.scatter(ranges, source, 3), count(WRITE));
      assert.equal(memory.shortfall === undefined, count(WRITE) === ranges.length);
      const [together, each] = [new Uint8Array(3 + ranges.length), new Uint8Array(3 + ranges.length)];
      assert.equal(memory.gather(ranges, together, 3), count(READ));
      for (let n = 0, at = 3; n < ranges.count; at += ranges.lengths[n++]!) {
        const length = ranges.lengths[n]!;
        if (memory.read(ranges.addresses[n]!, each, at, length) < length) break;
      }
      assert.deepEqual(together, each);
    }),
    { numRuns: 100 },
  );
  memory.close();
});

test('parts of one area are asked about once, and moved together', async () => {
  const region = await child.map(PAGES * PAGE);
  const process = ProcessMemory.of(account, child.pid);
  process.hold();
  const memory = new LiveMemory(process);
  const { maps } = process;
  const ask = maps.ask.bind(maps);
  let asked = 0;
  maps.ask = (query) => {
    asked++;
    return ask(query);
  };
  const ranges = new Ranges();
  for (let n = 0; n < 1000; n++) ranges.add(region + n * 24, 8);
  const source = madeBytes(8000, (n) => n * 3);
  assert.equal(memory.scatter(ranges, source, 0), 8000);
  assert.equal(asked, 1);
  for (let n = 0; n < 1000; n += 99)
    assert.deepEqual(await child.peek(region + n * 24, 8), source.slice(n * 8, n * 8 + 8));
  memory.close();
});

test('what ends a transfer is told: a hole, a missing right', async () => {
  const address = await child.map(3 * PAGE);
  const memory = liveMemory(account, child.pid);
  const buffer = new Uint8Array(PAGE);
  await child.call('mprotect', address + PAGE, PAGE, PROT_READ);
  await child.call('munmap', address + 2 * PAGE, PAGE);
  assert.equal(memory.write(address + PAGE - 8, buffer, 0, 16), 8);
  assert.match(
    memory.shortfall ?? '',
    new RegExp(`^address 0x${(address + PAGE).toString(16)} .* may not be written by it`),
  );
  assert.equal(memory.read(address + 2 * PAGE - 8, buffer, 0, 16), 8);
  assert.match(memory.shortfall ?? '', /is not mapped/);
  assert.equal(memory.read(2 ** 48 - PAGE, buffer, 0, 16), 0);
  assert.equal(memory.read(0, buffer, 0, 16), 0);
  memory.close();
});

test('a buffer is never overrun, whatever place and length are given', async () => {
  const address = await child.map(PAGE);
  const memory = liveMemory(account, child.pid);
  const buffer = new Uint8Array(16).fill(9);
  for (const [at, length] of [
    [0, 17],
    [16, 1],
    [-1, 4],
    [0, 0],
    [0, -1],
  ] as const) {
    assert.equal(memory.read(address, buffer, at, length), 0);
    assert.equal(memory.write(address, buffer, at, length), 0);
  }
  assert.deepEqual(buffer, new Uint8Array(16).fill(9));
  memory.close();
});

test('transfers longer than a piece, over areas that lie side by side, are whole', async () => {
  const bytes = 2 ** 18;
  const address = await child.map(bytes);
  await child.call('mprotect', address + 2 ** 17, PAGE, PROT_READ);
  const memory = liveMemory(account, child.pid);
  const source = madeBytes(bytes, (n) => n * 7);
  const target = new Uint8Array(bytes);
  assert.equal(memory.write(address, source, 0, bytes), 2 ** 17);
  assert.equal(memory.read(address, target, 0, bytes), bytes);
  assert.deepEqual(target.subarray(0, 2 ** 17), source.subarray(0, 2 ** 17));
  memory.close();
});

test('an address space is gone with exec and with exit, and its process id means nothing', async () => {
  const other = new Child();
  const address = await other.map(PAGE);
  const memory = liveMemory(account, other.pid);
  const buffer = new Uint8Array(16);
  assert.equal(memory.write(address, buffer, 0, 16), 16);
  void other.order('becomeSleep');
  await runs(other.pid, 'sleep');
  assert.equal(memory.write(address, buffer, 0, 16), 0);
  assert.equal(memory.read(stackOf(other.pid), buffer, 0, 16), 0, 'what the new program has');
  const again = liveMemory(account, other.pid);
  assert.equal(again.read(stackOf(other.pid), buffer, 0, 16), 16);
  await other.kill();
  assert.equal(again.read(address, buffer, 0, 16), 0);
  memory.close();
  again.close();
});

test('the memory of a child of fork is its own', async () => {
  const address = await child.map(PAGE);
  const memory = liveMemory(account, child.pid);
  await child.poke(address, Uint8Array.of(1));
  await child.order('forkAndFill', address, 16);
  const buffer = new Uint8Array(16);
  assert.equal(memory.read(address, buffer, 0, 1), 1);
  assert.equal(buffer[0], 1);
  memory.close();
});

test('one that is not dumpable is EPERM, of root too, and nothing stays open', async () => {
  const before = descriptors();
  for (const dumpable of [0, 1, 0]) {
    assert.equal(await child.call('prctl', PR_SET_DUMPABLE, dumpable, 0, 0, 0), 0);
    if (dumpable === 1) liveMemory(account, child.pid).close();
    else refused(() => liveMemory(account, child.pid), 'EPERM', /not dumpable|out of reach/);
  }
  await child.call('prctl', PR_SET_DUMPABLE, 1, 0, 0, 0);
  assert.deepEqual(descriptors(), before);
});

test('a page of a file on FUSE is refused before anybody has to wait for its server', {
  skip: process.geteuid?.() === 0 ? false : 'needs root to mount a filesystem',
}, async (t) => {
  const foreign = new ForeignFilesystem(t);
  const other = new Child();
  const file = await other.call('open', foreign.file, 2, 0);
  const address = await other.call('mmap', 0, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
  assert.ok(address > 0, `mmap: ${address}`);
  const memory = liveMemory(account, other.pid);
  const buffer = new Uint8Array(16);
  assert.equal(memory.read(address, buffer, 0, 16), 0, 'from the thread that would have to answer');
  assert.match(memory.shortfall ?? '', /is a file on a fuse\S* filesystem/);
  memory.close();
  await other.kill();
});

test('what an area is now is said by the text as by the question', async () => {
  const address = await child.map(3 * PAGE);
  await child.call('mprotect', address + PAGE, PAGE, PROT_READ);
  await child.call('munmap', address + 2 * PAGE, PAGE);
  const maps = openSync(`/proc/${child.pid}/maps`, 'r');
  for (const at of [address, address + PAGE, address + PAGE + 5, address + 2 * PAGE, 0, stackOf(child.pid)]) {
    const [asked, read] = [
      { start: 0, end: 0, rights: 0, device: 0 },
      { start: 0, end: 0, rights: 0, device: 0 },
    ];
    assert.equal(areaInText(ownMaps(maps), at, read), areaNow(ownMaps(maps), at, asked));
    assert.deepEqual(read, asked);
  }
  libc().close(maps);
});
