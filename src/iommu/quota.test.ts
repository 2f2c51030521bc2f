import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Account } from '../linux/account.js';
import { mappingQuota, tableQuota } from './quota.js';

const MAPPINGS = 2 ** 25;

test("of all contexts' mappings an opener has three quarters of what others leave, then their errno", () => {
  const [one, two] = [Account.of('user 1'), Account.of('user 2')];
  const first = mappingQuota(MAPPINGS, 'ENOMEM', one);
  first.add((MAPPINGS * 3) / 4 - 1);
  const second = mappingQuota(10, 'ENOSPC', one);
  second.check(1);
  second.add(1);
  const reason =
    'what user 1 has opened holds 25165824 mappings of the server, of at most 25165824 that others leave';
  assert.throws(() => second.check(1), { code: 'ENOSPC', reason });
  assert.throws(() => first.check(1), { code: 'ENOMEM', reason });
  assert.equal(second.has(1), false);
  const other = mappingQuota(10, 'ENOSPC', two);
  other.check(10);
  assert.throws(() => other.check(11), { reason: 'this context has reached its quota of 10 mappings' });
  second.remove(1);
  first.check(1);
  assert.deepEqual(Account.all(), [{ opener: 'user 1', holds: { mappings: 25165823 } }]);
  first.remove((MAPPINGS * 3) / 4 - 1);
  assert.deepEqual(Account.all(), []);
});

test('pages for tables, logs and IOTLBs are shared in the same way, and are others than mappings', () => {
  const [one, two] = [Account.of('user 1'), Account.of('user 2')];
  const quota = tableQuota(2 ** 20, one);
  quota.add(786_432);
  assert.equal(quota.has(1), false);
  assert.throws(() => quota.check(1), { code: 'ENOMEM', reason: /^what user 1 .* 786432 pages for tables/ });
  assert.ok(tableQuota(1000, two).has(1000));
  assert.ok(mappingQuota(1000, 'ENOMEM', one).has(1000));
  quota.remove(786_432);
});

test('who is nobody has the quota of the context alone', () => {
  const quota = mappingQuota(2 ** 26, 'ENOMEM');
  quota.check(2 ** 26);
  quota.add(2 ** 26);
  assert.deepEqual(Account.all(), []);
});
