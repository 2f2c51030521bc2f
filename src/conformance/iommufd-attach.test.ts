/** Attachments of devices and PASIDs to IOAS and HWPT: who shares one, and what replacing one does. */
import assert from 'node:assert/strict';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { refused } from '../testkit/refused.js';
import { Bound, NO_PASID } from './bound.js';
import { DATA_IOVA, FAULT } from './checksum.js';
import { PAGE, rulesOf } from './rule.js';

const rule = rulesOf('iommufd');

rule(
  'an HWPT is shared by the devices and PASIDs that are attached to it, and follows its IOAS',
  (transport) => {
    const bound = new Bound(transport);
    const hwpt = bound.forPasids();
    assert.equal(bound.device.attach(hwpt), hwpt);
    assert.equal(bound.device.attach(hwpt, 7), hwpt);
    const edu = VfioDeviceFile.open(transport, 'vfio3');
    edu.bind(bound.iommufd);
    assert.equal(edu.attach(hwpt), hwpt);
    assert.ok(bound.reaches() && bound.reaches(7));
    bound.iommufd.unmap(bound.ioas, DATA_IOVA, PAGE);
    assert.equal(bound.checksum.run(NO_PASID)?.status, FAULT);
    assert.equal(bound.checksum.run(7)?.status, FAULT);
    edu.close();
    bound.close();
  },
);

rule(
  'devices that are attached to one IOAS share the HWPT that is made for it; it goes with the last of them',
  (transport) => {
    const bound = new Bound(transport);
    const edu = VfioDeviceFile.open(transport, 'vfio3');
    edu.bind(bound.iommufd);
    const hwpt = bound.device.attach(bound.ioas);
    assert.equal(edu.attach(bound.ioas), hwpt);
    bound.device.detach();
    refused(() => bound.iommufd.destroy(bound.ioas), 'EBUSY', /IOAS/);
    edu.detach();
    refused(() => bound.iommufd.destroy(hwpt), 'ENOENT');
    bound.iommufd.destroy(bound.ioas);
    edu.close();
    bound.close();
  },
);

rule(
  'attach replaces in one step, and a replacement that is refused leaves everything as it was',
  (transport) => {
    const bound = new Bound(transport);
    const second = bound.second();
    const first = bound.device.attach(bound.ioas);
    const other = bound.device.attach(second);
    assert.notEqual(first, other);
    bound.iommufd.destroy(bound.ioas);
    assert.ok(bound.reaches());
    refused(() => bound.device.attach(4711), 'ENOENT', /4711/);
    refused(() => bound.device.attach(bound.id), 'EINVAL', /device/);
    assert.ok(bound.reaches());
    assert.equal(bound.device.attach(second), other, 'the same again is fine');
    const taken = bound.iommufd.ioasAlloc();
    bound.iommufd.mapFile(taken, bound.checksum.file.fd, 0, PAGE, { iova: 0xfee0_0000 });
    refused(() => bound.device.attach(taken), 'EADDRINUSE', /0xfee00000/);
    assert.ok(bound.reaches());
    bound.close();
  },
);

rule('a PASID is attached to an HWPT that was allocated for PASIDs, and to no other', (transport) => {
  const bound = new Bound(transport);
  assert.equal(bound.iommufd.hwInfo(bound.id).maxPasidLog2, 20);
  const plain = bound.iommufd.hwptAlloc(bound.id, bound.ioas);
  refused(() => bound.device.attach(plain, 5), 'EINVAL', /PASID/);
  refused(() => bound.device.attach(bound.ioas, 5), 'EINVAL', /PASID/);
  const hwpt = bound.forPasids();
  bound.device.attach(plain);
  refused(() => bound.device.attach(hwpt, 5), 'EINVAL', /not allocated for PASIDs/);
  bound.device.attach(hwpt);
  bound.device.attach(hwpt, 5);
  refused(() => bound.device.attach(plain), 'EINVAL', /not allocated for PASIDs/);
  refused(() => bound.device.attach(hwpt, 1 << 20), 'EINVAL', /1048576/);
  assert.deepEqual([bound.reaches(), bound.reaches(5), bound.reaches(6)], [true, true, false]);
  bound.device.detach(6);
  bound.device.detach(5);
  assert.deepEqual([bound.reaches(), bound.reaches(5)], [true, false]);
  bound.close();
});

rule('each PASID has its own page table, and replacing one leaves the others alone', (transport) => {
  const bound = new Bound(transport);
  const empty = bound.iommufd.ioasAlloc();
  const [full, none] = [bound.forPasids(), bound.forPasids(empty)];
  bound.device.attach(full, 5);
  bound.device.attach(full, 6);
  assert.equal(bound.device.attach(none, 5), none);
  assert.deepEqual([bound.reaches(5), bound.reaches(6)], [false, true]);
  assert.equal(bound.device.attach(full, 5), full);
  assert.deepEqual([bound.reaches(5), bound.reaches(6)], [true, true]);
  bound.iommufd.destroy(none);
  bound.close();
});
