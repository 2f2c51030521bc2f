/** What a bound device reaches: what is mapped in the IOAS that it is attached to. */
import assert from 'node:assert/strict';
import { Iommufd } from '../client/iommufd.js';
import { refused } from '../testkit/refused.js';
import { Bound, HWPT_PASID, NO_PASID, PAGES } from './bound.js';
import { CHECKSUM_OF_ONES, DATA_IOVA, DONE, FAULT, JOB_IOVA } from './checksum.js';
import { Edu } from './edu.js';
import { PAGE, rulesOf } from './rule.js';

const rule = rulesOf('iommufd');

rule(
  'a bound device reaches nothing, an attached one what is mapped, and a detached one nothing again',
  (transport) => {
    const bound = new Bound(transport);
    assert.equal(bound.reaches(), false);
    const hwpt = bound.device.attach(bound.ioas);
    assert.notEqual(hwpt, bound.ioas);
    assert.deepEqual(bound.checksum.run(NO_PASID), {
      status: DONE,
      checksum: CHECKSUM_OF_ONES,
      faultIova: 0,
    });
    assert.deepEqual(bound.checksum.run(NO_PASID, DATA_IOVA + PAGE), {
      status: FAULT,
      checksum: 0,
      faultIova: DATA_IOVA + PAGE,
    });
    assert.equal(
      bound.reaches(1),
      false,
      'a request with a PASID does not go by the attachment of those without',
    );
    bound.device.detach();
    assert.equal(bound.reaches(), false);
    bound.device.detach();
    bound.close();
  },
);

rule(
  'what is unmapped is out of reach of the very next DMA, and rights are those of the mapping',
  (transport) => {
    const bound = new Bound(transport);
    bound.device.attach(bound.ioas);
    assert.ok(bound.reaches());
    assert.equal(bound.iommufd.unmap(bound.ioas, DATA_IOVA, PAGE), PAGES);
    assert.equal(bound.checksum.run(NO_PASID)?.status, FAULT);
    bound.iommufd.mapFile(bound.ioas, bound.checksum.file.fd, PAGE, PAGE, { iova: DATA_IOVA, access: 'w' });
    assert.equal(bound.checksum.run(NO_PASID)?.status, FAULT);
    assert.equal(bound.iommufd.unmapAll(bound.ioas), 2n * PAGES);
    assert.equal(bound.checksum.run(NO_PASID), undefined);
    bound.close();
  },
);

rule(
  'memory of the process is reached where it was mapped, and a copy in another IOAS reaches the same bytes',
  (transport) => {
    const bound = new Bound(transport);
    const second = bound.iommufd.ioasAlloc();
    const block = transport.allocate(2 * PAGE);
    block.bytes.fill(1);
    const iova = bound.iommufd.map(bound.ioas, block.address, 2 * PAGE, { access: 'r' });
    bound.device.attach(bound.ioas);
    assert.equal(bound.checksum.run(NO_PASID, Number(iova) + PAGE - 8)?.checksum, CHECKSUM_OF_ONES);
    bound.iommufd.mapFile(second, bound.checksum.file.fd, 0, PAGE, { iova: JOB_IOVA });
    const copied = bound.iommufd.copy(second, bound.ioas, iova + PAGES, PAGE, { access: 'r' });
    bound.device.attach(second);
    assert.equal(bound.checksum.run(NO_PASID, Number(copied))?.checksum, CHECKSUM_OF_ONES);
    bound.iommufd.unmap(bound.ioas, iova, 2 * PAGE);
    block.bytes.fill(2, PAGE);
    const changed = bound.checksum.run(NO_PASID, Number(copied));
    assert.equal(changed?.status, DONE, 'the copy stays when the original goes');
    assert.notEqual(changed.checksum, CHECKSUM_OF_ONES);
    bound.close();
    block.free();
  },
);

rule(
  'a device whose requests carry no PASID does DMA through its attachment, and has no other',
  (transport) => {
    const edu = new Edu(transport);
    const iommufd = Iommufd.open(transport);
    const ioas = iommufd.ioasAlloc();
    const file = transport.createMemfd(PAGE);
    file.write(0, new TextEncoder().encode('edu reads this'));
    iommufd.mapFile(ioas, file.fd, 0, PAGE, { iova: 0x8000 });
    const roundTrip = () => {
      edu.load(0x8000, 14);
      edu.store(0x8100, 14);
      return new TextDecoder().decode(file.read(0x100, 14));
    };
    const id = edu.device.bind(iommufd);
    assert.equal(roundTrip(), '\0'.repeat(14));
    edu.device.attach(ioas);
    assert.equal(roundTrip(), 'edu reads this');
    assert.equal(iommufd.hwInfo(id).maxPasidLog2, 0);
    const attach = () => edu.device.attach(iommufd.hwptAlloc(id, ioas, HWPT_PASID), 3);
    refused(attach, ['EINVAL', 'EOPNOTSUPP']);
    iommufd.close();
    edu.close();
    transport.close(file.fd);
  },
);
