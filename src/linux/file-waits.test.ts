import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { Child, PAGE } from '../testkit/child.js';
import { refusal } from '../testkit/refused.js';
import { Account } from './account.js';
import { Errno } from './errno.js';
import { libc } from './ffi.js';
import { fileMemory } from './file-memory.js';
import { countFileWaits, FileWaits, settleFileWaits } from './file-waits.js';
import { transfersByHelpers } from './patient-helper.js';
import { ScatterList } from './scatter-list.js';
import { waitClock } from './wait-clock.js';

before(() => countFileWaits(true));
after(() => countFileWaits(false));
const child = new Child();
after(() => child.kill());
const BOTH = 3;
const HOUR = 3_600_000;
const PROT_BOTH = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;

const word = new Int32Array(new SharedArrayBuffer(4));
const sleep = (ms: number) => void Atomics.wait(word, 0, 0, ms);
function compute(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

/** A piece of work that takes as long as `work`, in an access. @returns whether that was made. */
function access(waits: FileWaits, work: () => void): boolean {
  if (!waits.touch()) return false;
  work();
  settleFileWaits();
  return true;
}

const nothing = () => {};

/** Waits for `waits`, each time for `ms`, until it is too much. @returns how often. */
function waitFor(waits: FileWaits, ms: number): number {
  // Once would do if nobody else wanted the processor: who sleeps then may be counted as one who queues.
  for (let n = 0; n < 20; n++) if (!access(waits, () => sleep(ms))) return n;
  return assert.fail('no wait has counted');
}

/** Those of an opener whose files have had us wait for 40 ms, which is not too much. */
function waitedOnce(): FileWaits {
  // Where the machine stood still meanwhile it was more: not that of each of so many.
  for (let n = 0; n < 20; n++) {
    const waits = FileWaits.of(Account.of(`user 10.${n}`));
    assert.ok(access(waits, () => sleep(40)));
    if (access(waits, nothing)) return waits;
  }
  return assert.fail('a wait of 40 ms was too much');
}

/** Those of an opener whose files have had us wait. */
function helped(opener: string): FileWaits {
  const waits = FileWaits.of(Account.of(opener));
  assert.ok(waitFor(waits, 60) > 0);
  return waits;
}

test("files of who has let the server wait are touched by a helper, all others' by the server", () => {
  const waits = helped('user 1');
  assert.equal(access(waits, nothing), false);
  assert.equal(FileWaits.of(Account.of('user 1')), waits);
  assert.ok(access(FileWaits.of(Account.of('user 2')), nothing));
  const places = new ScatterList();
  assert.ok(places.add(0, 8, waits));
  assert.equal(places.read(-1, 0), false);
});

test('to be slow is no wait: who has as much copied is touched by the server', () => {
  const waits = FileWaits.of(Account.of('user 3'));
  for (let n = 0; n < 4; n++) assert.ok(access(waits, () => compute(60)));
  assert.ok(access(waits, nothing));
});

test('pages that the kernel takes long to make are waits for who has them made', () => {
  const waits = FileWaits.of(Account.of('user 14'));
  const BYTES = 1 << 29;
  const zeros = openSync('/dev/zero', 'r');
  const made = () => {
    const at = libc().mmap(0, BYTES, PROT_BOTH, MAP_PRIVATE_ANONYMOUS, -1, 0);
    libc().read(zeros, at, BYTES);
    libc().munmap(at, BYTES);
  };
  for (let n = 0; n < 8; n++) access(waits, made);
  closeSync(zeros);
  assert.equal(access(waits, nothing), false);
});

test('what is waited for a helper process, which has a limit of its own, is no wait for files', () => {
  const waits = FileWaits.of(Account.of('user 9'));
  for (let n = 0; n < 2; n++)
    access(waits, () => {
      const begun = performance.now();
      sleep(60);
      waitClock.excuse(performance.now() - begun);
    });
  assert.ok(access(waits, nothing));
});

test('waits of an opener add up, and are forgotten when there was none for an hour', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const waits = waitedOnce();
  const waitAgain = () => access(waits, () => sleep(40));
  t.mock.timers.tick(HOUR - 1);
  assert.ok(waitFor(waits, 40) > 0);
  t.mock.timers.tick(HOUR - 1);
  assert.ok(!waitAgain());
  t.mock.timers.tick(1);
  assert.ok(waitAgain());
  assert.ok(access(waits, nothing));
});

test('an opener who closes all that he has open is remembered', async () => {
  helped('user 11');
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let n = 0; n < 3; n++) {
    await new Promise((resolve) => setImmediate(resolve));
    collect();
  }
  assert.ok(!access(FileWaits.of(Account.of('user 11')), nothing));
});

test('who lets the server wait for mapping has nothing mapped for an hour, then unmapped', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const account = Account.of('user 13');
  const fds = [await child.memfd('one', PAGE), await child.memfd('two', PAGE)] as const;
  const map = (fd: number) => fileMemory(account, child.pid, fd, 0, PAGE, BOTH).memory;
  const one = map(fds[0]);
  const waits = FileWaits.of(account);
  for (let n = 0; n < 20; n++) if (refusal(() => waits.whileMapping(() => sleep(60)))) break;
  assert.throws(() => map(fds[1]), {
    errno: Errno.ENOMEM,
    reason: /^mapping files of user 13 has kept the server for \d+ ms, and none is mapped for an hour$/,
  });
  // What is mapped is shared, used and given back as ever.
  const again = map(fds[0]);
  assert.equal(again, one);
  assert.equal(one.write(0, new Uint8Array([1]), 0, 1), 1);
  one.close();
  again.close();
  assert.deepEqual(account.holds, { descriptors: 1, 'bytes of mapped files': PAGE, 'mapped files': 1 });
  assert.throws(() => map(fds[0]), { errno: Errno.ENOMEM });
  t.mock.timers.tick(HOUR);
  assert.deepEqual(account.holds, {});
  map(fds[1]).close();
  assert.deepEqual(account.holds, {});
});

test('who is touched in the same piece of work does not answer for the wait of another', () => {
  const [slow, quick] = ['user 7', 'user 8'].map((opener) => FileWaits.of(Account.of(opener)));
  for (let n = 0; n < 20; n++) {
    assert.ok(quick!.touch());
    if (slow!.touch()) sleep(60);
    assert.ok(quick!.touch());
    settleFileWaits();
  }
  assert.equal(access(slow!, nothing), false);
  assert.ok(access(quick!, nothing));
});

test('a helper reads and writes what the server does, in holes and behind the end', async () => {
  const fd = await child.memfd('slow', 4 * PAGE);
  helped('user 5');
  const [slow, quick] = ['user 5', 'user 6'].map(
    (opener) => fileMemory(Account.of(opener), child.pid, fd, 0, 4 * PAGE, BOTH).memory,
  );
  const transfers = transfersByHelpers();
  const range = fc.record({
    write: fc.boolean(),
    byHelper: fc.boolean(),
    offset: fc.nat(4 * PAGE - 1),
    length: fc.integer({ min: 1, max: PAGE + 100 }),
    byte: fc.integer({ min: 1, max: 255 }),
  });
  const model = new Uint8Array(4 * PAGE);
  const buffer = new Uint8Array(2 * PAGE);
  fc.assert(
    fc.property(fc.array(range), (steps) => {
      for (const { write, byHelper, offset, length, byte } of steps) {
        const memory = byHelper ? slow! : quick!;
        const there = Math.min(length, 4 * PAGE - offset);
        buffer.fill(byte);
        if (write) {
          assert.equal(memory.write(offset, buffer, 0, there), there);
          model.fill(byte, offset, offset + there);
        } else {
          assert.equal(memory.read(offset, buffer, 0, there), there);
          assert.deepEqual(buffer.subarray(0, there), model.subarray(offset, offset + there));
        }
      }
    }),
  );
  assert.ok(transfersByHelpers() > transfers);
  assert.equal(await child.call('ftruncate', fd, PAGE), 0);
  assert.equal(slow!.read(0, buffer, 0, 2 * PAGE), PAGE);
  assert.equal(slow!.write(PAGE - 8, buffer, 0, 16), 8);
  slow!.close();
  quick!.close();
});

test('where one command alone is served no wait counts', () => {
  countFileWaits(false);
  const waits = FileWaits.of(Account.of('user 4'));
  for (let n = 0; n < 3; n++) assert.ok(access(waits, () => sleep(60)));
  countFileWaits(true);
  assert.ok(access(waits, nothing));
});
