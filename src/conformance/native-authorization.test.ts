/**
 * AUTHORIZE and REVOKE: by both FDs, for a PASID of the context that is presented, and not an access longer
 * than that.
 */
import assert from 'node:assert/strict';
import { Ioasid } from '../client/ioasid.js';
import { refused } from '../testkit/refused.js';
import { CHECKSUM_OF_ONES, Checksum, DATA_IOVA, DONE, FAULT } from './checksum.js';
import { withChecksum } from './native.js';
import { PAGE, rulesOf } from './rule.js';

const rule = rulesOf('ioasid');

rule(
  'before authorization every DMA faults; after it the device reaches what is mapped, and only that',
  (transport) => {
    const { checksum, ioasid, pasid } = withChecksum(transport);
    checksum.map(ioasid, pasid);
    assert.equal(checksum.run(pasid), undefined);
    checksum.device.authorize(ioasid, pasid);
    assert.deepEqual(checksum.run(pasid), { status: DONE, checksum: CHECKSUM_OF_ONES, faultIova: 0 });
    assert.deepEqual(checksum.run(pasid, DATA_IOVA + PAGE), {
      status: FAULT,
      checksum: 0,
      faultIova: DATA_IOVA + PAGE,
    });
    assert.equal(checksum.run(pasid + 1), undefined);
    ioasid.close();
    checksum.close();
  },
);

rule('a PASID of another context is worth nothing without its FD', (transport) => {
  const checksum = new Checksum(transport);
  const [mine, other] = [Ioasid.open(transport), Ioasid.open(transport)];
  const pasid = other.alloc();
  refused(
    () => checksum.device.authorize(mine, pasid),
    'ENOENT',
    new RegExp(`PASID ${pasid} is not in this context`),
  );
  refused(() => mine.unmapAll(pasid), 'ENOENT', /not in this context/);
  refused(() => mine.free(pasid), 'ENOENT', /not in this context/);
  checksum.device.authorize(other, pasid);
  for (const file of [mine, other, checksum]) file.close();
});

rule('what is presented must be an open /dev/ioasid, and no other kind of descriptor', (transport) => {
  const { checksum, ioasid, pasid } = withChecksum(transport);
  const { device, file } = checksum;
  refused(() => device.authorize(device.fd, pasid), 'EINVAL', /is not \/dev\/ioasid: it is /);
  refused(
    () => device.authorize(file.fd, pasid),
    'EINVAL',
    /^fd \d+ is not an open device file of this system$/,
  );
  refused(
    () => device.authorize(transport.createEventfd().fd, pasid),
    'EINVAL',
    /^fd \d+ is not an open device file of this system$/,
  );
  refused(() => device.authorize(-1, pasid), 'EBADF', /-1/);
  refused(() => device.authorize(987, pasid), 'EBADF', /987/);
  const duplicate = transport.dup(ioasid.fd);
  transport.close(duplicate);
  refused(() => device.authorize(duplicate, pasid), 'EBADF', new RegExp(`${duplicate} `));
  ioasid.close();
  checksum.close();
});

rule('freeing a PASID that a device is authorized for is EBUSY until it is revoked', (transport) => {
  const { checksum, ioasid, pasid } = withChecksum(transport);
  checksum.device.authorize(ioasid, pasid);
  refused(() => ioasid.free(pasid), 'EBUSY', new RegExp(`PASID ${pasid} is authorized`));
  refused(() => checksum.device.authorize(ioasid, pasid), 'EEXIST', /already/);
  checksum.device.revoke(pasid);
  refused(() => checksum.device.revoke(pasid), 'ENOENT', /not authorized/);
  ioasid.free(pasid);
  ioasid.close();
  checksum.close();
});

rule('after revoke the next DMA faults', (transport) => {
  const { checksum, ioasid, pasid } = withChecksum(transport);
  checksum.map(ioasid, pasid);
  checksum.device.authorize(ioasid, pasid);
  assert.equal(checksum.run(pasid)?.status, DONE);
  checksum.device.revoke(pasid);
  assert.equal(checksum.run(pasid), undefined);
  ioasid.close();
  checksum.close();
});
