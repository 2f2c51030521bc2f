/** What accesses come to that a helper process makes: how long they have kept the server, too. */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { canHaveHelpers, endHelpedPiece } from '../linux/patient-helper.js';
import { RemoteReach } from '../linux/remote-reach.js';
import { account, Child } from '../testkit/child.js';
import { helpersOf } from '../testkit/helper-processes.js';
import { Iommu, READ } from './iommu.js';
import { BufferMemory } from './memory.js';
import { PAGE_SIZE } from './page-table.js';
import { pasidOf } from './pasid.js';

/** The effort of a step of a device (devices/effort.ts). */
const STEP = 1024;

test('memory that has let a helper wait is effort as of a whole step, whether it has come or not', {
  skip: canHaveHelpers() ? false : 'no helper process here',
}, async (t) => {
  const child = new Child();
  t.after(() => child.kill());
  const address = await child.map(PAGE_SIZE);
  const files = [openSync(`/proc/${child.pid}/mem`, 'r+'), openSync(`/proc/${child.pid}/maps`, 'r')] as const;
  const reach = new RemoteReach(account, ...files, 'it');
  const memory = Object.assign(new BufferMemory(new Uint8Array(PAGE_SIZE), 'it'), {
    read: (offset: number, target: Uint8Array, at: number, length: number) =>
      reach.read(address + offset, target, at, length),
  });
  Object.defineProperty(memory, 'shortfall', { get: () => reach.shortfall });

  const iommu = new Iommu();
  const requester = iommu.requester('0000:6a:01.0');
  const table = iommu.pageTable();
  table.map(0n, BigInt(PAGE_SIZE), iommu.memories.acquire(memory), 0n, READ);
  requester.grant(pasidOf(1), table);
  const read = () => requester.read(pasidOf(1), 0, new Uint8Array(8), 0, 8);
  const effortOf = (act: () => void) => {
    const before = requester.effort;
    act();
    return requester.effort - before;
  };
  // A helper that gets no processor keeps us as well: not each time.
  const efforts = Array.from({ length: 100 }, () => effortOf(() => assert.equal(read(), undefined)));
  assert.ok(Math.min(...efforts) < STEP, `${efforts}`);
  endHelpedPiece();
  for (const helper of helpersOf(process.pid)) process.kill(helper, 'SIGSTOP');
  const stopped = effortOf(() => {
    assert.match(read()!.reason, /the memory of it at 0x\w+ has not come within 100 ms/);
  });
  assert.ok(stopped >= STEP, `${stopped}`);

  reach.close();
  for (const file of files) closeSync(file);
});
