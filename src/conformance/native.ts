/**
 * The conformance suite: the rules of the model as a program sees them through the client.
 *
 * It runs twice: against an in-process machine, and as an unmodified program under `ioasid run` against real
 * files. What it asks for is the same both times. The machine has the devices of `conformanceDevices`, in
 * that order. (Rules that need several processes are tested with real ones, in src/cli.)
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  COMPLETION_BYTES,
  DSA_OPCODE,
  DSA_STATUS,
  type DsaDescriptor,
  DsaQueue,
  decodeCompletion,
} from '../client/dsa.js';
import { Ioasid } from '../client/ioasid.js';
import type { MemoryFile, Transport } from '../client/transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Errno } from '../linux/errno.js';
import { refusal, refused } from '../testkit/refused.js';
import { ioctlNumber, nativeIoctls } from '../uapi/ioasid.js';
import { iowr } from '../uapi/ioctl.js';
import { type Struct, setU32, setU64, sized } from '../uapi/struct.js';
import { CHECKSUM_OF_ONES, Checksum, DATA_IOVA, DONE, eventually, FAULT, JOB_IOVA, PAGE } from './fixture.js';

/** A work queue of an mdev, and two pages of memory that it can reach at `iova` of a PASID. */
class Queue {
  readonly device: VfioDeviceFile;
  readonly queue: DsaQueue;

  constructor(transport: Transport, name: string) {
    this.device = VfioDeviceFile.open(transport, name);
    this.device.enable();
    this.queue = new DsaQueue(this.device);
  }

  /**
   * Submits a descriptor whose completion record is at `at` of `file`, and waits for it. @returns undefined
   * when none is written.
   */
  run(file: MemoryFile, at: number, descriptor: DsaDescriptor) {
    file.write(at, new Uint8Array(COMPLETION_BYTES));
    this.queue.submit(descriptor);
    const record = () => decodeCompletion(file.read(at, COMPLETION_BYTES));
    const end = Date.now() + 150;
    while (record().status === 0 && Date.now() < end);
    return record().status === 0 ? undefined : record();
  }
}

/**
 * A process with the checksum device open, authorized for nothing, and a context with one PASID, in which
 * nothing is mapped.
 */
async function withChecksum(makeProcess: () => Promise<Transport>) {
  const transport = await makeProcess();
  const checksum = new Checksum(transport);
  const ioasid = Ioasid.open(transport);
  return { transport, checksum, ioasid, pasid: ioasid.alloc() };
}

/** A process with a context and a device open, and which of the two an ioctl belongs on. */
async function bothFiles(makeProcess: () => Promise<Transport>) {
  const transport = await makeProcess();
  const ioasid = Ioasid.open(transport);
  const device = VfioDeviceFile.open(transport, 'vfio0');
  return {
    transport,
    ioasid,
    device,
    fileOf: (name: string) => (/AUTHORIZE|REVOKE/.test(name) ? device.fd : ioasid.fd),
  };
}

/** Defines the tests. `makeProcess` gives a fresh process on a machine with `conformanceDevices`. */
export function conformance(makeProcess: () => Promise<Transport>): void {
  test('before authorization every DMA faults; after it the device reaches what is mapped, and only that', async () => {
    const { checksum, ioasid, pasid } = await withChecksum(makeProcess);
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
  });

  test('a PASID of another context is worth nothing without its FD', async () => {
    const transport = await makeProcess();
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

  test('what is presented must be an open /dev/ioasid: not a device FD, not a memfd, not an eventfd, not a closed descriptor', async () => {
    const { transport, checksum, ioasid, pasid } = await withChecksum(makeProcess);
    const { device, file } = checksum;
    refused(() => device.authorize(device.fd, pasid), 'EINVAL', /not of \/dev\/ioasid$/);
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

  test('dup shares the context, and closing one of several copies changes nothing', async () => {
    const transport = await makeProcess();
    const checksum = new Checksum(transport);
    const ioasid = Ioasid.open(transport);
    const copy = new Ioasid(transport, transport.dup(ioasid.fd));
    const pasid = ioasid.alloc();
    checksum.map(copy, pasid);
    ioasid.close();
    checksum.device.authorize(copy, pasid);
    const device = new VfioDeviceFile(transport, transport.dup(checksum.device.fd));
    device.close();
    assert.equal(checksum.run(pasid)?.status, DONE);
    assert.equal(copy.info().pasids, 1);
    copy.close();
    checksum.close();
  });

  test('freeing a PASID that a device is authorized for is EBUSY until it is revoked', async () => {
    const { checksum, ioasid, pasid } = await withChecksum(makeProcess);
    checksum.device.authorize(ioasid, pasid);
    refused(() => ioasid.free(pasid), 'EBUSY', new RegExp(`PASID ${pasid} is authorized`));
    refused(() => checksum.device.authorize(ioasid, pasid), 'EEXIST', /already/);
    checksum.device.revoke(pasid);
    refused(() => checksum.device.revoke(pasid), 'ENOENT', /not authorized/);
    ioasid.free(pasid);
    ioasid.close();
    checksum.close();
  });

  test('the ioasid FD may be closed first: the device goes on until its own FD is closed', async () => {
    const { checksum, ioasid, pasid } = await withChecksum(makeProcess);
    checksum.map(ioasid, pasid);
    checksum.device.authorize(ioasid, pasid);
    ioasid.close();
    assert.equal(checksum.run(pasid)?.status, DONE);
    checksum.close();
  });

  test('the device FD may be closed first: that revokes, and the context stays', async () => {
    const { transport, checksum, ioasid, pasid } = await withChecksum(makeProcess);
    checksum.map(ioasid, pasid);
    checksum.device.authorize(ioasid, pasid);
    checksum.close();
    eventually(() => {
      try {
        ioasid.free(pasid);
        return true;
      } catch {
        return false;
      }
    }, 'the revocation by close');
    const again = new Checksum(transport);
    assert.equal(again.run(pasid), undefined);
    ioasid.close();
    again.close();
  });

  test('after revoke the next DMA faults', async () => {
    const { checksum, ioasid, pasid } = await withChecksum(makeProcess);
    checksum.map(ioasid, pasid);
    checksum.device.authorize(ioasid, pasid);
    assert.equal(checksum.run(pasid)?.status, DONE);
    checksum.device.revoke(pasid);
    assert.equal(checksum.run(pasid), undefined);
    ioasid.close();
    checksum.close();
  });

  test('a device file can be open once', async () => {
    const transport = await makeProcess();
    const checksum = new Checksum(transport);
    refused(() => VfioDeviceFile.open(transport, 'vfio0'), 'EBUSY');
    checksum.close();
  });

  test('unmapped memory is out of reach for the very next DMA, and rights are those of the mapping', async () => {
    const { checksum, ioasid, pasid } = await withChecksum(makeProcess);
    checksum.map(ioasid, pasid);
    checksum.device.authorize(ioasid, pasid);
    assert.equal(checksum.run(pasid)?.status, DONE);
    assert.equal(ioasid.unmap(pasid, DATA_IOVA, PAGE), PAGE);
    assert.equal(checksum.run(pasid)?.status, FAULT);
    ioasid.mapFile(pasid, checksum.file.fd, PAGE, PAGE, { iova: DATA_IOVA, access: 'w' });
    assert.equal(checksum.run(pasid)?.status, FAULT);
    ioasid.close();
    checksum.close();
  });

  test('memory of the process is reached where it was mapped, and a copy in another PASID reaches the same bytes', async () => {
    const transport = await makeProcess();
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
  });

  test('a memfd that is truncated after it was mapped is a fault, never a crash', async () => {
    const { checksum, ioasid, pasid } = await withChecksum(makeProcess);
    checksum.map(ioasid, pasid);
    checksum.device.authorize(ioasid, pasid);
    checksum.file.truncate(PAGE);
    assert.deepEqual(checksum.run(pasid), { status: FAULT, checksum: 0, faultIova: DATA_IOVA });
    checksum.file.truncate(2 * PAGE);
    assert.equal(checksum.run(pasid)?.status, DONE);
    ioasid.close();
    checksum.close();
  });

  test('two mediated devices of one function are isolated from each other, and each translates its own vpasids', async () => {
    const transport = await makeProcess();
    const [one, two] = [new Queue(transport, 'vfio1'), new Queue(transport, 'vfio2')];
    const ioasid = Ioasid.open(transport);
    const [mine, theirs] = [ioasid.alloc(), ioasid.alloc()];
    const files = [transport.createMemfd(PAGE), transport.createMemfd(PAGE)] as const;
    ioasid.mapFile(mine, files[0].fd, 0, PAGE, { iova: DATA_IOVA });
    ioasid.mapFile(theirs, files[1].fd, 0, PAGE, { iova: DATA_IOVA });
    one.device.authorize(ioasid, mine, 5);
    two.device.authorize(ioasid, theirs, 5);
    const fill = (pasid: number, byte: number): DsaDescriptor => ({
      opcode: DSA_OPCODE.fill,
      pasid,
      completion: DATA_IOVA,
      pattern: [byte * 0x01010101, byte * 0x01010101],
      destination: DATA_IOVA + 64,
      size: 64,
    });
    assert.equal(one.run(files[0], 0, fill(5, 0x11))?.status, DSA_STATUS.success);
    assert.equal(two.run(files[1], 0, fill(5, 0x22))?.status, DSA_STATUS.success);
    assert.equal(files[0].read(64, 1)[0], 0x11);
    assert.equal(files[1].read(64, 1)[0], 0x22);
    // The PASID of the other has an entry for their common requester id, but is not in this one's list.
    for (const pasid of [theirs, mine, 6]) {
      assert.equal(one.run(files[1], 0, fill(pasid, 0x33)), undefined);
      assert.equal(files[1].read(64, 1)[0], 0x22);
    }
    refused(() => one.device.authorize(ioasid, theirs, 5), 'EEXIST', /vpasid 5/);
    one.device.authorize(ioasid, theirs, 7);
    assert.equal(one.run(files[1], 0, fill(7, 0x44))?.status, DSA_STATUS.success);
    one.device.revoke(theirs);
    assert.equal(
      two.run(files[1], 0, fill(5, 0x55))?.status,
      DSA_STATUS.success,
      'a grant of the other mdev is left alone',
    );
    for (const file of [ioasid, one.device, two.device]) file.close();
  });

  test('a function whose requests carry no PASID uses the address space of the one PASID that it is authorized for', async () => {
    const transport = await makeProcess();
    const edu = VfioDeviceFile.open(transport, 'vfio3');
    edu.enable();
    const ioasid = Ioasid.open(transport);
    const [pasid, second] = [ioasid.alloc(), ioasid.alloc()];
    const file = transport.createMemfd(PAGE);
    file.write(0, new TextEncoder().encode('edu reads this'));
    ioasid.mapFile(pasid, file.fd, 0, PAGE, { iova: 0x8000 });
    const dma = (source: number, destination: number, command: number) => {
      for (const [register, value] of [
        [0x80, source],
        [0x88, destination],
        [0x90, 14],
        [0x98, command],
      ] as const) {
        const bytes = new Uint8Array(8);
        setU64(bytes, 0, value);
        edu.write(0, register, bytes);
      }
      eventually(() => (edu.read32(0, 0x98) & 1) === 0, 'the end of the DMA');
    };
    dma(0x8000, 0x40000, 1);
    dma(0x40000, 0x8100, 3);
    assert.deepEqual([...file.read(0x100, 14)], [...new Uint8Array(14)]);
    edu.authorize(ioasid, pasid);
    refused(() => edu.authorize(ioasid, second), 'EBUSY', /carry no PASID/);
    dma(0x8000, 0x40000, 1);
    dma(0x40000, 0x8100, 3);
    assert.equal(new TextDecoder().decode(file.read(0x100, 14)), 'edu reads this');
    ioasid.close();
    edu.close();
  });

  test('an interrupt arrives at the eventfd of the caller', async () => {
    const { transport, checksum, ioasid, pasid } = await withChecksum(makeProcess);
    checksum.map(ioasid, pasid);
    checksum.device.authorize(ioasid, pasid);
    const event = transport.createEventfd();
    checksum.device.setEventfds(1, 0, [event.fd]);
    checksum.run(pasid);
    let count = 0;
    eventually(() => {
      count += event.take();
      return count > 0;
    }, 'the interrupt');
    assert.equal(count, 1);
    checksum.device.setEventfds(1, 0, [-1]);
    checksum.run(pasid);
    assert.equal(event.take(), 0);
    ioasid.close();
    checksum.close();
  });

  test('struct sizes: too short EINVAL, longer with zeros accepted, longer with anything else E2BIG, longer than the number says EINVAL', async () => {
    const { transport, ioasid, device, fileOf } = await bothFiles(makeProcess);
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
  });

  test('unknown flags and reserved fields are EOPNOTSUPP, unknown ioctls ENOTTY, each with a reason', async () => {
    const { transport, ioasid, device, fileOf } = await bothFiles(makeProcess);
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
  });

  test('bad ranges: zero, unaligned, overlapping, wrapping and beyond the address width are refused, and nothing is mapped', async () => {
    const transport = await makeProcess();
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
  });

  test('ioctls of random bytes succeed or are refused with a documented errno and a reason; a refusal changes no counter', async () => {
    const transport = await makeProcess();
    const ioasid = Ioasid.open(transport);
    const device = VfioDeviceFile.open(transport, 'vfio0');
    const pasid = ioasid.alloc();
    const documented = [
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
      'EACCES',
      'ENOTTY',
      'EOVERFLOW',
    ];
    const word = fc.oneof(
      fc.constantFrom(0, 1, 2, 3, 4, 16, pasid, 0x1000, ioasid.fd, 0xffff_ffff),
      fc.nat(0xffff_ffff),
    );
    const call = fc.record({
      ioctl: fc.constantFrom(...Object.values(nativeIoctls)),
      words: fc.array(word, { minLength: 16, maxLength: 16 }),
      honest: fc.boolean(),
      onDevice: fc.boolean(),
    });
    fc.assert(
      fc.property(call, ({ ioctl, words, honest, onDevice }) => {
        const data = new Uint8Array(ioctl.struct.size);
        for (let n = 0; n < data.length / 4 && n < words.length; n++) setU32(data, n * 4, words[n]!);
        if (honest) setU32(data, 0, data.length);
        const before = ioasid.info();
        const fd = onDevice ? device.fd : ioasid.fd;
        const error = refusal(() => transport.ioctl(fd, iowr(0x3b, ioctl.nr, data.length), data));
        if (error === undefined) return;
        assert.ok(
          documented.includes(error.code) && error.errno === Errno[error.code as keyof typeof Errno],
          error.message,
        );
        assert.ok(error.reason.length > 10, error.message);
        assert.deepEqual(ioasid.info(), before);
      }),
      { numRuns: 500 },
    );
    ioasid.close();
    device.close();
  });
}
