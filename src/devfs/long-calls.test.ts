/** Who makes long calls waits for his turn between them; nobody else does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Account } from '../linux/account.js';
import { LongCalls } from './long-calls.js';
import { Turns } from './turns.js';

const account = (name: string) => Account.of(`a busy ${name}`);

/** Openers whose calls are begun, or put aside, as the server does it. The clock is the test's. */
class Served {
  readonly turns = new Turns();
  readonly #long = new LongCalls(this.turns);
  /** Whose calls were begun, one after the other. */
  readonly begun: Account[] = [];
  now = 0;

  call(opener: Account, ms: number): void {
    if (this.turns.claimed([opener])) this.turns.wait([opener], () => this.#begin(opener, ms));
    else this.#begin(opener, ms);
  }

  #begin(opener: Account, ms: number): void {
    this.begun.push(opener);
    const began = this.now;
    this.now += ms;
    this.#long.count(opener, began, this.now);
  }
}

test('who is not busy waits for half a millisecond of long calls and one, of however many openers', () => {
  // In 64ths, whose sums are exact: a rounded sum may be less than half a millisecond by a hair.
  const ms = fc.integer({ min: 4, max: 20 * 64 }).map((parts) => parts / 64);
  const call = fc.record({ by: fc.nat(5), ms });
  fc.assert(
    fc.property(fc.array(call, { maxLength: 60 }), (calls) => {
      const served = new Served();
      const openers = [0, 1, 2, 3, 4, 5].map((n) => account(`${n}`));
      // All are busy, and none waits.
      for (const opener of openers) served.call(opener, 1);
      while (served.turns.step());
      const longest = Math.max(0, ...calls.map(({ ms }) => ms));
      let from = served.now;
      for (const { by, ms } of calls) served.call(openers[by]!, ms);
      for (let more = true; more; from = served.now) {
        assert.ok(served.now - from < 0.5 + longest, `${served.now - from} ms`);
        more = served.turns.step();
      }
      assert.equal(served.begun.length, openers.length + calls.length);
    }),
  );
});

test('busy openers take turns, however many calls one has come with', () => {
  const served = new Served();
  const [many, few] = [account('many'), account('few')];
  for (const opener of [many, few]) served.call(opener, 1);
  for (let n = 0; n < 10; n++) served.call(many, 1);
  served.call(few, 1);
  for (let turn = 0; turn < 3; turn++) served.turns.step();
  assert.ok(served.begun.slice(2).includes(few));
  while (served.turns.step());
  assert.equal(served.begun.length, 13);
});

test('nobody waits for calls that are short, nor after one that was long once', () => {
  const served = new Served();
  const [one, other] = [account('one'), account('other')];
  for (let n = 0; n < 1000; n++) served.call(one, 0.04);
  served.call(one, 0.3);
  assert.equal(served.turns.claimed([one]), false);
  served.call(other, 100);
  assert.deepEqual([served.turns.claimed([one]), served.turns.claimed([other])], [false, true]);
});

test('who has been busy is so no more after a tenth of a second', () => {
  const served = new Served();
  const [before, now] = [account('before'), account('now')];
  served.call(before, 1);
  while (served.turns.step());
  served.now += 90;
  served.call(now, 1);
  assert.equal(served.turns.claimed([before]), true);
  while (served.turns.step());
  served.now += 10;
  served.call(now, 1);
  assert.deepEqual([served.turns.claimed([before]), served.turns.claimed([now])], [false, true]);
});
