/** Hardware queues, which hold the memory that they lie in, and queues of events. */
import assert from 'node:assert/strict';
import { VeventQueue } from '../client/vevent-queue.js';
import type { ErrnoName } from '../linux/errno.js';
import { refused } from '../testkit/refused.js';
import { PAGE, rulesOf } from './rule.js';
import { APERTURE, Scene, TYPE, VIRTUAL_ID, words } from './scene.js';

const rule = rulesOf('vIOMMU');

rule('a queue holds its memory: no unmapping takes it away, and queues go in their order', (transport) => {
  const scene = new Scene(transport);
  const { iommufd, ioas } = scene;
  const viommu = scene.viommu();
  const memory = transport.allocate(3 * PAGE);
  const queue = (index: number, iova: number, length = PAGE) =>
    iommufd.hwQueueAlloc(viommu, TYPE, index, iova, length);
  refused(() => queue(0, APERTURE), 'ENOENT', /is not mapped/);
  for (let n = 0; n < 3; n++)
    iommufd.map(ioas, memory.address + n * PAGE, PAGE, { iova: APERTURE + n * PAGE });
  refused(() => queue(1, APERTURE), 'EIO', /queue 0 leaves it/);
  refused(() => queue(2, APERTURE), 'EINVAL', /has 2 queues/);
  const first = queue(0, APERTURE + PAGE);
  refused(() => queue(0, APERTURE + PAGE), 'EEXIST', /there already/);
  refused(() => iommufd.unmap(ioas, APERTURE + PAGE, PAGE), 'EBUSY', /in use by a hardware queue/);
  refused(() => iommufd.unmapAll(ioas), 'EBUSY', /in use by a hardware queue/);
  refused(() => iommufd.unmap(ioas, APERTURE, PAGE), 'ENOENT', /nothing is mapped/);
  const second = queue(1, APERTURE + PAGE + PAGE / 2, PAGE + PAGE / 2);
  refused(() => iommufd.unmap(ioas, APERTURE + 2 * PAGE, PAGE), 'EBUSY', /in use by a hardware queue/);
  refused(() => iommufd.destroy(first), 'EBUSY', /in use/);
  refused(() => iommufd.destroy(viommu), 'EBUSY', /in use by 2 other objects/);
  iommufd.destroy(second);
  iommufd.destroy(first);
  assert.equal(iommufd.unmapAll(ioas), BigInt(2 * PAGE));
  iommufd.destroy(viommu);
  scene.close();
});

rule(
  'a queue must be a range, of a known type, and in one stretch of memory; one that is refused holds nothing',
  (transport) => {
    const scene = new Scene(transport);
    const { iommufd, ioas } = scene;
    const viommu = scene.viommu();
    const memory = transport.allocate(2 * PAGE);
    for (const n of [0, 1])
      iommufd.map(ioas, memory.address + (1 - n) * PAGE, PAGE, { iova: APERTURE + n * PAGE });
    const cases: [number, bigint, bigint, ErrnoName, RegExp][] = [
      [0, 0n, 4096n, 'EOPNOTSUPP', /none is given/],
      [1, 0n, 4096n, 'EOPNOTSUPP', /no queues of type 0x1/],
      [TYPE, 0n, 0n, 'EINVAL', /the length is zero/],
      [TYPE, 0xffff_ffff_ffff_ffffn, 4096n, 'EOVERFLOW', /wraps around/],
      [TYPE, 0n, 0xffff_ffff_ffff_ffffn, 'ERANGE', /no whole pages/],
      [TYPE, 0n, 1n << 60n, 'ENOMEM', /too long/],
      [TYPE, BigInt(APERTURE), 8192n, 'EFAULT', /does not follow/],
    ];
    for (const [type, iova, length, code, reason] of cases)
      refused(() => iommufd.hwQueueAlloc(viommu, type, 0, iova, length), code, reason);
    assert.equal(iommufd.unmapAll(ioas), 8192n);
    iommufd.destroy(viommu);
    scene.close();
  },
);

rule(
  'events name the device by its number in the machine, and those beyond the depth are told as lost',
  (transport) => {
    const scene = new Scene(transport);
    const viommu = scene.viommu();
    scene.iommufd.vdeviceAlloc(viommu, scene.device.id, VIRTUAL_ID);
    const queue = scene.events(viommu, 2);
    refused(() => scene.trigger(1), 'ENOENT', /goes through no vIOMMU/);
    scene.replace(scene.nested(viommu));
    const event = (sequence: number) => ({ sequence, data: words(VIRTUAL_ID) });
    assert.equal(queue.wait(0), false);
    scene.trigger(1);
    assert.equal(queue.wait(1000), true);
    assert.deepEqual(queue.read(), [event(0)]);
    assert.equal(queue.wait(0), false);
    scene.trigger(4);
    assert.deepEqual(queue.read(1), [event(1)]);
    assert.deepEqual(queue.read(), [event(2), { sequence: 4, data: undefined }]);
    scene.trigger(1);
    assert.deepEqual(queue.read(), [event(5)]);
    assert.deepEqual(queue.read(), []);
    queue.close();
    scene.close();
  },
);

rule(
  'a vIOMMU has one queue for events of a type, which stays for as long as its file is open',
  (transport) => {
    const scene = new Scene(transport);
    const viommu = scene.viommu();
    refused(() => scene.events(viommu, 0), 'EINVAL', /0 events/);
    refused(() => scene.events(scene.parent, 2), 'ENOENT', /HWPT/);
    refused(() => VeventQueue.alloc(scene.iommufd, viommu, 0, 2, 4), 'EOPNOTSUPP', /none is given/);
    scene.iommufd.vdeviceAlloc(viommu, scene.device.id, VIRTUAL_ID);
    scene.replace(scene.nested(viommu));
    refused(() => scene.trigger(1), 'EOPNOTSUPP', /no queue/);
    const queue = scene.events(viommu, 2);
    refused(() => scene.events(viommu, 2), 'EEXIST', /already/);
    refused(() => transport.write(queue.fd, words(0)), 'EINVAL', /no writes/);
    refused(() => scene.iommufd.destroy(queue.id), 'EBUSY', /vEVENT queue/);
    refused(() => scene.iommufd.destroy(viommu), 'EBUSY', /vIOMMU/);
    scene.trigger(1);
    refused(() => transport.read(queue.fd, new Uint8Array(8)), 'EINVAL', /no room/);
    queue.close();
    scene.iommufd.destroy(queue.id);
    scene.events(viommu, 2).close();
    scene.close();
  },
);
