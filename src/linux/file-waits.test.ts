import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Child, PAGE } from '../testkit/child.js';
import { Account } from './account.js';
import { ScatterList } from './cached-read.js';
import { fileMemory } from './file-memory.js';
import { countFileWaits, FileWaits, settleFileWaits } from './file-waits.js';

before(() => countFileWaits(true));
after(() => countFileWaits(false));
const child = new Child();
after(() => child.kill());
const BOTH = 3;

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

test('who has let the server wait for too long is not waited for again, and all others are', () => {
  const account = Account.of('user 1');
  const waits = FileWaits.of(account);
  for (let n = 0; n < 7; n++) assert.ok(access(waits, () => sleep(200)));
  access(waits, () => sleep(200));
  assert.equal(access(waits, nothing), false);
  assert.match(waits.reason, /^files of user 1 owe 1\d{3} ms for which the server has waited, and are/);
  assert.equal(FileWaits.of(account), waits);
  assert.ok(access(FileWaits.of(Account.of('user 2')), nothing));
  const places = new ScatterList();
  assert.ok(places.add(0, 8, waits));
  assert.equal(places.read(-1, 0), false);
});

test('to be slow is no wait: who has as much copied is never refused', () => {
  const waits = FileWaits.of(Account.of('user 3'));
  for (let n = 0; n < 4; n++) assert.ok(access(waits, () => compute(600)));
  assert.ok(access(waits, nothing));
});

test('who is touched in the same piece of work does not pay for the wait of another', () => {
  const [slow, quick] = ['user 7', 'user 8'].map((opener) => FileWaits.of(Account.of(opener)));
  for (let n = 0; n < 3; n++) {
    assert.ok(quick!.touch());
    assert.ok(slow!.touch());
    sleep(600);
    assert.ok(quick!.touch());
    settleFileWaits();
  }
  assert.equal(access(slow!, nothing), false);
  assert.ok(access(quick!, nothing));
});

test('files that have let the server wait for too long are out of reach, of others not', async () => {
  const fd = await child.memfd('slow', PAGE);
  const [slow, other] = ['user 5', 'user 6'].map(
    (opener) => fileMemory(Account.of(opener), child.pid, fd, 0, PAGE, BOTH).memory,
  );
  const bytes = new Uint8Array(8);
  const waits = FileWaits.of(slow!.account);
  for (let n = 0; n < 2; n++) assert.ok(access(waits, () => sleep(1100)));
  for (const access of ['read', 'write'] as const) {
    assert.equal(slow![access](0, bytes, 0, 8), 0);
    assert.match(slow!.shortfall ?? '', /^files of user 5 owe \d+ ms for which the server has waited/);
    assert.equal(other![access](0, bytes, 0, 8), 8);
  }
  slow!.close();
  other!.close();
});

test('where one command alone is served no wait counts', () => {
  countFileWaits(false);
  const waits = FileWaits.of(Account.of('user 4'));
  for (let n = 0; n < 3; n++) assert.ok(access(waits, () => sleep(600)));
  countFileWaits(true);
  assert.ok(access(waits, nothing));
});
