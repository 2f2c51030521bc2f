/**
 * Memory of a process by way of a helper, where that process has mapped a file over it whose FUSE server does
 * not answer.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { Child, PAGE, stackOf } from '../testkit/child.js';
import { ForeignFilesystem } from '../testkit/foreign-filesystem.js';
import { helpersOf } from '../testkit/helper-processes.js';
import { madeBytes } from '../testkit/made-bytes.js';
import { Account } from './account.js';
import { randomAddress } from './aux-vector.js';
import { heldDescriptors } from './held-descriptors.js';
import {
  canHaveHelpers,
  endHelpedPiece,
  transfersByHelpers,
  waitingHelpers,
  waitingTime,
} from './patient-helper.js';
import { ProcessMemory, servesAlone } from './process-memory.js';
import { Ranges } from './ranges.js';
import { OwnReach } from './reach.js';
import { RemoteReach } from './remote-reach.js';

const PROT_READ_WRITE = 3;
const MAP_PRIVATE = 2;
const MAP_PRIVATE_FIXED = 0x12;
const PAGES = 40;

const without = canHaveHelpers() ? false : `no helper process on ${process.platform} ${process.arch}`;
const cannotMount = process.geteuid?.() === 0 ? without : 'needs root to mount a filesystem';

/** A process, its memory by a helper and directly, for an opener who holds something. */
function reached(t: TestContext) {
  const child = new Child();
  t.after(() => child.kill());
  const account = Account.of(`the test ${child.pid}`);
  account.take(heldDescriptors, 1);
  t.after(() => account.give(heldDescriptors, 1));
  const [mem, maps] = [openSync(`/proc/${child.pid}/mem`, 'r+'), openSync(`/proc/${child.pid}/maps`, 'r')];
  const remote = new RemoteReach(account, mem, maps, `process ${child.pid}`);
  t.after(() => {
    remote.close();
    closeSync(mem);
    closeSync(maps);
  });
  return { child, account, remote, own: new OwnReach(mem, maps) };
}

/**
 * Maps a file over the page at `address` of `child` whose server has answered until then, and does no more.
 * It has taken a request for the first page, which another process waits for: whoever wants that page now
 * waits with it, SIGKILL or not. (A request that nobody has taken yet is called back.)
 */
async function silence(t: TestContext, child: Child, address: number): Promise<() => void> {
  const foreign = new ForeignFilesystem(t);
  const first = new Child();
  t.after(() => first.kill());
  const open = (who: Child) => who.call('open', `/proc/${child.pid}/fd/${file}`, 2, 0);
  const file = await child.call('open', foreign.file, 2, 0);
  // Past its end nobody is asked for a page.
  assert.equal(await child.call('pwrite', file, await child.map(PAGE), 64, 0), 64);
  const mapped = await child.call('mmap', address, PAGE, PROT_READ_WRITE, MAP_PRIVATE_FIXED, file, 0);
  assert.equal(mapped, address);
  const copy = await open(first);
  const page = await first.call('mmap', 0, PAGE, PROT_READ_WRITE, MAP_PRIVATE, copy, 0);
  await foreign.silence();
  first.peek(page, 1).catch(() => undefined);
  await foreign.readTaken();
  return () => foreign.disconnect();
}

test('a helper reads, writes and asks as this process itself does', { skip: without }, async (t) => {
  const { child, remote, own } = reached(t);
  const address = await child.map(PAGES * PAGE);
  await child.call('munmap', address + (PAGES - 1) * PAGE, PAGE);
  const range = fc.record({
    at: fc.nat(PAGES * PAGE - 1),
    length: fc.nat(PAGES * PAGE),
    by: fc.nat(64),
    seed: fc.nat(250),
  });
  fc.assert(
    fc.property(range, ({ at, length, by, seed }) => {
      const bytes = madeBytes(by + length, (index) => index * 7 + seed);
      const [there, here] = [new Uint8Array(by + length), new Uint8Array(by + length)];
      const written = remote.write(address + at, bytes, by, length);
      assert.equal(written, Math.min(length, Math.max(0, (PAGES - 1) * PAGE - at)));
      assert.equal(remote.read(address + at, there, by, length), written);
      assert.equal(own.read(address + at, here, by, length), written);
      assert.deepEqual(there, here);
      assert.deepEqual(there.subarray(by, by + written), bytes.subarray(by, by + written));
    }),
    { numRuns: 60 },
  );
  const ask = (reach: OwnReach | RemoteReach, at: number) => {
    const words = new Uint32Array(32);
    words[0] = 104;
    words[4] = at >>> 0;
    words[5] = at / 2 ** 32;
    return [reach.ask(new Uint8Array(words.buffer)), ...words];
  };
  for (const at of [address, address + PAGES * PAGE, stackOf(child.pid), 0])
    assert.deepEqual(ask(remote, at), ask(own, at));
});

test('many parts are moved as this process itself does, up to the first that is not there, by few requests', {
  skip: without,
}, async (t) => {
  const { child, remote, own } = reached(t);
  const address = await child.map(PAGES * PAGE);
  await child.call('munmap', address + 20 * PAGE, PAGE);
  const part = fc.tuple(
    fc.nat(PAGES * PAGE - 1),
    fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 64 }) }, fc.integer({ min: 1, max: 70_000 })),
  );
  const ranges = new Ranges();
  const fill = (parts: readonly (readonly [number, number])[]) => {
    ranges.clear();
    for (const [at, length] of parts) ranges.add(address + at, length);
    return ranges;
  };
  const all = () => {
    const bytes = Buffer.alloc(PAGES * PAGE);
    own.read(address, bytes, 0, 20 * PAGE);
    own.read(address + 21 * PAGE, bytes, 21 * PAGE, 19 * PAGE);
    return bytes;
  };
  fc.assert(
    fc.property(fc.array(part, { maxLength: 30 }), fc.nat(9), fc.nat(250), (parts, by, seed) => {
      const length = fill(parts).length;
      const bytes = madeBytes(by + length, (index) => index * 7 + seed);
      own.scatter(ranges, new Uint8Array(length), 0);
      const written = own.scatter(ranges, bytes, by);
      const expected = all();
      own.scatter(ranges, new Uint8Array(length), 0);
      assert.equal(remote.scatter(ranges, bytes, by), written);
      assert.ok(all().equals(expected));
      const [there, here] = [new Uint8Array(by + length), new Uint8Array(by + length)];
      assert.equal(remote.gather(ranges, there, by), own.gather(ranges, here, by));
      assert.ok(Buffer.from(there).equals(here));
    }),
    { numRuns: 40 },
  );
  const thousand = Array.from({ length: 1000 }, (_, index) => [2 * index, 1] as const);
  const before = transfersByHelpers();
  assert.equal(remote.gather(fill(thousand), new Uint8Array(1000), 0), 1000);
  assert.equal(remote.scatter(fill([...thousand, ...thousand]), new Uint8Array(2000), 0), 2000);
  assert.equal(transfersByHelpers() - before, 3);
});

test('what a helper reads and writes is counted, also where it fails, and nothing else is', {
  skip: without,
}, async (t) => {
  const { child, remote, own } = reached(t);
  const address = await child.map(PAGE);
  const bytes = new Uint8Array(8);
  const counted = (action: () => unknown) => {
    const before = transfersByHelpers();
    action();
    return transfersByHelpers() - before;
  };
  const actions = [
    () => own.read(address, bytes, 0, 8),
    () => remote.text(bytes, 0),
    () => remote.read(address, bytes, 0, 8),
    () => remote.write(address, bytes, 0, 8),
    () => remote.read(1, bytes, 0, 8),
  ];
  assert.deepEqual(actions.map(counted), [0, 0, 1, 1, 1]);
});

test('the same program is known through a helper, another one is not', { skip: without }, async (t) => {
  const { child, remote } = reached(t);
  const other = new Child();
  t.after(() => other.kill());
  const address = randomAddress(child.pid, child.pid);
  const bytes = new Uint8Array(16);
  assert.equal(remote.read(address, bytes, 0, 16), 16);
  assert.ok(remote.has(child.pid, address, bytes));
  assert.equal(remote.has(other.pid, address, bytes), false);
  assert.equal(remote.has(2 ** 22, address, bytes), false);
});

test('memory that does not come is given up in time, alone, and is there again when it has come', {
  skip: cannotMount,
}, async (t) => {
  const { child, account, remote } = reached(t);
  const other = reached(t);
  const [address, theirs] = [await child.map(2 * PAGE), await other.child.map(PAGE)];
  const end = await silence(t, child, address);
  const bytes = new Uint8Array(16).fill(7);
  assert.equal(remote.write(address, bytes, 0, 16), 0);
  assert.match(remote.shortfall!, /^the memory of process \d+ at 0x\w+ has not come within 100 ms$/);
  assert.deepEqual(account.holds['helper processes that wait for memory'], 1);

  assert.equal(remote.read(address + PAGE, bytes, 0, 16), 0, 'what nobody waits for is out of reach too');
  assert.match(remote.shortfall!, /^an access to the memory of process \d+ has not come back yet$/);
  assert.equal(other.remote.read(theirs, bytes, 0, 16), 16, 'of another process it is not');
  assert.equal(other.remote.shortfall, undefined);

  end();
  await child.call('mmap', address, PAGE, PROT_READ_WRITE, MAP_PRIVATE_FIXED | 0x20, -1, 0);
  while (waitingHelpers.used > 0) await sleep(1);
  assert.equal(remote.read(address, bytes, 0, 16), 16);
  assert.deepEqual(bytes, new Uint8Array(16), 'what was given up has not been done later');
  assert.equal(account.holds['helper processes that wait for memory'], undefined);
});

test('of many parts those before one that does not come are moved, and the fault is where that is', {
  skip: cannotMount,
}, async (t) => {
  const { child, remote } = reached(t);
  const address = await child.map(3 * PAGE);
  const end = await silence(t, child, address + PAGE);
  const ranges = new Ranges();
  for (const at of [0, 8, PAGE, 2 * PAGE]) ranges.add(address + at, 4);
  const bytes = new Uint8Array(16).fill(7);
  assert.equal(remote.scatter(ranges, bytes, 0), 8);
  const at = (address + PAGE).toString(16);
  assert.match(remote.shortfall!, new RegExp(`^the memory of process \\d+ at 0x${at} has not come within`));
  end();
  await child.call('mmap', address + PAGE, PAGE, PROT_READ_WRITE, MAP_PRIVATE_FIXED | 0x20, -1, 0);
  assert.deepEqual([...(await child.peek(address, 12))], [7, 7, 7, 7, 0, 0, 0, 0, 7, 7, 7, 7]);
  assert.deepEqual([...(await child.peek(address + 2 * PAGE, 4))], [0, 0, 0, 0]);
  while (waitingHelpers.used > 0) await sleep(1);
});

test('an opener has so many helpers waiting, then no access to such memory; another opener has', {
  skip: cannotMount,
}, async (t) => {
  const account = Account.of('the test');
  const waiting = Array.from({ length: 12 }, () => 1);
  for (const _ of waiting) account.take(waitingHelpers, 1);
  t.after(() => account.give(waitingHelpers, 12));
  const { child } = reached(t);
  const [mem, maps] = [openSync(`/proc/${child.pid}/mem`, 'r+'), openSync(`/proc/${child.pid}/maps`, 'r')];
  const at = await child.map(PAGE);
  const bytes = new Uint8Array(8);
  const refused = new RemoteReach(account, mem, maps, 'it');
  assert.equal(refused.read(at, bytes, 0, 8), 0);
  assert.match(
    refused.shortfall!,
    /^what the test has opened holds 12 helper processes that wait for memory of the server, of at most 12 /,
  );
  const others = new RemoteReach(Account.of('another'), mem, maps, 'it');
  assert.equal(others.read(at, bytes, 0, 8), 8);
  others.close();
  closeSync(mem);
  closeSync(maps);
});

test('whose memory has not come is waited for less, and after ten times not at all', {
  skip: cannotMount,
}, async (t) => {
  const { child, account } = reached(t);
  const [mem, maps] = [openSync(`/proc/${child.pid}/mem`, 'r+'), openSync(`/proc/${child.pid}/maps`, 'r')];
  const address = await child.map(PAGE);
  const end = await silence(t, child, address);
  const reasons = Array.from({ length: 12 }, () => {
    const remote = new RemoteReach(account, mem, maps, 'it');
    remote.touch(address, 1);
    endHelpedPiece();
    return remote.shortfall;
  });
  assert.match(reasons[0]!, /^the memory of it at 0x\w+ has not come within 100 ms$/);
  for (const reason of reasons.slice(1, 6))
    assert.match(reason!, /^the memory of it at 0x\w+ has not come within 10 ms$/);
  assert.match(
    reasons.at(-1)!,
    / holds \d+ milliseconds of waiting for memory of the server, of at most \d+ that others leave$/,
  );
  end();
  closeSync(mem);
  closeSync(maps);
});

test('whatever others have taken of helpers and time, who has kept nobody has access, and all have again', {
  skip: without,
}, async (t) => {
  const hoarders = ['one', 'two', 'three'].map((name) => Account.of(name));
  const pools = [waitingHelpers, waitingTime];
  const all = [
    [12, 1000],
    [3, 250],
    [2, 200],
  ];
  for (const [who, counts] of all.entries())
    for (const [which, pool] of pools.entries()) hoarders[who]!.share(pool).add(counts[which]!);
  t.after(() => {
    for (const each of hoarders) for (const pool of pools) each.give(pool, each.share(pool).used);
  });
  const { child, account, remote } = reached(t);
  const at = await child.map(PAGE);
  const bytes = new Uint8Array(8);
  assert.equal(remote.read(at, bytes, 0, 8), 8, remote.shortfall);
  const stopped = helpersOf(process.pid);
  for (const helper of stopped) process.kill(helper, 'SIGSTOP');
  assert.equal(remote.read(at, bytes, 0, 8), 0);
  assert.match(remote.shortfall!, / has not come within 10 ms$/);
  assert.equal(account.share(waitingTime).used, 100);
  while (account.share(waitingTime).used > 98) await sleep(1);
  while (waitingHelpers.used > 17) await sleep(1);
  assert.equal(remote.read(at, bytes, 0, 8), 8, remote.shortfall);
});

test('where several are served, a process that could kill the server lets a helper wait all the same', {
  skip: cannotMount,
}, async (t) => {
  servesAlone(false);
  t.after(() => servesAlone(true));
  const child = new Child();
  t.after(() => child.kill());
  const address = await child.map(2 * PAGE);
  const end = await silence(t, child, address);
  const memory = ProcessMemory.of(Account.of('the same user'), child.pid);
  t.after(() => memory.drop());
  const bytes = new Uint8Array(16);
  assert.equal(memory.read(address + PAGE, bytes, 0, 16), 16);
  assert.equal(memory.read(address, bytes, 0, 16), 0);
  assert.match(memory.shortfall!, /^the memory of process \d+ \(\w+\) at 0x\w+ has not come within \d+ ms$/);
  end();
});

test('closing the memory leaves no descriptor in the helper', { skip: without }, async (t) => {
  const { child, account } = reached(t);
  const [mem, maps] = [openSync(`/proc/${child.pid}/mem`, 'r+'), openSync(`/proc/${child.pid}/maps`, 'r')];
  const at = await child.map(PAGE);
  const remote = new RemoteReach(account, mem, maps, 'it');
  const bytes = new Uint8Array(8);
  const counts = Array.from({ length: 3 }, () => {
    assert.equal(remote.read(at, bytes, 0, 8), 8);
    const count = readdirSync(`/proc/${helpersOf(process.pid).at(-1)}/fd`).length;
    remote.close();
    return count;
  });
  assert.ok(
    counts.every((count) => count === counts[0]),
    `${counts}`,
  );
  closeSync(mem);
  closeSync(maps);
});
