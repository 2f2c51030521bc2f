import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Account } from '../linux/account.js';
import { FakeNode } from '../testkit/mounted.js';
import { refused } from '../testkit/refused.js';
import { DeviceTree } from './device-tree.js';
import type { Inode } from './inode.js';
import { keptNames } from './keeper.js';

const node = (path: string) => new FakeNode(path, false, () => 1);
const lookers = [Account.of('user 1'), Account.of('user 2')] as const;
const kept = (account: Account) => account.holds[keptNames.what] ?? 0;

test("an inode is charged to its looker while it is known, not open and not its name's last", () => {
  const step = fc.record({
    what: fc.constantFrom('lookup', 'open', 'close', 'forget', 'update'),
    which: fc.nat(),
    who: fc.constantFrom(0, 1),
  });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const tree = new DeviceTree([node('a'), node('b')], []);
      const known = new Map<Inode, { who: number; opens: number }>();
      let last = new Map<string, Inode>();
      for (const { what, which, who } of steps) {
        const inode = [...known.keys()][which % Math.max(1, known.size)];
        const has = inode === undefined ? undefined : known.get(inode);
        if (what === 'lookup') {
          const name = which % 2 ? 'a' : 'b';
          const found = tree.lookup(tree.root, name, lookers[who]!)!;
          known.set(found, { who, opens: 0 });
          last.set(name, found);
        } else if (what === 'update') {
          tree.update([]);
          tree.update([node('a'), node('b')]);
          last = new Map();
        } else if (inode === undefined || has === undefined) continue;
        else if (what === 'open') {
          has.opens++;
          inode.keeper!.opened();
        } else if (what === 'close' && has.opens > 0) {
          has.opens--;
          inode.keeper!.closed();
        } else if (what === 'forget') {
          if (has.opens > 0) continue;
          tree.forget(inode.id, 1);
          known.delete(inode);
        }
        const isLast = new Set(last.values());
        for (const [n, account] of lookers.entries()) {
          const owed = [...known].filter(
            ([each, { who, opens }]) => who === n && opens === 0 && !isLast.has(each),
          );
          assert.equal(kept(account), owed.length);
        }
      }
      tree.update([]);
      for (const [inode, { opens }] of known) {
        for (let n = 0; n < opens; n++) inode.keeper!.closed();
        tree.forget(inode.id, 1);
      }
      assert.equal(keptNames.used, 0);
    }),
  );
});

test('who keeps as many as he may looks up no more: ENOMEM, and another does', () => {
  const tree = new DeviceTree([node('a')], []);
  const most = Math.floor((keptNames.total * 3) / 4);
  const [greedy, other] = lookers;
  greedy.take(keptNames, most);
  refused(
    () => tree.lookup(tree.root, 'a', greedy),
    'ENOMEM',
    /^what user 1 has opened holds \d+ names of files/,
  );
  assert.ok(tree.lookup(tree.root, 'a', other));
  greedy.give(keptNames, most);
  assert.ok(tree.lookup(tree.root, 'a', greedy));
});
