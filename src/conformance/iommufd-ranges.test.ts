/** IOVAs: which are chosen, which a device leaves, which ranges are refused. */
import assert from 'node:assert/strict';
import { Iommufd } from '../client/iommufd.js';
import { refused } from '../testkit/refused.js';
import { Bound, LAST, PAGES } from './bound.js';
import { PAGE, rulesOf } from './rule.js';

const rule = rulesOf('iommufd');

rule(
  'IOVAs are chosen by the first fit, aligned to what length and memory allow, and never 0',
  (transport) => {
    const iommufd = Iommufd.open(transport);
    const ioas = iommufd.ioasAlloc();
    const file = transport.createMemfd(64 * PAGE);
    const map = (start: number, pages: number) =>
      Number(iommufd.mapFile(ioas, file.fd, start, pages * PAGE)) / PAGE;
    assert.equal(map(0, 1), 1);
    assert.equal(map(0, 2), 2);
    assert.equal(map(PAGE, 2), 4, 'the memory is aligned to one page, so the IOVA need not be to more');
    assert.equal(map(0, 3), 8, 'three pages are aligned as four');
    assert.equal(map(0, 1), 6, 'the first hole that fits');
    iommufd.unmap(ioas, 2 * PAGE, 2 * PAGE);
    assert.equal(map(PAGE, 2), 2);
    assert.equal(
      Number(iommufd.mapFile(ioas, file.fd, 0x123, 0x10)) % PAGE,
      0x123,
      'the offset inside the page is kept',
    );
    iommufd.allow(ioas, [{ start: 0x40_0000, last: 0x40_3fff }]);
    assert.equal(map(0, 2), 0x400);
    assert.equal(map(0, 2), 0x402);
    refused(() => map(0, 1), 'ENOSPC', /no free iova/);
    iommufd.allow(ioas, []);
    assert.equal(map(0, 1), 11, 'page 7 is taken in part');
    assert.equal(iommufd.mapFile(ioas, file.fd, 0, PAGE, { iova: 0 }), 0n, 'who asks for 0 gets it');
    iommufd.close();
    transport.close(file.fd);
  },
);

rule(
  'ranges are all IOVAs; of an attached device its IOMMU can translate fewer, and interrupt messages never',
  (transport) => {
    const bound = new Bound(transport);
    assert.deepEqual(bound.iommufd.ranges(bound.ioas), {
      ranges: [{ start: 0n, last: LAST }],
      alignment: 1n,
    });
    bound.device.attach(bound.ioas);
    const { ranges, alignment } = bound.iommufd.ranges(bound.ioas);
    assert.deepEqual(ranges, [
      { start: 0n, last: 0xfedf_ffffn },
      { start: 0xfef0_0000n, last: 0xffff_ffff_ffffn },
    ]);
    assert.equal(alignment, PAGES);
    const { fd } = bound.checksum.file;
    refused(
      () => bound.iommufd.mapFile(bound.ioas, fd, 0, PAGE, { iova: 0xfee0_1000 }),
      'EINVAL',
      /reserved/,
    );
    refused(() => bound.iommufd.mapFile(bound.ioas, fd, 0, PAGE, { iova: 2n ** 48n }), 'EINVAL', /reserved/);
    refused(() => bound.iommufd.mapFile(bound.ioas, fd, 0x10, PAGE - 0x10), 'EINVAL', /aligned/);
    refused(
      () => bound.iommufd.allow(bound.ioas, [{ start: 0xfee0_0000, last: 0xfee0_0fff }]),
      'EADDRINUSE',
      /reserved/,
    );
    bound.device.detach();
    assert.deepEqual(bound.iommufd.ranges(bound.ioas).ranges, [{ start: 0n, last: LAST }]);
    bound.close();
  },
);

rule('ranges that were allowed are kept free of devices that cannot reach them', (transport) => {
  const bound = new Bound(transport);
  bound.iommufd.allow(bound.ioas, [{ start: 0xfee0_0000, last: 0xfee0_ffff }]);
  refused(() => bound.device.attach(bound.ioas), 'EADDRINUSE', /0xfee00000/);
  bound.iommufd.allow(bound.ioas, [{ start: 0x1000_0000, last: 0x1000_ffff }]);
  bound.device.attach(bound.ioas);
  assert.ok(bound.reaches(), 'fixed IOVAs outside stay');
  bound.close();
});

rule('bad ranges are refused, and nothing is mapped', (transport) => {
  const iommufd = Iommufd.open(transport);
  const ioas = iommufd.ioasAlloc();
  const block = transport.allocate(4 * PAGE);
  const { address } = block;
  refused(() => iommufd.map(ioas, address, 0), 'EINVAL', /length is zero/);
  refused(() => iommufd.map(ioas, address, LAST), 'EOVERFLOW');
  refused(() => iommufd.map(ioas, address, PAGE, { iova: LAST }), 'EOVERFLOW');
  refused(() => iommufd.map(ioas, LAST - 10n, PAGE), 'EOVERFLOW');
  refused(() => iommufd.map(ioas, address, PAGE, { iova: LAST - 10n }), 'EOVERFLOW');
  refused(() => iommufd.unmap(ioas, 0x1000, 0), 'EINVAL', /length is zero/);
  refused(() => iommufd.unmap(ioas, 0x1000, LAST), 'EOVERFLOW');
  refused(() => iommufd.unmap(ioas, LAST - 10n, PAGE), 'EOVERFLOW');
  refused(() => iommufd.unmap(ioas, 0x1000, PAGE), 'ENOENT', /nothing is mapped/);
  refused(() => iommufd.copy(ioas, ioas, 0x1000, PAGE), 'ENOENT', /not mapped/);
  refused(() => iommufd.copy(ioas, ioas, 0x1000, 0), 'EINVAL', /length is zero/);
  refused(() => iommufd.mapFile(ioas, -1, 0, PAGE), 'EBADF', /-1/);
  assert.equal(iommufd.unmapAll(ioas), 0n);
  iommufd.map(ioas, address, 2 * PAGE, { iova: 0x1000 });
  refused(
    () => iommufd.map(ioas, address, 2 * PAGE, { iova: 0x2000 }),
    'EEXIST',
    /overlaps the mapping at 0x1000/,
  );
  refused(() => iommufd.unmap(ioas, 0x1000, PAGE), 'ENOENT', /split/);
  refused(() => iommufd.copy(ioas, ioas, 0x2000, 2 * PAGE), 'ENOENT', /0x3000/);
  assert.equal(
    iommufd.unmap(ioas, 0, 0x10_0000),
    2n * PAGES,
    'a range may be larger than what is mapped in it',
  );
  iommufd.close();
  block.free();
});

rule(
  'memory that is not there keeps a mapping out once a device is attached: EFAULT, and nothing is changed',
  (transport) => {
    const bound = new Bound(transport);
    bound.device.attach(bound.ioas);
    refused(() => bound.iommufd.map(bound.ioas, PAGE, PAGE), 'EFAULT');
    const { fd } = bound.checksum.file;
    refused(() => bound.iommufd.mapFile(bound.ioas, fd, 0, 16 * PAGE), ['EINVAL', 'EFAULT']);
    assert.equal(bound.iommufd.unmapAll(bound.ioas), 2n * PAGES);
    bound.close();
  },
);
