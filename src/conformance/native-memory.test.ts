/** What a device reaches is what is mapped, for as long as it is mapped and the memory is there. */
import assert from 'node:assert/strict';
import { Ioasid } from '../client/ioasid.js';
import { refused } from '../testkit/refused.js';
import { CHECKSUM_OF_ONES, Checksum, DATA_IOVA, DONE, FAULT, JOB_IOVA } from './checksum.js';
import { withChecksum } from './native.js';
import { PAGE, rulesOf } from './rule.js';

const rule = rulesOf('ioasid');

rule(
  'unmapped memory is out of reach for the very next DMA, and rights are those of the mapping',
  (transport) => {
    const { checksum, ioasid, pasid } = withChecksum(transport);
    checksum.map(ioasid, pasid);
    checksum.device.authorize(ioasid, pasid);
    assert.equal(checksum.run(pasid)?.status, DONE);
    assert.equal(ioasid.unmap(pasid, DATA_IOVA, PAGE), PAGE);
    assert.equal(checksum.run(pasid)?.status, FAULT);
    ioasid.mapFile(pasid, checksum.file.fd, PAGE, PAGE, { iova: DATA_IOVA, access: 'w' });
    assert.equal(checksum.run(pasid)?.status, FAULT);
    ioasid.close();
    checksum.close();
  },
);

rule(
  'memory of the process is reached where it was mapped, and a copy in another PASID reaches the same bytes',
  (transport) => {
    const checksum = new Checksum(transport);
    const ioasid = Ioasid.open(transport);
    const [pasid, second] = [ioasid.alloc(), ioasid.alloc()];
    const block = transport.allocate(2 * PAGE);
    block.bytes.fill(1);
    checksum.map(ioasid, pasid);
    const iova = ioasid.map(pasid, block.address, 2 * PAGE, { access: 'r' });
    checksum.device.authorize(ioasid, pasid);
    assert.equal(checksum.run(pasid, iova + PAGE - 8)?.checksum, CHECKSUM_OF_ONES);
    ioasid.mapFile(second, checksum.file.fd, 0, PAGE, { iova: JOB_IOVA });
    const copied = ioasid.copy(second, pasid, iova + PAGE, PAGE, { access: 'r' });
    refused(() => ioasid.copy(second, pasid, iova, PAGE, { access: 'rw' }), 'EPERM', /right to write/);
    checksum.device.authorize(ioasid, second);
    assert.equal(checksum.run(second, copied)?.checksum, CHECKSUM_OF_ONES);
    block.bytes.fill(2, PAGE);
    assert.notEqual(checksum.run(second, copied)?.checksum, CHECKSUM_OF_ONES);
    ioasid.close();
    checksum.close();
    block.free();
  },
);

rule('a memfd that is truncated after it was mapped is a fault, never a crash', (transport) => {
  const { checksum, ioasid, pasid } = withChecksum(transport);
  checksum.map(ioasid, pasid);
  checksum.device.authorize(ioasid, pasid);
  checksum.file.truncate(PAGE);
  assert.deepEqual(checksum.run(pasid), { status: FAULT, checksum: 0, faultIova: DATA_IOVA });
  checksum.file.truncate(2 * PAGE);
  assert.equal(checksum.run(pasid)?.status, DONE);
  ioasid.close();
  checksum.close();
});

rule(
  'ranges of zero bytes, unaligned, overlapping, wrapping or too wide are refused, and nothing is mapped',
  (transport) => {
    const ioasid = Ioasid.open(transport);
    const pasid = ioasid.alloc();
    const block = transport.allocate(4 * PAGE);
    const { address } = block;
    refused(() => ioasid.map(pasid, address, 0), 'EINVAL', /length is zero/);
    refused(() => ioasid.map(pasid, address, 100), 'EINVAL', /length 0x64/);
    refused(() => ioasid.map(pasid, address + 1, PAGE), 'EINVAL', /aligned to the 4 KiB page/);
    refused(() => ioasid.map(pasid, address, PAGE, { iova: 0x1800 }), 'EINVAL', /iova 0x1800 is not aligned/);
    refused(() => ioasid.map(pasid, address, PAGE, { iova: 2 ** 48 }), 'EINVAL', /reserved/);
    refused(() => ioasid.map(pasid, address, 2 * PAGE, { iova: 2 ** 48 - PAGE }), 'EINVAL', /reserved/);
    refused(() => ioasid.map(pasid, 0, PAGE), 'EFAULT', /0x0/);
    // No process has that much in one piece; what comes behind the block may be memory without the right to
    // write.
    refused(() => ioasid.map(pasid, address, 2 ** 40), 'EFAULT', /address 0x\w+ .*mapped/);
    refused(() => ioasid.map(pasid, 2 ** 63, PAGE), 'EFAULT', /0x8000000000000000/);
    refused(() => ioasid.unmap(pasid, 0x1000, PAGE), 'ENOENT', /nothing is mapped/);
    refused(() => ioasid.unmap(pasid, 2 ** 63, 2 ** 63 + 4096), 'EOVERFLOW', /wraps around/);
    refused(() => ioasid.map(pasid, address, PAGE, { iova: 2 ** 64 - PAGE }), 'EINVAL', /reserved/);
    assert.equal(ioasid.info().mappings, 0);
    ioasid.map(pasid, address, 2 * PAGE, { iova: 0x1000 });
    refused(
      () => ioasid.map(pasid, address, 2 * PAGE, { iova: 0x2000 }),
      'EEXIST',
      /overlaps the mapping at 0x1000/,
    );
    refused(() => ioasid.unmap(pasid, 0x1000, PAGE), 'ENOENT', /split/);
    assert.equal(ioasid.info().mappings, 1);
    const file = transport.createMemfd(PAGE);
    refused(() => ioasid.mapFile(pasid, file.fd, 0, 2 * PAGE), 'EINVAL', /0x1000 bytes/);
    refused(() => ioasid.mapFile(pasid, -1, 0, PAGE), 'EBADF', /-1/);
    refused(() => ioasid.mapFile(pasid, ioasid.fd, 0, PAGE), 'EINVAL', new RegExp(`\\b${ioasid.fd} is`));
    assert.equal(ioasid.unmapAll(pasid), 2 * PAGE);
    ioasid.close();
    block.free();
  },
);
