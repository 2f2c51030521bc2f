import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import fc from 'fast-check';
import { refused } from '../testkit/refused.js';
import { Account, Pool } from './account.js';
import { BrokenInvariant } from './invariant.js';

// Of which memory is taken for some at a time.
const things = new Pool('things', 'EMFILE', () => 1000, { bytes: 1000 });
/** More than there is memory for: the reason tells how much of it is taken. */
const large = new Pool('large things', 'ENOSPC', () => 1000, { bytes: 2 ** 50 });
const names = ['user 1', 'user 2', 'user 3'];

beforeEach(() => assert.deepEqual(Account.all(), []));

/** Takes one at a time. @returns how many there are to be had. */
function takeAll(account: Account, pool = things): number {
  for (let taken = 0; ; taken++) {
    try {
      account.take(pool, 1);
    } catch {
      return taken;
    }
  }
}

test('who takes all that he can has three quarters of what the others leave', () => {
  const accounts = names.map((name) => Account.of(name));
  const taken = accounts.map((account) => takeAll(account));
  assert.deepEqual(taken, [750, 187, 47]);
  assert.equal(things.used, 984);
  accounts[0]!.give(things, 750);
  assert.equal(takeAll(accounts[2]!), 562);
  accounts[1]!.give(things, 187);
  accounts[2]!.give(things, 609);
});

test('of a small pool an opener may have the least in any case, however little others leave', () => {
  const few = new Pool('few things', 'EMFILE', () => 16, { least: 2 });
  const all = [...names, 'user 4'];
  const accounts = all.map((name) => Account.of(name));
  assert.deepEqual(
    accounts.map((account) => takeAll(account, few)),
    [12, 3, 2, 2],
  );
  for (const account of accounts) account.give(few, account.share(few).used);
});

test('what is refused is not taken, and the reason says who has how many of what', () => {
  const account = Account.of('user 1');
  account.take(things, 749);
  const reason = 'what user 1 has opened holds 749 things of the server, of at most 750 that others leave';
  refused(() => account.take(things, 2), 'EMFILE', new RegExp(`^${reason}$`));
  account.take(things, 1);
  assert.deepEqual(Account.all(), [{ opener: 'user 1', holds: { things: 750 } }]);
  account.give(things, 750);
});

test('of what takes memory there is as much as the machine has memory for, whatever the pool has', () => {
  const small = new Pool('small things', 'EMFILE', () => 1000, { bytes: 1 });
  const account = Account.of('user 1');
  account.take(small, 100);
  const reason =
    /^what user 1 has opened holds 65636 bytes of memory of the server, of at most \d+ that others/;
  refused(() => account.take(large, 1), 'ENOSPC', reason);
  assert.deepEqual(Account.all(), [{ opener: 'user 1', holds: { 'small things': 100 } }]);
  account.give(small, 100);
});

test('memory that stays ours when it is given back is there for what is taken next', () => {
  const kept = new Pool('kept things', 'ENOMEM', () => 2 ** 20, { bytes: 2 ** 30, keepsMemory: true });
  const account = Account.of('user 1');
  const share = account.share(kept);
  const many = 2 ** 19;
  refused(() => account.take(kept, many / 2), 'ENOMEM', / bytes of memory of the server/);
  // There was memory for them once.
  share.add(many);
  assert.equal(share.has(many / 4), false);
  account.give(kept, many);
  account.take(kept, many / 2);
  account.give(kept, many / 2);
});

test('an opener has one account as long as anybody knows it', () => {
  const account = Account.of('user 1');
  account.take(things, 2);
  assert.equal(Account.of('user 1'), account);
  account.give(things, 1);
  assert.equal(Account.of('user 1'), account);
  account.give(things, 1);
  const later = Account.of('user 1');
  assert.equal(later, account);
  assert.deepEqual(Account.all(), []);
  assert.throws(() => later.give(things, 1), BrokenInvariant);
});

test('whatever is taken and given back in what order, the pool has the sum, and nothing is left', () => {
  const step = fc.tuple(fc.nat(2), fc.boolean(), fc.integer({ min: 1, max: 400 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const held = [0, 0, 0];
      for (const [who, taking, count] of steps) {
        const account = Account.of(names[who]!);
        const others = things.used - held[who]!;
        if (taking && held[who]! + count <= 0.75 * (1000 - others)) {
          account.take(things, count);
          held[who]! += count;
        } else if (taking) refused(() => account.take(things, count), 'EMFILE', /things/);
        else if (held[who]! >= count) {
          account.give(things, count);
          held[who]! -= count;
        }
        assert.equal(things.used, held[0]! + held[1]! + held[2]!);
        assert.ok(things.used < 1000);
      }
      for (const [who, count] of held.entries()) if (count > 0) Account.of(names[who]!).give(things, count);
      assert.deepEqual(Account.all(), []);
      for (const name of names)
        refused(() => Account.of(name).take(large, 1), 'ENOSPC', / holds 0 bytes of memory of the server/);
    }),
  );
});
