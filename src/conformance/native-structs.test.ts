/**
 * The structs of the native ABI: their sizes, flags and reserved fields, and whatever else a program may put
 * into them.
 */
import assert from 'node:assert/strict';
import { Ioasid } from '../client/ioasid.js';
import type { Transport } from '../client/transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import type { ErrnoName } from '../linux/errno.js';
import { refusal, refused } from '../testkit/refused.js';
import { ioctlNumber, nativeIoctls } from '../uapi/ioasid.js';
import { iowr } from '../uapi/ioctl.js';
import { type Struct, setU32, sized } from '../uapi/struct.js';
import { tryRandomStructs } from './random-structs.js';
import { rulesOf } from './rule.js';

/** A process with a context and a device open, and which of the two an ioctl belongs on. */
function bothFiles(transport: Transport) {
  const ioasid = Ioasid.open(transport);
  const device = VfioDeviceFile.open(transport, 'vfio0');
  return {
    ioasid,
    device,
    fileOf: (name: string) => (/AUTHORIZE|REVOKE/.test(name) ? device.fd : ioasid.fd),
  };
}

const rule = rulesOf('ioasid');

rule(
  'struct sizes: too short EINVAL, longer with zeros accepted, otherwise E2BIG; not as encoded EINVAL',
  (transport) => {
    const { ioasid, device, fileOf } = bothFiles(transport);
    for (const [name, ioctl] of Object.entries(nativeIoctls)) {
      const { size } = ioctl.struct;
      const attempt = (encoded: number, said: number, tail: number) => () => {
        const data = new Uint8Array(encoded);
        setU32(data, 0, said);
        if (tail !== 0) data[encoded - 1] = tail;
        transport.ioctl(fileOf(name), iowr(0x3b, ioctl.nr, encoded), data);
      };
      // EXPLAIN explains the refusal before it, not its own.
      const named = name === 'IOASID_EXPLAIN' ? /./ : new RegExp(name);
      refused(attempt(size - 8, size - 8, 0), 'EINVAL', named);
      refused(attempt(size, size - 1, 0), 'EINVAL', named);
      refused(attempt(size, size + 8, 0), 'EINVAL', named);
      refused(attempt(size + 16, size + 16, 9), 'E2BIG', named);
      if (!/GET_INFO|ALLOC/.test(name)) continue;
      attempt(size + 16, size + 16, 0)();
      attempt(size + 16, size, 9)();
    }
    ioasid.close();
    device.close();
  },
);

rule(
  'unknown flags and reserved fields are EOPNOTSUPP, unknown ioctls ENOTTY, each with a reason',
  (transport) => {
    const { ioasid, device, fileOf } = bothFiles(transport);
    for (const [name, ioctl] of Object.entries(nativeIoctls)) {
      const number = ioctlNumber(name as keyof typeof nativeIoctls);
      const struct: Struct = ioctl.struct;
      const reason = name === 'IOASID_EXPLAIN' ? /./ : /flags 0x80000000/;
      refused(
        () => transport.ioctl(fileOf(name), number, sized(struct, { flags: 0x8000_0000 })),
        'EOPNOTSUPP',
        reason,
      );
      const reserved = Object.entries(struct.at).find(([field]) => field.startsWith('reserved'));
      if (reserved === undefined) continue;
      const data = sized(struct, {});
      setU32(data, reserved[1], 1);
      refused(() => transport.ioctl(fileOf(name), number, data), 'EOPNOTSUPP', /reserved/);
    }
    refused(() => transport.ioctl(ioasid.fd, iowr(0x3b, 0xff, 16), new Uint8Array(16)), 'ENOTTY', /no ioctl/);
    refused(
      () => transport.ioctl(ioasid.fd, ioctlNumber('IOASID_AUTHORIZE'), new Uint8Array(24)),
      'ENOTTY',
      /no ioctl/,
    );
    assert.equal(ioasid.info().pasids, 0);
    ioasid.close();
    device.close();
  },
);

/** The errnos that include/ioasid.h names. */
const documented: readonly ErrnoName[] = [
  ...(['EINVAL', 'E2BIG', 'EOPNOTSUPP', 'ENOENT', 'EBUSY', 'EEXIST', 'ENOSPC', 'EFAULT', 'EBADF'] as const),
  ...(['EPERM', 'EACCES', 'ENOTTY', 'EOVERFLOW'] as const),
];

rule(
  'ioctls of random bytes are done or refused with a documented errno; a refusal changes no counter',
  (transport) => {
    const ioasid = Ioasid.open(transport);
    const device = VfioDeviceFile.open(transport, 'vfio0');
    const values = [0, 1, 2, 3, 4, 16, ioasid.alloc(), 0x1000, ioasid.fd, 0xffff_ffff];
    for (const fd of [ioasid.fd, device.fd]) {
      tryRandomStructs(Object.values(nativeIoctls), values, documented, ({ nr }, data) => {
        const before = ioasid.info();
        const error = refusal(() => transport.ioctl(fd, iowr(0x3b, nr, data.length), data));
        if (error === undefined) return;
        assert.deepEqual(ioasid.info(), before);
        throw error;
      });
    }
    ioasid.close();
    device.close();
  },
);
