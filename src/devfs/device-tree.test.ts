import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Account } from '../linux/account.js';
import { FakeNode } from '../testkit/mounted.js';
import { refused } from '../testkit/refused.js';
import { DeviceTree } from './device-tree.js';

const node = (path: string) => new FakeNode(path, false, () => 1);
const looker = Account.of('user 1');
const names = (tree: DeviceTree) => [...tree.root.children!.keys()].sort();

test('parent directories are made from paths', () => {
  const tree = new DeviceTree([node('vfio/devices/vfio0')], [{ path: 'pts', kind: 'dir' }]);
  assert.deepEqual(names(tree), ['pts', 'vfio']);
  const devices = tree.lookup(tree.lookup(tree.root, 'vfio', looker)!, 'devices', looker)!;
  assert.equal(tree.lookup(devices, 'vfio0', looker)!.path, 'vfio/devices/vfio0');
});

test('paths that contradict each other are refused, and the nodes stay as they were', () => {
  const tree = new DeviceTree([node('a'), node('b')], [{ path: 'null', kind: 'file' }]);
  refused(() => tree.update([node('c'), node('null')]), 'EEXIST', /"null" is taken/);
  refused(() => tree.update([node('c'), node('null/x')]), 'ENOTDIR', /"null" is wanted as a directory/);
  refused(() => tree.update([node('c'), node('c')]), 'EEXIST', /"c" is taken/);
  assert.deepEqual(names(tree), ['a', 'b', 'null']);
});

test('the inode of a device node lives until it is forgotten, and its number is not used again', () => {
  const tree = new DeviceTree([node('a')], []);
  const first = tree.lookup(tree.root, 'a', looker)!;
  tree.update([]);
  assert.equal(tree.inode(first.id), first);
  tree.forget(first.id, 1);
  assert.equal(tree.inode(first.id), undefined);
  tree.update([node('a')]);
  assert.ok(tree.lookup(tree.root, 'a', looker)!.id > first.id);
});

test('an inode that stays is not forgotten', () => {
  const tree = new DeviceTree([], [{ path: 'null', kind: 'file' }]);
  const { id } = tree.lookup(tree.root, 'null', looker)!;
  tree.forget(id, 1);
  tree.forget(tree.root.id, 1);
  assert.equal(tree.inode(id)!.path, 'null');
  assert.equal(tree.inode(tree.root.id), tree.root);
});
