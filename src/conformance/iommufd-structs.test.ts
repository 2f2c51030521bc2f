/**
 * The structs of iommufd: their sizes, flags, reserved fields and arrays, and whatever else a program may put
 * into them.
 */
import assert from 'node:assert/strict';
import { Iommufd } from '../client/iommufd.js';
import type { ErrnoName } from '../linux/errno.js';
import { refused } from '../testkit/refused.js';
import {
  HwInfoStruct,
  HwptAllocStruct,
  IoasAllocStruct,
  IovaRangesStruct,
  iommufdIoctls,
  iommufdNumber,
} from '../uapi/iommufd.js';
import { setBig, setU32 } from '../uapi/struct.js';
import {
  AttachStruct,
  BindStruct,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '../uapi/vfio-cdev.js';
import { Bound, LAST } from './bound.js';
import { Checksum } from './checksum.js';
import { tryRandomStructs } from './random-structs.js';
import { PAGE, rulesOf } from './rule.js';

const rule = rulesOf('iommufd');

rule(
  'struct sizes: too short EINVAL, longer with zeros accepted, longer with anything else E2BIG',
  (transport) => {
    const iommufd = Iommufd.open(transport);
    for (const [name, { nr, struct, last }] of Object.entries(iommufdIoctls)) {
      const field = (struct.fields as Record<string, { offset: number; size: number }>)[last]!;
      const least = field.offset + field.size;
      const attempt = (said: number, tail: number) => () => {
        const data = new Uint8Array(struct.size + 16);
        setU32(data, 0, said);
        data[struct.size + 15] = tail;
        transport.ioctl(iommufd.fd, (0x3b << 8) | nr, data);
      };
      for (const size of [0, 4, least - 1])
        refused(attempt(size, 0), 'EINVAL', new RegExp(`${name} says size ${size}`));
      refused(attempt(struct.size + 16, 9), 'E2BIG', /byte 0x9 at offset/);
    }
    const data = new Uint8Array(IoasAllocStruct.size + 16);
    for (const size of [IoasAllocStruct.size, data.length]) {
      setU32(data, 0, size);
      transport.ioctl(iommufd.fd, iommufdNumber('IOMMU_IOAS_ALLOC'), data);
    }
    setU32(data, 0, 0xffff_fff0);
    const allocate = () => transport.ioctl(iommufd.fd, iommufdNumber('IOMMU_IOAS_ALLOC'), data);
    refused(allocate, ['E2BIG', 'EFAULT']);
    iommufd.close();
  },
);

rule(
  'unknown flags and reserved fields are EOPNOTSUPP, unknown ioctls ENOTTY, each with a reason',
  (transport) => {
    const bound = new Bound(transport);
    const { fd } = bound.iommufd;
    const attempt = (name: keyof typeof iommufdIoctls, words: Readonly<Record<number, number>>) => () => {
      const data = new Uint8Array(iommufdIoctls[name].struct.size);
      setU32(data, 0, data.length);
      for (const [at, value] of Object.entries(words)) setU32(data, Number(at), value);
      transport.ioctl(fd, iommufdNumber(name), data);
    };
    refused(attempt('IOMMU_IOAS_ALLOC', { 4: 1 }), 'EOPNOTSUPP', /flags/);
    refused(attempt('IOMMU_IOAS_MAP', { 4: 0x80, 8: bound.ioas }), 'EOPNOTSUPP', /0x80/);
    refused(
      attempt('IOMMU_IOAS_IOVA_RANGES', { 4: bound.ioas, [IovaRangesStruct.at.reserved]: 1 }),
      'EOPNOTSUPP',
      /reserved/,
    );
    refused(
      attempt('IOMMU_HWPT_ALLOC', { 4: 0x4000_0000, 8: bound.id, 12: bound.ioas }),
      'EOPNOTSUPP',
      /0x40000000/,
    );
    refused(
      attempt('IOMMU_HWPT_ALLOC', { 8: bound.id, 12: bound.ioas, [HwptAllocStruct.at.reserved]: 1 }),
      'EOPNOTSUPP',
      /reserved/,
    );
    refused(attempt('IOMMU_GET_HW_INFO', { 4: 0x80, 8: bound.id }), 'EOPNOTSUPP', /flags/);
    for (const cmd of [0x3bff, 0x3b00, 0x3c81])
      refused(() => transport.ioctl(fd, cmd, new Uint8Array(64)), 'ENOTTY', /no ioctl/);
    assert.equal(bound.iommufd.ioasAlloc(), bound.id + 1, 'nothing was allocated');
    bound.close();
  },
);

rule('bind and attach check size, flags and tail of their structs', (transport) => {
  const iommufd = Iommufd.open(transport);
  const checksum = new Checksum(transport);
  const { fd } = checksum.device;
  const words = (length: number, ...values: number[]) => {
    const data = new Uint8Array(length);
    for (const [n, value] of values.entries()) setU32(data, 4 * n, value);
    return data;
  };
  const bind = (data: Uint8Array) => () => transport.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, data);
  refused(bind(words(24, 15, 0, iommufd.fd)), 'EINVAL', /argsz 15/);
  refused(bind(words(24, 24, 2, iommufd.fd)), 'EINVAL', /flags 0x2/);
  const token = transport.allocate(16);
  refused(bind(words(24, 24, 1, iommufd.fd, 0, token.address, token.address / 2 ** 32)), 'EINVAL', /token/);
  refused(bind(words(24, 24, 1, iommufd.fd)), 'EFAULT');
  token.free();
  refused(bind(words(32, 32, 0, iommufd.fd, 0, 0, 0, 0, 1)), 'E2BIG', /byte/);
  bind(words(BindStruct.size, 16, 0, iommufd.fd))();
  const ioas = iommufd.ioasAlloc();
  const attach = (data: Uint8Array) => () => transport.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, data);
  refused(attach(words(16, 11, 0, ioas)), 'EINVAL', /argsz 11/);
  refused(attach(words(16, 16, 2, ioas)), 'EINVAL', /flags 0x2/);
  refused(attach(words(16, 12, 1, ioas)), 'EINVAL', /argsz 12/);
  attach(words(AttachStruct.size, 12, 0, ioas))();
  iommufd.close();
  checksum.close();
});

rule('arrays that are not there, or not as long as they are said to be, are EFAULT', (transport) => {
  const bound = new Bound(transport);
  const { iommufd } = bound;
  const bad = 16n;
  const call =
    (
      name: keyof typeof iommufdIoctls,
      words: Readonly<Record<number, number>>,
      pointerAt: number,
      pointer: bigint,
    ) =>
    () => {
      const data = new Uint8Array(iommufdIoctls[name].struct.size);
      setU32(data, 0, data.length);
      for (const [at, value] of Object.entries(words)) setU32(data, Number(at), value);
      setBig(data, pointerAt, pointer);
      transport.ioctl(iommufd.fd, iommufdNumber(name), data);
    };
  refused(call('IOMMU_IOAS_IOVA_RANGES', { 4: bound.ioas, 8: 1 }, 16, bad), 'EFAULT');
  refused(call('IOMMU_IOAS_ALLOW_IOVAS', { 4: bound.ioas, 8: 1 }, 16, bad), 'EFAULT');
  refused(call('IOMMU_GET_HW_INFO', { 8: bound.id, 12: 64 }, HwInfoStruct.at.data_uptr, bad), 'EFAULT', /./);
  for (const pointer of [LAST, 2n ** 63n])
    refused(call('IOMMU_IOAS_ALLOW_IOVAS', { 4: bound.ioas, 8: 1 }, 16, pointer), 'EFAULT');
  const array = transport.allocate(PAGE);
  for (let n = 0; n < PAGE / 16; n++) {
    setBig(array.bytes, 16 * n, BigInt(n) * 0x1_0000n);
    setBig(array.bytes, 16 * n + 8, BigInt(n) * 0x1_0000n + 0xfffn);
  }
  const words = { 4: bound.ioas, 8: 0xffff_ffff };
  const lie = call('IOMMU_IOAS_ALLOW_IOVAS', words, 16, BigInt(array.address));
  refused(lie, ['EFAULT', 'EINVAL', 'ENOMEM']);
  assert.equal(iommufd.mapFile(bound.ioas, bound.checksum.file.fd, 0, PAGE), 0x1000n, 'no range was allowed');
  array.free();
  bound.close();
});

rule('EMSGSIZE tells how many ranges there are', (transport) => {
  const bound = new Bound(transport);
  bound.device.attach(bound.ioas);
  const data = new Uint8Array(IovaRangesStruct.size);
  setU32(data, 0, data.length);
  setU32(data, IovaRangesStruct.at.ioas_id, bound.ioas);
  refused(
    () => transport.ioctl(bound.iommufd.fd, iommufdNumber('IOMMU_IOAS_IOVA_RANGES'), data),
    'EMSGSIZE',
    /2 ranges/,
  );
  assert.equal(data[IovaRangesStruct.at.num_iovas], 2);
  bound.close();
});

/** The errnos that <linux/iommufd.h> names, and those of what an ioctl is given: descriptors and memory. */
const documented: readonly ErrnoName[] = [
  ...(['EINVAL', 'E2BIG', 'EOPNOTSUPP', 'ENOENT', 'EBUSY', 'EEXIST', 'ENOSPC', 'EFAULT', 'EBADF'] as const),
  ...(['EPERM', 'ENOTTY', 'EOVERFLOW', 'EMSGSIZE', 'EADDRINUSE', 'ENODEV', 'ENOMEM', 'EACCES'] as const),
  'EBADFD',
];

rule(
  'ioctls of random bytes are done or refused with a documented errno, and let the device reach nothing',
  (transport) => {
    const bound = new Bound(transport);
    const { iommufd, ioas, id, checksum } = bound;
    const block = transport.allocate(16 * PAGE);
    const { address } = block;
    const words = [0, 1, 2, 3, 4, 8, 16, 0x1000, 0xffff_ffff, address >>> 0, Math.floor(address / 2 ** 32)];
    const values = [...words, ioas, id, bound.forPasids(), checksum.file.fd];
    tryRandomStructs(Object.values(iommufdIoctls), values, documented, ({ nr }, data) =>
      transport.ioctl(iommufd.fd, (0x3b << 8) | nr, data),
    );
    assert.equal(bound.reaches(), false);
    assert.equal(bound.reaches(1), false);
    bound.close();
    block.free();
  },
);
