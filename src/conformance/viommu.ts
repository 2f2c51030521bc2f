/**
 * The conformance suite of vIOMMUs: their nested tables, devices, caches and queues, as a program sees them
 * through the client.
 *
 * An IOMMU that has vIOMMUs is the mock one only, so the machine has Linux's test interface (`--iommu-test`).
 * It runs twice, as `native.ts` does: against an in-process machine, and as an unmodified program under
 * `ioasid run` against real files.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Iommufd } from '../client/iommufd.js';
import type { Transport } from '../client/transport.js';
import { VeventQueue } from '../client/vevent-queue.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import type { ErrnoName } from '../linux/errno.js';
import { refusal, refused } from '../testkit/refused.js';
import { TestStruct } from '../uapi/iommu-test/layouts.js';
import { HwptInvalidateStruct, iommufdNumber } from '../uapi/iommufd.js';
import { getU32, setBig, setU32 } from '../uapi/struct.js';
import { PAGE } from './fixture.js';

const IOMMU_TEST_CMD = 0x3ba0;
const [MOCK_DOMAIN, REPLACE, CHECK_IOTLB, CHECK_CACHE, TRIGGER_VEVENT] = [2, 10, 14, 16, 17] as const;
/** IOMMU_HWPT_ALLOC_NEST_PARENT. */
const NEST_PARENT = 1;
/** The formats of the mock IOMMU, and what it caches from the beginning. */
const DATA = 0xdead;
const TYPE = 0xdeadbeef;
const EVENTS = 0xbeefbeef;
const IOTLB = 0x1234;
const CACHE_DEFAULT = 0xbaddad;
/** Where mock devices' IOVAs begin. */
const APERTURE = 0x100_0000;
const VIRTUAL_ID = 0x99;

interface Mock {
  /** The mock device, and the device that iommufd knows. */
  readonly mock: number;
  readonly id: number;
}

/** A context with mock devices on one IOAS, and a parent of nested tables. */
class Scene {
  readonly transport: Transport;
  readonly iommufd: Iommufd;
  readonly ioas: number;
  readonly device: Mock;
  readonly parent: number;

  constructor(transport: Transport) {
    this.transport = transport;
    this.iommufd = Iommufd.open(transport);
    this.ioas = this.iommufd.ioasAlloc();
    this.device = this.addDevice();
    this.parent = this.iommufd.hwptAlloc(this.device.id, this.ioas, NEST_PARENT);
  }

  addDevice(): Mock {
    const data = this.#test(MOCK_DOMAIN, this.ioas);
    return { mock: getU32(data, 16), id: getU32(data, 24) };
  }

  viommu(): number {
    return this.iommufd.viommuAlloc(this.device.id, this.parent, TYPE);
  }

  /** A nested table on a HWPT or vIOMMU. */
  nested(on: number): number {
    return this.iommufd.hwptAlloc(this.device.id, on, 0, { type: DATA, bytes: words(IOTLB, 0) });
  }

  replace(pageTable: number, { mock } = this.device): void {
    this.#test(REPLACE, mock, pageTable);
  }

  /** Is cached entry `n` of a nested table `value`? */
  iotlbIs(hwpt: number, n: number, value: number): void {
    this.#test(CHECK_IOTLB, hwpt, n, value);
  }

  cacheIs(n: number, value: number, { id } = this.device): void {
    this.#test(CHECK_CACHE, id, n, value);
  }

  /** A queue of the vIOMMU's events, each of which is the number that the device has there. */
  events(viommu: number, depth: number): VeventQueue {
    return VeventQueue.alloc(this.iommufd, viommu, EVENTS, depth, 4);
  }

  /** Something happens to the device, `count` times. */
  trigger(count: number, { id } = this.device): void {
    for (let n = 0; n < count; n++) this.#test(TRIGGER_VEVENT, 0, id);
  }

  /**
   * HWPT_INVALIDATE. @returns how many entries were handled, and the errno with which the next was refused.
   */
  invalidate(
    hwpt: number,
    entries: readonly (readonly number[])[],
    { type = TYPE, length = 4 * (entries[0]?.length ?? 2), claimed = entries.length } = {},
  ) {
    const { at, size } = HwptInvalidateStruct;
    const memory = this.transport.allocate(PAGE);
    memory.bytes.set(words(...entries.flat()));
    const data = new Uint8Array(size);
    setU32(data, at.size, size);
    setU32(data, at.hwpt_id, hwpt);
    setBig(data, at.data_uptr, BigInt(memory.address));
    setU32(data, at.data_type, type);
    setU32(data, at.entry_len, length);
    setU32(data, at.entry_num, claimed);
    const code = outcome(() =>
      this.transport.ioctl(this.iommufd.fd, iommufdNumber('IOMMU_HWPT_INVALIDATE'), data),
    );
    memory.free();
    return [getU32(data, at.entry_num), code];
  }

  close(): void {
    this.iommufd.close();
  }

  #test(op: number, id: number, a = 0, b = 0): Uint8Array {
    const data = new Uint8Array(TestStruct.size);
    setU32(data, 0, TestStruct.size);
    setU32(data, 4, op);
    setU32(data, 8, id);
    setU32(data, 16, a);
    setU32(data, 20, b);
    this.transport.ioctl(this.iommufd.fd, IOMMU_TEST_CMD, data);
    return data;
  }
}

function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  for (const [n, value] of values.entries()) setU32(bytes, 4 * n, value);
  return bytes;
}

const outcome = (run: () => unknown) => refusal(run)?.code ?? 'ok';

/**
 * Defines the tests. `makeProcess` gives a fresh process on a machine with `conformanceDevices` and the test
 * interface.
 */
export function conformanceViommu(makeProcess: () => Promise<Transport>): void {
  const rule = (name: string, body: (transport: Transport) => void) =>
    test(`vIOMMU: ${name}`, async () => body(await makeProcess()));

  rule(
    'a nested table caches until it is told not to: one entry, all of them; those before a bad one are handled',
    (transport) => {
      const scene = new Scene(transport);
      const nested = scene.nested(scene.parent);
      for (let n = 0; n < 4; n++) scene.iotlbIs(nested, n, IOTLB);
      const cases: [number[][], number, string][] = [
        [[[0, 1]], 1, 'ok'],
        [
          [
            [0, 2],
            [2, 0],
          ],
          1,
          'EOPNOTSUPP',
        ],
        [
          [
            [0, 0],
            [0, 4],
            [0, 3],
          ],
          1,
          'EINVAL',
        ],
      ];
      for (const [entries, handled, code] of cases)
        assert.deepEqual(scene.invalidate(nested, entries), [handled, code]);
      for (const [n, value] of [0, 0, 0, IOTLB].entries()) scene.iotlbIs(nested, n, value);
      assert.deepEqual(scene.invalidate(nested, [[1, 0]]), [1, 'ok']);
      scene.iotlbIs(nested, 3, 0);
      assert.deepEqual(
        scene.invalidate(scene.parent, [[1, 0]]),
        [0, 'EINVAL'],
        'a paging HWPT caches nothing of its user',
      );
      scene.close();
    },
  );

  rule('an array whose length lies is handled as far as its memory goes', (transport) => {
    const scene = new Scene(transport);
    const nested = scene.nested(scene.parent);
    const [handled, code] = scene.invalidate(nested, [[0, 0]], { claimed: 2 ** 19 });
    assert.ok(
      Number(handled) >= PAGE / 8,
      'the memory that follows is zeros, at least to the end of its page',
    );
    assert.notEqual(code, 'ok');
    assert.deepEqual(scene.invalidate(nested, [[0, 1]], { claimed: 2 ** 31 }), [0, 'EINVAL']);
    assert.deepEqual(scene.invalidate(nested, [[0, 1]], { length: 4097 }), [0, 'EINVAL']);
    assert.deepEqual(scene.invalidate(nested, [[0, 1]], { length: 12 }), [0, 'EINVAL']);
    assert.deepEqual(scene.invalidate(nested, [[0, 1]], { type: 1 }), [0, 'EINVAL']);
    scene.iotlbIs(nested, 0, 0);
    scene.iotlbIs(nested, 1, IOTLB);
    scene.close();
  });

  rule('it is made over a parent of nested tables, and its data comes back', (transport) => {
    const scene = new Scene(transport);
    const { iommufd, device, parent, ioas } = scene;
    const bytes = words(0xbeef, 0, 0, 0, 0, 0);
    const viommu = iommufd.viommuAlloc(device.id, parent, TYPE, bytes);
    assert.equal(getU32(bytes, 4), 0xbeef);
    refused(() => iommufd.destroy(parent), 'EBUSY', /HWPT \d+ is in use by 1 other object/);
    iommufd.destroy(viommu);
    const plain = iommufd.hwptAlloc(device.id, ioas);
    refused(() => iommufd.viommuAlloc(device.id, plain, TYPE), 'EINVAL', /was not allocated as a parent/);
    refused(() => iommufd.viommuAlloc(device.id, ioas, TYPE), 'ENOENT', /object \d+ is of kind IOAS/);
    refused(() => iommufd.viommuAlloc(device.id, parent, 1), 'EOPNOTSUPP', /no vIOMMUs of type 0x1/);
    refused(() => iommufd.viommuAlloc(device.id, parent, TYPE, words(1)), 'EINVAL', /8 to 24 bytes, not 4/);
    scene.close();
  });

  rule('a device behind an IOMMU that has none cannot have one, nor be in that of another', (transport) => {
    const scene = new Scene(transport);
    const file = VfioDeviceFile.open(transport, 'vfio0');
    const id = file.bind(scene.iommufd);
    const viommu = scene.viommu();
    refused(() => scene.iommufd.viommuAlloc(id, scene.parent, TYPE), 'EOPNOTSUPP', /no vIOMMUs/);
    refused(() => scene.iommufd.vdeviceAlloc(viommu, id, 1), 'EINVAL', /is behind another IOMMU/);
    refused(
      () => scene.iommufd.hwptAlloc(id, viommu, 0, { type: DATA, bytes: words(IOTLB) }),
      'EINVAL',
      /belongs to another IOMMU/,
    );
    refused(() => file.attach(scene.parent), 'EINVAL', /belongs to another IOMMU/);
    file.close();
    scene.close();
  });

  rule('only its devices are attached to its nested tables', (transport) => {
    const scene = new Scene(transport);
    const viommu = scene.viommu();
    const nested = scene.nested(viommu);
    refused(() => scene.replace(nested), 'ENOENT', /the device is none of vIOMMU/);
    const vdevice = scene.iommufd.vdeviceAlloc(viommu, scene.device.id, VIRTUAL_ID);
    scene.replace(nested);
    refused(() => scene.iommufd.destroy(nested), 'EBUSY', /in use/);
    refused(() => scene.iommufd.destroy(viommu), 'EBUSY', /in use by 2 other objects/);
    scene.replace(scene.ioas);
    for (const id of [nested, vdevice, viommu]) scene.iommufd.destroy(id);
    scene.close();
  });

  rule('a number means one device, and a device has one number in one vIOMMU', (transport) => {
    const scene = new Scene(transport);
    const { iommufd, device } = scene;
    const [first, second] = [scene.viommu(), scene.viommu()];
    const other = scene.addDevice();
    const vdevice = iommufd.vdeviceAlloc(first, device.id, 0xffff_ffff_ffff_ffffn);
    refused(
      () => iommufd.vdeviceAlloc(first, device.id, 1),
      'EEXIST',
      /is number 0xffffffffffffffff of vIOMMU/,
    );
    refused(() => iommufd.vdeviceAlloc(second, device.id, 1), 'EEXIST', /is number/);
    refused(
      () => iommufd.vdeviceAlloc(first, other.id, 0xffff_ffff_ffff_ffffn),
      'EEXIST',
      /has a device 0xffffffffffffffff already/,
    );
    iommufd.vdeviceAlloc(second, other.id, 0xffff_ffff_ffff_ffffn);
    iommufd.destroy(vdevice);
    iommufd.vdeviceAlloc(second, device.id, 1);
    scene.close();
  });

  rule('what its devices cache is invalidated by their numbers in it', (transport) => {
    const scene = new Scene(transport);
    const viommu = scene.viommu();
    const other = scene.addDevice();
    scene.iommufd.vdeviceAlloc(viommu, scene.device.id, VIRTUAL_ID);
    assert.deepEqual(
      scene.invalidate(viommu, [
        [0, VIRTUAL_ID, 1],
        [2, VIRTUAL_ID, 2],
      ]),
      [1, 'EOPNOTSUPP'],
    );
    assert.deepEqual(
      scene.invalidate(viommu, [
        [0, VIRTUAL_ID, 0],
        [0, VIRTUAL_ID, 4],
      ]),
      [1, 'EINVAL'],
    );
    assert.deepEqual(scene.invalidate(viommu, [[0, VIRTUAL_ID + 1, 0]]), [0, 'EINVAL']);
    for (const [n, value] of [0, 0, CACHE_DEFAULT, CACHE_DEFAULT].entries()) scene.cacheIs(n, value);
    assert.deepEqual(scene.invalidate(viommu, [[1, VIRTUAL_ID, 0]]), [1, 'ok']);
    scene.cacheIs(3, 0);
    scene.cacheIs(3, CACHE_DEFAULT, other);
    assert.deepEqual(scene.invalidate(viommu, []), [0, 'ok'], 'a program may ask whether the type is known');
    assert.deepEqual(scene.invalidate(viommu, [], { type: 1 }), [0, 'EINVAL']);
    assert.deepEqual(scene.invalidate(viommu, [[1, VIRTUAL_ID, 0, 7]]), [0, 'E2BIG']);
    scene.close();
  });

  rule('a queue holds its memory: no unmapping takes it away, and queues go in their order', (transport) => {
    const scene = new Scene(transport);
    const { iommufd, ioas } = scene;
    const viommu = scene.viommu();
    const memory = transport.allocate(3 * PAGE);
    const queue = (index: number, iova: number, length = PAGE) =>
      iommufd.hwQueueAlloc(viommu, TYPE, index, iova, length);
    refused(() => queue(0, APERTURE), 'ENOENT', /is not mapped/);
    for (let n = 0; n < 3; n++)
      iommufd.map(ioas, memory.address + n * PAGE, PAGE, { iova: APERTURE + n * PAGE });
    refused(() => queue(1, APERTURE), 'EIO', /queue 0 leaves it/);
    refused(() => queue(2, APERTURE), 'EINVAL', /has 2 queues/);
    const first = queue(0, APERTURE + PAGE);
    refused(() => queue(0, APERTURE + PAGE), 'EEXIST', /there already/);
    refused(() => iommufd.unmap(ioas, APERTURE + PAGE, PAGE), 'EBUSY', /in use by a hardware queue/);
    refused(() => iommufd.unmapAll(ioas), 'EBUSY', /in use by a hardware queue/);
    refused(() => iommufd.unmap(ioas, APERTURE, PAGE), 'ENOENT', /nothing is mapped/);
    const second = queue(1, APERTURE + PAGE + PAGE / 2, PAGE + PAGE / 2);
    refused(() => iommufd.unmap(ioas, APERTURE + 2 * PAGE, PAGE), 'EBUSY', /in use by a hardware queue/);
    refused(() => iommufd.destroy(first), 'EBUSY', /in use/);
    refused(() => iommufd.destroy(viommu), 'EBUSY', /in use by 2 other objects/);
    iommufd.destroy(second);
    iommufd.destroy(first);
    assert.equal(iommufd.unmapAll(ioas), BigInt(2 * PAGE));
    iommufd.destroy(viommu);
    scene.close();
  });

  rule(
    'a queue must be a range, of a known type, and in one stretch of memory; one that is refused holds nothing',
    (transport) => {
      const scene = new Scene(transport);
      const { iommufd, ioas } = scene;
      const viommu = scene.viommu();
      const memory = transport.allocate(2 * PAGE);
      for (const n of [0, 1])
        iommufd.map(ioas, memory.address + (1 - n) * PAGE, PAGE, { iova: APERTURE + n * PAGE });
      const cases: [number, bigint, bigint, ErrnoName, RegExp][] = [
        [0, 0n, 4096n, 'EOPNOTSUPP', /none is given/],
        [1, 0n, 4096n, 'EOPNOTSUPP', /no queues of type 0x1/],
        [TYPE, 0n, 0n, 'EINVAL', /the length is zero/],
        [TYPE, 0xffff_ffff_ffff_ffffn, 4096n, 'EOVERFLOW', /wraps around/],
        [TYPE, 0n, 0xffff_ffff_ffff_ffffn, 'ERANGE', /no whole pages/],
        [TYPE, 0n, 1n << 60n, 'ENOMEM', /too long/],
        [TYPE, BigInt(APERTURE), 8192n, 'EFAULT', /does not follow/],
      ];
      for (const [type, iova, length, code, reason] of cases)
        refused(() => iommufd.hwQueueAlloc(viommu, type, 0, iova, length), code, reason);
      assert.equal(iommufd.unmapAll(ioas), 8192n);
      iommufd.destroy(viommu);
      scene.close();
    },
  );

  rule('with its device a vDEVICE goes, and its id is given to nothing else', (transport) => {
    const scene = new Scene(transport);
    const { iommufd } = scene;
    const viommu = scene.viommu();
    const vdevice = iommufd.vdeviceAlloc(viommu, scene.device.id, VIRTUAL_ID);
    iommufd.destroy(scene.device.mock);
    refused(() => iommufd.destroy(vdevice), 'ENOENT', /there is no object/);
    iommufd.destroy(viommu);
    const ids = Array.from({ length: 8 }, () => iommufd.ioasAlloc());
    assert.ok(!ids.includes(vdevice), 'what its user destroys late is nothing else');
    assert.ok(ids.includes(viommu));
    scene.close();
  });

  rule('ids of another context mean nothing', (transport) => {
    const [mine, yours] = [new Scene(transport), new Scene(transport)];
    for (let n = 0; n < 8; n++) yours.iommufd.ioasAlloc();
    const viommu = yours.viommu();
    const { iommufd, device, parent } = mine;
    refused(() => iommufd.vdeviceAlloc(viommu, device.id, 1), 'ENOENT', /there is no object/);
    refused(() => iommufd.hwQueueAlloc(viommu, TYPE, 0, APERTURE, PAGE), 'ENOENT', /there is no object/);
    refused(() => iommufd.viommuAlloc(device.id, viommu, TYPE), 'ENOENT', /there is no object/);
    refused(() => mine.nested(viommu), 'EINVAL', /there is no object/);
    assert.deepEqual(mine.invalidate(viommu, [[1, 0, 0]]), [0, 'ENOENT']);
    refused(() => iommufd.vdeviceAlloc(parent, device.id, 1), 'ENOENT', /of kind HWPT/);
    mine.close();
    yours.close();
  });

  rule('objects are destroyed in any order that references allow, and nothing is left', (transport) => {
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 }), (order) => {
        const scene = new Scene(transport);
        const { iommufd, ioas, device, parent } = scene;
        const memory = transport.allocate(PAGE);
        iommufd.map(ioas, memory.address, PAGE, { iova: APERTURE });
        const viommu = scene.viommu();
        const vdevice = iommufd.vdeviceAlloc(viommu, device.id, VIRTUAL_ID);
        const [nested, under] = [scene.nested(viommu), scene.nested(parent)];
        scene.replace(nested);
        const queues = [0, 1].map((index) => iommufd.hwQueueAlloc(viommu, TYPE, index, APERTURE, PAGE));
        const objects = [ioas, parent, viommu, vdevice, nested, under, ...queues];
        // What is busy is tried again when others have gone; the mock device goes first, or nothing would
        // ever let go of the nested table.
        iommufd.destroy(device.mock);
        const left = new Set(order.map((n) => objects[n]!));
        left.delete(vdevice);
        for (let rounds = 0; left.size > 0; rounds++) {
          assert.ok(rounds < objects.length, `${[...left]} are left`);
          for (const id of left) if (outcome(() => iommufd.destroy(id)) === 'ok') left.delete(id);
        }
        memory.free();
        scene.close();
      }),
      { numRuns: 40 },
    );
  });

  rule(
    'events are told by the number that the device has in the machine, numbered, and those beyond the depth as lost',
    (transport) => {
      const scene = new Scene(transport);
      const viommu = scene.viommu();
      scene.iommufd.vdeviceAlloc(viommu, scene.device.id, VIRTUAL_ID);
      const queue = scene.events(viommu, 2);
      refused(() => scene.trigger(1), 'ENOENT', /goes through no vIOMMU/);
      scene.replace(scene.nested(viommu));
      const event = (sequence: number) => ({ sequence, data: words(VIRTUAL_ID) });
      assert.equal(queue.wait(0), false);
      scene.trigger(1);
      assert.equal(queue.wait(1000), true);
      assert.deepEqual(queue.read(), [event(0)]);
      assert.equal(queue.wait(0), false);
      scene.trigger(4);
      assert.deepEqual(queue.read(1), [event(1)]);
      assert.deepEqual(queue.read(), [event(2), { sequence: 4, data: undefined }]);
      scene.trigger(1);
      assert.deepEqual(queue.read(), [event(5)]);
      assert.deepEqual(queue.read(), []);
      queue.close();
      scene.close();
    },
  );

  rule(
    'a vIOMMU has one queue for events of a type, which takes no writes, and stays for as long as its file is open',
    (transport) => {
      const scene = new Scene(transport);
      const viommu = scene.viommu();
      refused(() => scene.events(viommu, 0), 'EINVAL', /0 events/);
      refused(() => scene.events(scene.parent, 2), 'ENOENT', /HWPT/);
      refused(() => VeventQueue.alloc(scene.iommufd, viommu, 0, 2, 4), 'EOPNOTSUPP', /none is given/);
      scene.iommufd.vdeviceAlloc(viommu, scene.device.id, VIRTUAL_ID);
      scene.replace(scene.nested(viommu));
      refused(() => scene.trigger(1), 'EOPNOTSUPP', /no queue/);
      const queue = scene.events(viommu, 2);
      refused(() => scene.events(viommu, 2), 'EEXIST', /already/);
      refused(() => transport.write(queue.fd, words(0)), 'EINVAL', /no writes/);
      refused(() => scene.iommufd.destroy(queue.id), 'EBUSY', /vEVENT queue/);
      refused(() => scene.iommufd.destroy(viommu), 'EBUSY', /vIOMMU/);
      scene.trigger(1);
      refused(() => transport.read(queue.fd, new Uint8Array(8)), 'EINVAL', /no room/);
      queue.close();
      scene.iommufd.destroy(queue.id);
      scene.events(viommu, 2).close();
      scene.close();
    },
  );

  rule('a context that is closed with everything in it leaves nothing', (transport) => {
    const scene = new Scene(transport);
    const file = VfioDeviceFile.open(transport, 'vfio0');
    file.bind(scene.iommufd);
    const viommu = scene.viommu();
    scene.iommufd.vdeviceAlloc(viommu, scene.device.id, VIRTUAL_ID);
    scene.replace(scene.nested(viommu));
    const memory = transport.allocate(PAGE);
    scene.iommufd.map(scene.ioas, memory.address, PAGE, { iova: APERTURE });
    scene.iommufd.hwQueueAlloc(viommu, TYPE, 0, APERTURE, PAGE);
    scene.close();
    file.close();
    const again = VfioDeviceFile.open(transport, 'vfio0');
    again.close();
  });
}
