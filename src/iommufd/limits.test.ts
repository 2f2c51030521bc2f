/**
 * What one iommufd context may have at most (docs/limits.md), and that another has it still.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finish, finished } from '../file/work.js';
import { MOST_GROUPS, PAGE_RESPONSE_INVALID, PageFaults } from '../ioasid/page-faults.js';
import { Iommu, READ } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { FakeHardware } from '../testkit/fake-hardware.js';
import { MOST_PINS } from './access.js';
import { PIECE_OF_PINS } from './ioas.js';
import { IommufdSubsystem } from './subsystem.js';

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
