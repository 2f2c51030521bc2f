/** Descriptors and ids: which files are taken for what, and that ids are of one context. */
import assert from 'node:assert/strict';
import { Ioasid } from '../client/ioasid.js';
import { Iommufd } from '../client/iommufd.js';
import { refused } from '../testkit/refused.js';
import { Bound, PAGES } from './bound.js';
import { Checksum } from './checksum.js';
import { eventually, PAGE, rulesOf } from './rule.js';

const rule = rulesOf('iommufd');

rule('what is bound to must be an open /dev/iommu, and no other kind of descriptor', (transport) => {
  const iommufd = Iommufd.open(transport);
  const ioasid = Ioasid.open(transport);
  const checksum = new Checksum(transport);
  const { device, file } = checksum;
  const strangers = [ioasid.fd, device.fd, file.fd, transport.createEventfd().fd];
  for (const fd of strangers)
    refused(() => device.bind(fd), 'EBADFD', new RegExp(`descriptor ${fd} is .*/dev/iommu`));
  refused(() => device.bind(-1), 'EINVAL', /-1/);
  const duplicate = transport.dup(iommufd.fd);
  transport.close(duplicate);
  for (const fd of [987, duplicate]) refused(() => device.bind(fd), 'EBADF', new RegExp(`${fd}`));
  refused(() => device.attach(1), 'EINVAL', /not bound/);
  refused(() => device.detach(), 'EINVAL', /not bound/);
  device.bind(iommufd);
  for (const each of [iommufd, ioasid, checksum]) each.close();
});

rule(
  'what is mapped must be a file with memory: not a /dev/iommu, a device, an eventfd, a closed descriptor',
  (transport) => {
    const iommufd = Iommufd.open(transport);
    const checksum = new Checksum(transport);
    const ioas = iommufd.ioasAlloc();
    const eventfd = transport.createEventfd();
    for (const fd of [iommufd.fd, checksum.device.fd, eventfd.fd]) {
      refused(() => iommufd.mapFile(ioas, fd, 0, PAGE), 'EINVAL', new RegExp(`fd ${fd}\\b`));
    }
    for (const fd of [-1, 987])
      refused(() => iommufd.mapFile(ioas, fd, 0, PAGE), 'EBADF', new RegExp(`${fd}\\b`));
    assert.equal(iommufd.unmapAll(ioas), 0n);
    for (const each of [iommufd, checksum]) each.close();
  },
);

rule(
  'a /dev/iommu authorizes for nothing and knows no ioctl of /dev/ioasid, and the other way round',
  (transport) => {
    const iommufd = Iommufd.open(transport);
    const ioasid = Ioasid.open(transport);
    const checksum = new Checksum(transport);
    refused(() => checksum.device.authorize(iommufd.fd, 1), 'EINVAL', /is not \/dev\/ioasid: it is /);
    refused(() => new Ioasid(transport, iommufd.fd).alloc(), 'ENOTTY', /no ioctl/);
    refused(() => new Iommufd(transport, ioasid.fd).ioasAlloc(), 'ENOTTY', /no ioctl/);
    refused(() => new Iommufd(transport, checksum.device.fd).ioasAlloc(), 'ENOTTY', /no ioctl/);
    for (const each of [iommufd, ioasid, checksum]) each.close();
  },
);

rule('the native ABI and iommufd exclude each other on one open device file', (transport) => {
  const bound = new Bound(transport);
  const ioasid = Ioasid.open(transport);
  const pasid = ioasid.alloc();
  refused(() => bound.device.authorize(ioasid, pasid), 'EBUSY', /bound to an iommufd/);
  bound.checksum.close();
  let again: Checksum | undefined;
  eventually(() => {
    try {
      again = new Checksum(transport);
      return true;
    } catch {
      return false;
    }
  }, 'the device can be opened again');
  const { device } = again!;
  device.authorize(ioasid, pasid);
  refused(() => device.bind(bound.iommufd), 'EBUSY', /authorized/);
  device.revoke(pasid);
  device.bind(bound.iommufd);
  bound.iommufd.close();
  ioasid.close();
  again!.close();
});

rule('ids are of one context: those of another mean nothing here', (transport) => {
  const bound = new Bound(transport);
  const hwpt = bound.iommufd.hwptAlloc(bound.id, bound.ioas);
  const other = Iommufd.open(transport);
  for (const id of [bound.ioas, bound.id, hwpt])
    refused(() => other.destroy(id), 'ENOENT', new RegExp(`${id}`));
  refused(() => other.unmapAll(bound.ioas), 'ENOENT');
  refused(() => other.mapFile(bound.ioas, bound.checksum.file.fd, 0, PAGE), 'ENOENT');
  refused(() => other.hwptAlloc(bound.id, other.ioasAlloc()), 'ENOENT');
  refused(() => other.hwInfo(bound.id), 'ENOENT');
  // In its own context an id of another kind is as good as none.
  refused(() => bound.iommufd.unmapAll(hwpt), 'ENOENT', /HWPT/);
  refused(() => bound.iommufd.copy(bound.ioas, bound.id, 0, PAGE), 'ENOENT', /device/);
  refused(() => bound.iommufd.hwptAlloc(bound.ioas, bound.ioas), 'ENOENT', /IOAS/);
  refused(() => bound.iommufd.hwptAlloc(bound.id, bound.id), 'EINVAL', new RegExp(`${bound.id}`));
  assert.equal(bound.iommufd.unmapAll(bound.ioas), 2n * PAGES);
  other.close();
  bound.close();
});
