/** vIOMMUs, their devices and nested tables: what belongs to what, and what goes when. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { refused } from '../testkit/refused.js';
import { getU32 } from '../uapi/struct.js';
import { PAGE, rulesOf } from './rule.js';
import { APERTURE, DATA, IOTLB, outcome, Scene, TYPE, VIRTUAL_ID, words } from './scene.js';

const rule = rulesOf('vIOMMU');

rule('it is made over a parent of nested tables, and its data comes back', (transport) => {
  const scene = new Scene(transport);
  const { iommufd, device, parent, ioas } = scene;
  const bytes = words(0xbeef, 0, 0, 0, 0, 0);
  const viommu = iommufd.viommuAlloc(device.id, parent, TYPE, bytes);
  assert.equal(getU32(bytes, 4), 0xbeef);
  refused(() => iommufd.destroy(parent), 'EBUSY', /HWPT \d+ is in use by 1 other object/);
  iommufd.destroy(viommu);
  const plain = iommufd.hwptAlloc(device.id, ioas);
  refused(() => iommufd.viommuAlloc(device.id, plain, TYPE), 'EINVAL', /was not allocated as a parent/);
  refused(() => iommufd.viommuAlloc(device.id, ioas, TYPE), 'ENOENT', /object \d+ is of kind IOAS/);
  refused(() => iommufd.viommuAlloc(device.id, parent, 1), 'EOPNOTSUPP', /no vIOMMUs of type 0x1/);
  refused(() => iommufd.viommuAlloc(device.id, parent, TYPE, words(1)), 'EINVAL', /8 to 24 bytes, not 4/);
  scene.close();
});

rule('a device behind an IOMMU that has none cannot have one, nor be in that of another', (transport) => {
  const scene = new Scene(transport);
  const file = VfioDeviceFile.open(transport, 'vfio0');
  const id = file.bind(scene.iommufd);
  const viommu = scene.viommu();
  refused(() => scene.iommufd.viommuAlloc(id, scene.parent, TYPE), 'EOPNOTSUPP', /no vIOMMUs/);
  refused(() => scene.iommufd.vdeviceAlloc(viommu, id, 1), 'EINVAL', /is behind another IOMMU/);
  refused(
    () => scene.iommufd.hwptAlloc(id, viommu, 0, { type: DATA, bytes: words(IOTLB) }),
    'EINVAL',
    /belongs to another IOMMU/,
  );
  refused(() => file.attach(scene.parent), 'EINVAL', /belongs to another IOMMU/);
  file.close();
  scene.close();
});

rule('only its devices are attached to its nested tables', (transport) => {
  const scene = new Scene(transport);
  const viommu = scene.viommu();
  const nested = scene.nested(viommu);
  refused(() => scene.replace(nested), 'ENOENT', /the device is none of vIOMMU/);
  const vdevice = scene.iommufd.vdeviceAlloc(viommu, scene.device.id, VIRTUAL_ID);
  scene.replace(nested);
  refused(() => scene.iommufd.destroy(nested), 'EBUSY', /in use/);
  refused(() => scene.iommufd.destroy(viommu), 'EBUSY', /in use by 2 other objects/);
  scene.replace(scene.ioas);
  for (const id of [nested, vdevice, viommu]) scene.iommufd.destroy(id);
  scene.close();
});

rule('a number means one device, and a device has one number in one vIOMMU', (transport) => {
  const scene = new Scene(transport);
  const { iommufd, device } = scene;
  const [first, second] = [scene.viommu(), scene.viommu()];
  const other = scene.addDevice();
  const vdevice = iommufd.vdeviceAlloc(first, device.id, 0xffff_ffff_ffff_ffffn);
  refused(
    () => iommufd.vdeviceAlloc(first, device.id, 1),
    'EEXIST',
    /is number 0xffffffffffffffff of vIOMMU/,
  );
  refused(() => iommufd.vdeviceAlloc(second, device.id, 1), 'EEXIST', /is number/);
  refused(
    () => iommufd.vdeviceAlloc(first, other.id, 0xffff_ffff_ffff_ffffn),
    'EEXIST',
    /has a device 0xffffffffffffffff already/,
  );
  iommufd.vdeviceAlloc(second, other.id, 0xffff_ffff_ffff_ffffn);
  iommufd.destroy(vdevice);
  iommufd.vdeviceAlloc(second, device.id, 1);
  scene.close();
});

rule('with its device a vDEVICE goes, and its id is given to nothing else', (transport) => {
  const scene = new Scene(transport);
  const { iommufd } = scene;
  const viommu = scene.viommu();
  const vdevice = iommufd.vdeviceAlloc(viommu, scene.device.id, VIRTUAL_ID);
  iommufd.destroy(scene.device.mock);
  refused(() => iommufd.destroy(vdevice), 'ENOENT', /there is no object/);
  iommufd.destroy(viommu);
  const ids = Array.from({ length: 8 }, () => iommufd.ioasAlloc());
  assert.ok(!ids.includes(vdevice), 'what its user destroys late is nothing else');
  assert.ok(ids.includes(viommu));
  scene.close();
});

rule('ids of another context mean nothing', (transport) => {
  const [mine, yours] = [new Scene(transport), new Scene(transport)];
  for (let n = 0; n < 8; n++) yours.iommufd.ioasAlloc();
  const viommu = yours.viommu();
  const { iommufd, device, parent } = mine;
  refused(() => iommufd.vdeviceAlloc(viommu, device.id, 1), 'ENOENT', /there is no object/);
  refused(() => iommufd.hwQueueAlloc(viommu, TYPE, 0, APERTURE, PAGE), 'ENOENT', /there is no object/);
  refused(() => iommufd.viommuAlloc(device.id, viommu, TYPE), 'ENOENT', /there is no object/);
  refused(() => mine.nested(viommu), 'EINVAL', /there is no object/);
  assert.deepEqual(mine.invalidate(viommu, [[1, 0, 0]]), [0, 'ENOENT']);
  refused(() => iommufd.vdeviceAlloc(parent, device.id, 1), 'ENOENT', /of kind HWPT/);
  mine.close();
  yours.close();
});

rule('objects are destroyed in any order that references allow, and nothing is left', (transport) => {
  fc.assert(
    fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 }), (order) => {
      const scene = new Scene(transport);
      const { iommufd, ioas, device, parent } = scene;
      const memory = transport.allocate(PAGE);
      iommufd.map(ioas, memory.address, PAGE, { iova: APERTURE });
      const viommu = scene.viommu();
      const vdevice = iommufd.vdeviceAlloc(viommu, device.id, VIRTUAL_ID);
      const [nested, under] = [scene.nested(viommu), scene.nested(parent)];
      scene.replace(nested);
      const queues = [0, 1].map((index) => iommufd.hwQueueAlloc(viommu, TYPE, index, APERTURE, PAGE));
      const objects = [ioas, parent, viommu, vdevice, nested, under, ...queues];
      // What is busy is tried again when others have gone; the mock device goes first, or nothing would
      // ever let go of the nested table.
      iommufd.destroy(device.mock);
      const left = new Set(order.map((n) => objects[n]!));
      left.delete(vdevice);
      for (let rounds = 0; left.size > 0; rounds++) {
        assert.ok(rounds < objects.length, `${[...left]} are left`);
        for (const id of left) if (outcome(() => iommufd.destroy(id)) === 'ok') left.delete(id);
      }
      memory.free();
      scene.close();
    }),
    { numRuns: 40 },
  );
});

rule('a context that is closed with everything in it leaves nothing', (transport) => {
  const scene = new Scene(transport);
  const file = VfioDeviceFile.open(transport, 'vfio0');
  file.bind(scene.iommufd);
  const viommu = scene.viommu();
  scene.iommufd.vdeviceAlloc(viommu, scene.device.id, VIRTUAL_ID);
  scene.replace(scene.nested(viommu));
  const memory = transport.allocate(PAGE);
  scene.iommufd.map(scene.ioas, memory.address, PAGE, { iova: APERTURE });
  scene.iommufd.hwQueueAlloc(viommu, TYPE, 0, APERTURE, PAGE);
  scene.close();
  file.close();
  const again = VfioDeviceFile.open(transport, 'vfio0');
  again.close();
});
