/**
 * The conformance suite of iommufd: its rules, and those of the VFIO device files that are bound to it, as a
 * program sees them through the client.
 *
 * It runs twice, as `native.ts` does: against an in-process machine, and as an unmodified program under
 * `ioasid run` against real files.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Ioasid } from '../client/ioasid.js';
import { Iommufd } from '../client/iommufd.js';
import type { Transport } from '../client/transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import type { Errno } from '../linux/errno.js';
import { refusal, refused } from '../testkit/refused.js';
import {
  HwInfoStruct,
  HwptAllocStruct,
  IoasAllocStruct,
  IovaRangesStruct,
  iommufdIoctls,
  iommufdNumber,
  OPTION_HUGE_PAGES,
  OPTION_RLIMIT_MODE,
} from '../uapi/iommufd.js';
import { setBig, setU32 } from '../uapi/struct.js';
import {
  AttachStruct,
  BindStruct,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '../uapi/vfio-cdev.js';
import { dirtyRules } from './dirty.js';
import {
  CHECKSUM_OF_ONES,
  Checksum,
  DATA_IOVA,
  DONE,
  Edu,
  eventually,
  FAULT,
  JOB_IOVA,
  PAGE,
} from './fixture.js';
import { mdevRules } from './mdev.js';

/** The PASID of requests that carry none, as the checksum device's register has it. */
const NO_PASID = 0;
/** IOMMU_HWPT_ALLOC_PASID. */
const HWPT_PASID = 8;
const LAST = 0xffff_ffff_ffff_ffffn;
const PAGES = BigInt(PAGE);

/**
 * A context with one IOAS in which the checksum device finds its job and data, and the device bound to it.
 */
class Bound {
  readonly transport: Transport;
  readonly iommufd: Iommufd;
  readonly checksum: Checksum;
  readonly device: VfioDeviceFile;
  readonly ioas: number;
  readonly id: number;

  constructor(transport: Transport) {
    this.transport = transport;
    this.iommufd = Iommufd.open(transport);
    this.checksum = new Checksum(transport);
    this.device = this.checksum.device;
    this.ioas = this.#mapped();
    this.id = this.device.bind(this.iommufd);
  }

  /** Another IOAS with the same in it. */
  second(): number {
    return this.#mapped();
  }

  /** A page table on `ioas` that may be attached to PASIDs. */
  forPasids(ioas = this.ioas): number {
    return this.iommufd.hwptAlloc(this.id, ioas, HWPT_PASID);
  }

  /** Does the device reach its job and data by `pasid`? */
  reaches(pasid = NO_PASID): boolean {
    return this.checksum.run(pasid)?.checksum === CHECKSUM_OF_ONES;
  }

  close(): void {
    this.iommufd.close();
    this.checksum.close();
  }

  #mapped(): number {
    const ioas = this.iommufd.ioasAlloc();
    this.checksum.mapIoas(this.iommufd, ioas);
    return ioas;
  }
}

/** Destroys as soon as what used it has gone: the close of another file is done a moment after it returns. */
function destroyed(iommufd: Iommufd, id: number): void {
  eventually(() => {
    const error = refusal(() => iommufd.destroy(id));
    assert.ok(error === undefined || error.code === 'EBUSY', error?.message);
    return error === undefined;
  }, `object ${id} can be destroyed`);
}

/** Defines the tests. `makeProcess` gives a fresh process on a machine with `conformanceDevices`. */
export function conformanceIommufd(makeProcess: () => Promise<Transport>): void {
  const rule = (name: string, body: (transport: Transport) => void) =>
    test(`iommufd: ${name}`, async () => body(await makeProcess()));

  rule(
    'a bound device reaches nothing; attached to an IOAS it reaches what is mapped, and only that; detached, nothing again',
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

  rule('what others refer to cannot be destroyed: EBUSY, from the bottom up', (transport) => {
    const bound = new Bound(transport);
    const hwpt = bound.iommufd.hwptAlloc(bound.id, bound.ioas);
    refused(() => bound.iommufd.destroy(bound.ioas), 'EBUSY', new RegExp(`IOAS ${bound.ioas} is in use`));
    refused(() => bound.iommufd.destroy(bound.id), 'EBUSY', /bound/);
    bound.device.attach(hwpt);
    refused(() => bound.iommufd.destroy(hwpt), 'EBUSY', new RegExp(`HWPT ${hwpt} is in use`));
    assert.ok(bound.reaches(), 'a refused DESTROY changes nothing');
    bound.device.detach();
    bound.iommufd.destroy(hwpt);
    bound.iommufd.destroy(bound.ioas);
    for (const id of [hwpt, bound.ioas, 0, 4711, 0xffff_ffff])
      refused(() => bound.iommufd.destroy(id), 'ENOENT', new RegExp(`${id}`));
    bound.close();
  });

  rule(
    'an IOAS with mappings can be destroyed while nothing is attached, and its memory is released',
    (transport) => {
      const bound = new Bound(transport);
      bound.iommufd.destroy(bound.ioas);
      refused(() => bound.iommufd.unmapAll(bound.ioas), 'ENOENT', /no object/);
      const again = bound.iommufd.ioasAlloc();
      assert.equal(bound.iommufd.unmapAll(again), 0n);
      bound.close();
    },
  );

  rule('the iommufd may be closed first: the device goes on until its own last close', (transport) => {
    const bound = new Bound(transport);
    bound.device.attach(bound.ioas);
    bound.iommufd.close();
    assert.ok(bound.reaches());
    const second = Iommufd.open(transport);
    const ids = [second.ioasAlloc(), second.ioasAlloc(), second.ioasAlloc(), second.ioasAlloc()];
    refused(() => bound.device.attach(Math.max(...ids)), 'ENOENT', /no object/);
    refused(() => bound.device.bind(second), 'EINVAL', /bound/);
    second.close();
    bound.checksum.close();
  });

  rule('the device may be closed first: it is unbound and detached, and the context stays', (transport) => {
    const bound = new Bound(transport);
    const hwpt = bound.iommufd.hwptAlloc(bound.id, bound.ioas);
    bound.device.attach(hwpt);
    bound.checksum.close();
    destroyed(bound.iommufd, hwpt);
    refused(() => bound.iommufd.hwInfo(bound.id), 'ENOENT');
    const again = new Checksum(transport);
    again.device.bind(bound.iommufd);
    assert.equal(again.run(NO_PASID), undefined, 'the attachment was of the file that is closed');
    again.device.attach(bound.ioas);
    bound.iommufd.close();
    again.close();
  });

  rule('dup shares the context, and closing one of several copies changes nothing', (transport) => {
    const bound = new Bound(transport);
    const copy = new Iommufd(transport, transport.dup(bound.iommufd.fd));
    bound.iommufd.close();
    bound.device.attach(bound.ioas);
    assert.ok(bound.reaches());
    copy.unmap(bound.ioas, DATA_IOVA, PAGE);
    assert.equal(bound.checksum.run(NO_PASID)?.status, FAULT);
    copy.close();
    bound.checksum.close();
  });

  rule(
    'what is bound to must be an open /dev/iommu: not /dev/ioasid, a device, a memfd, an eventfd, a closed descriptor',
    (transport) => {
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
    },
  );

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
    'a /dev/iommu is no /dev/ioasid: it authorizes for nothing and knows none of its ioctls, and the other way round',
    (transport) => {
      const iommufd = Iommufd.open(transport);
      const ioasid = Ioasid.open(transport);
      const checksum = new Checksum(transport);
      refused(() => checksum.device.authorize(iommufd.fd, 1), 'EINVAL', /not of \/dev\/ioasid/);
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
      refused(
        () => bound.iommufd.mapFile(bound.ioas, fd, 0, PAGE, { iova: 2n ** 48n }),
        'EINVAL',
        /reserved/,
      );
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
    refused(bind(words(24, 24, 1, iommufd.fd)), 'EINVAL', /token/);
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
    refused(
      call('IOMMU_GET_HW_INFO', { 8: bound.id, 12: 64 }, HwInfoStruct.at.data_uptr, bad),
      'EFAULT',
      /./,
    );
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
    assert.equal(
      iommufd.mapFile(bound.ioas, bound.checksum.file.fd, 0, PAGE),
      0x1000n,
      'no range was allowed',
    );
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

  rule('options: large pages of an IOAS, the way of counting of a context', (transport) => {
    const iommufd = Iommufd.open(transport);
    assert.equal(iommufd.option(OPTION_RLIMIT_MODE), 0n);
    refused(() => iommufd.setOption(OPTION_RLIMIT_MODE, 0, 2), 'EINVAL', /2/);
    iommufd.setOption(OPTION_RLIMIT_MODE, 0, 1);
    assert.equal(iommufd.option(OPTION_RLIMIT_MODE), 1n);
    const ioas = iommufd.ioasAlloc();
    refused(() => iommufd.setOption(OPTION_RLIMIT_MODE, 0, 0), 'EBUSY', /objects/);
    assert.equal(iommufd.option(OPTION_HUGE_PAGES, ioas), 1n);
    iommufd.setOption(OPTION_HUGE_PAGES, ioas, 0);
    assert.equal(iommufd.ranges(ioas).alignment, PAGES);
    iommufd.setOption(OPTION_HUGE_PAGES, ioas, 1);
    assert.equal(iommufd.ranges(ioas).alignment, 1n);
    refused(() => iommufd.option(OPTION_HUGE_PAGES, 4711), 'ENOENT', /4711/);
    refused(() => iommufd.option(99), 'EOPNOTSUPP', /99/);
    iommufd.close();
  });

  rule('the IOAS of the VFIO container ioctls is named, asked for and cleared', (transport) => {
    const iommufd = Iommufd.open(transport);
    refused(() => iommufd.vfioIoas(), 'ENODEV');
    const ioas = iommufd.ioasAlloc();
    iommufd.setVfioIoas(ioas);
    assert.equal(iommufd.vfioIoas(), ioas);
    iommufd.setVfioIoas(undefined);
    refused(() => iommufd.vfioIoas(), 'ENODEV');
    refused(() => iommufd.setVfioIoas(4711), 'ENOENT', /4711/);
    iommufd.close();
  });

  rule(
    'ioctls of random bytes succeed or are refused with a documented errno and a reason, and the device never reaches what it must not',
    (transport) => {
      const bound = new Bound(transport);
      const documented: (keyof typeof Errno)[] = [
        ...([
          'EINVAL',
          'E2BIG',
          'EOPNOTSUPP',
          'ENOENT',
          'EBUSY',
          'EEXIST',
          'ENOSPC',
          'EFAULT',
          'EBADF',
          'EPERM',
        ] as const),
        ...([
          'ENOTTY',
          'EOVERFLOW',
          'EMSGSIZE',
          'EADDRINUSE',
          'ENODEV',
          'ENOMEM',
          'EACCES',
          'EBADFD',
        ] as const),
      ];
      const hwpt = bound.forPasids();
      const block = transport.allocate(16 * PAGE);
      const values = [
        0,
        1,
        2,
        3,
        4,
        8,
        16,
        bound.ioas,
        bound.id,
        hwpt,
        0x1000,
        bound.checksum.file.fd,
        0xffff_ffff,
      ];
      const pointer = [block.address >>> 0, Math.floor(block.address / 2 ** 32)] as const;
      const word = fc.oneof(fc.constantFrom(...values, ...pointer), fc.nat(0xffff));
      const call = fc.record({
        ioctl: fc.constantFrom(...Object.values(iommufdIoctls)),
        words: fc.array(word, { minLength: 16, maxLength: 16 }),
        honest: fc.boolean(),
      });
      fc.assert(
        fc.property(call, ({ ioctl, words, honest }) => {
          const data = new Uint8Array(ioctl.struct.size);
          for (let n = 0; n < data.length / 4 && n < words.length; n++) setU32(data, n * 4, words[n]!);
          if (honest) setU32(data, 0, data.length);
          const error = refusal(() => transport.ioctl(bound.iommufd.fd, (0x3b << 8) | ioctl.nr, data));
          if (error === undefined) return;
          assert.ok(documented.includes(error.code as keyof typeof Errno), error.message);
          assert.ok(error.reason.length > 10, error.message);
        }),
        { numRuns: 500 },
      );
      assert.equal(bound.reaches(), false);
      assert.equal(bound.reaches(1), false);
      bound.close();
      block.free();
    },
  );

  dirtyRules(rule);
  mdevRules(rule);
}
