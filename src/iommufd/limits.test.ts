/**
 * What one iommufd context may have at most (docs/limits.md), and that another has it still.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finish, finished } from '../file/work.js';
import { MOST_GROUPS, PAGE_RESPONSE_INVALID, PageFaults } from '../ioasid/page-faults.js';
import { Iommu, READ } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { mappingQuota } from '../iommu/quota.js';
import { Account } from '../linux/account.js';
import { FakeHardware } from '../testkit/fake-hardware.js';
import { MOST_PINS } from './access.js';
import type { IommufdContext } from './context.js';
import { PIECE_OF_PINS } from './ioas.js';
import { allObjects } from './objects.js';
import { IommufdSubsystem } from './subsystem.js';

const PAGE = 4096;

test('a context stops at its quota of objects with ENOMEM, buried ids included, and no other does', () => {
  const system = new IommufdSubsystem(new Iommu(), { objects: 3 });
  const [context, other] = [system.open(1), system.open(1)];
  const full = { code: 'ENOMEM', reason: 'this context has reached its quota of 3 objects' };
  const [ioas] = [context.allocIoas(), context.allocIoas(), context.allocFaultQueue()];
  assert.throws(() => context.allocIoas(), full);
  assert.throws(() => context.allocFaultQueue(), full);
  assert.throws(() => context.bind(new FakeHardware()), full);
  assert.throws(() => context.openAccess(ioas.id, false), full);
  other.allocIoas();
  finished(context.destroy(ioas.id));
  finished(context.objects.bury(context.allocFaultQueue()));
  assert.throws(() => context.allocIoas(), full);
  finished(context.close());
  assert.deepEqual([...system.contexts()], [other], 'what was refused holds no reference');
});

test('objects of all contexts are shared by openers, buried ids included, and given back at the end', () => {
  const system = new IommufdSubsystem(new Iommu(), { objects: 2 ** 20 });
  const [one, two] = [Account.of('user 1'), Account.of('user 2')];
  const [context, again, other] = [one, one, two].map((payer) => system.open(1, 0, payer)) as [
    IommufdContext,
    IommufdContext,
    IommufdContext,
  ];
  const objects = one.share(allObjects);
  context.allocIoas();
  finished(context.objects.bury(context.allocFaultQueue()));
  assert.deepEqual(one.holds, { objects: 2 });
  objects.add(196_605);
  again.allocIoas();
  const reason = /^what user 1 has opened holds 196608 objects of the server, of at most 196608 that others/;
  assert.throws(() => again.allocIoas(), { code: 'ENOMEM', reason });
  other.allocIoas();
  objects.remove(196_605);
  for (const each of [context, again, other]) finished(each.close());
  assert.deepEqual(Account.all(), []);
});

test('a COPY for which others leave too few mappings is ENOMEM, midway too, and changes nothing', () => {
  const system = new IommufdSubsystem(new Iommu());
  const one = Account.of('user 1');
  const [context, hog] = [system.open(1, 0, one), mappingQuota(2 ** 25, 'ENOMEM', one)];
  const { id } = context.allocIoas();
  const memory = new BufferMemory(new Uint8Array(PAGE));
  for (let n = 0; n < 1000; n++) context.ioas(id).space.map(BigInt(n * PAGE), BigInt(PAGE), memory, 0n, READ);
  const request = { length: BigInt(1000 * PAGE), access: READ, iova: BigInt(2 ** 30) };
  const work = context.copy(id, id, request, 0n);
  while (context.ioas(id).space.table.count < 1100) assert.ok(!work.next().done);
  hog.add((2 ** 25 * 3) / 4 - 1500);
  assert.throws(() => finish(work), {
    code: 'ENOMEM',
    reason: /^what user 1 has opened holds 25165824 mappings/,
  });
  assert.equal(context.ioas(id).space.table.count, 1000);
  hog.remove((2 ** 25 * 3) / 4 - 1500);
  finish(context.copy(id, id, request, 0n));
  finished(context.close());
  assert.deepEqual(Account.all(), []);
});

test('a queue of page faults holds so many groups; what comes then is INVALID, until there is room', () => {
  const queue = new PageFaults();
  const hardware = new FakeHardware();
  const ask = (group: number) => {
    const request = { pasid: undefined, group, last: true, access: 1, address: 0n };
    queue.deliver({ source: hardware, id: 1, attachment: 0, requests: [request] });
  };
  for (let group = 0; group < MOST_GROUPS; group++) ask(group);
  queue.take();
  assert.deepEqual(hardware.responses, []);
  ask(MOST_GROUPS);
  assert.deepEqual(hardware.responses, [
    { pasid: undefined, group: MOST_GROUPS, code: PAGE_RESPONSE_INVALID },
  ]);
  queue.respond(1, 0);
  ask(MOST_GROUPS + 1);
  assert.equal(hardware.responses.length, 2, 'no answer but the one to group 0');
});

test('an access has so many pins, then ENOMEM, and what is unpinned can be pinned again', () => {
  const context = new IommufdSubsystem(new Iommu()).open(1);
  const ioas = context.allocIoas();
  const memory = new BufferMemory(new Uint8Array(4096));
  finished(ioas.map({ length: 4096n, access: READ, iova: 0n }, 0n, { memory, offset: 0 }));
  const access = context.openAccess(ioas.id, true);
  for (let n = 0; n < MOST_PINS; n++) access.pin(0n, 4096n);
  assert.throws(() => access.pin(0n, 4096n), {
    code: 'ENOMEM',
    reason: `the access has ${MOST_PINS} pins already`,
  });
  context.openAccess(ioas.id, true).pin(0n, 4096n);
  access.unpin(0);
  access.pin(0n, 4096n);
});

test('others are served while an unmap, or the end of an access, goes through its pins and accesses', () => {
  const context = new IommufdSubsystem(new Iommu()).open(1);
  const ioas = context.allocIoas();
  const memory = new BufferMemory(new Uint8Array(4096));
  finished(ioas.map({ length: 4096n, access: READ, iova: 0n }, 0n, { memory, offset: 0 }));
  const access = context.openAccess(ioas.id, true);
  for (let n = 0; n < 3 * PIECE_OF_PINS; n++) access.pin(0n, 4096n);
  for (let n = 0; n < 3 * PIECE_OF_PINS; n++) context.openAccess(ioas.id, true);
  assert.throws(() => finish(ioas.split(0x7ffn)), { code: 'EINVAL', reason: /while it is pinned$/ });
  const work = ioas.unmap(0n, 4096n);
  let slices = 0;
  while (work.next().done !== true) slices++;
  assert.ok(slices >= 9, `${slices} times: accesses twice, pins once`);
  assert.throws(() => access.unpin(0), { code: 'ENOENT' });
});
