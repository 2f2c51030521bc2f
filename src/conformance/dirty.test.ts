/**
 * Dirty tracking: what devices write is in the log of the HWPT that they write through, and nothing else is.
 */
import assert from 'node:assert/strict';
import { DsaQueue } from '../client/dsa.js';
import { Iommufd } from '../client/iommufd.js';
import type { Transport } from '../client/transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Opcode } from '../devices/dsa/descriptor.js';
import { refused } from '../testkit/refused.js';
import { HW_CAP_DIRTY_TRACKING } from '../uapi/iommufd.js';
import { Edu } from './edu.js';
import { eventually, PAGE, rulesOf } from './rule.js';

/** IOMMU_HWPT_ALLOC_DIRTY_TRACKING, IOMMU_HWPT_ALLOC_PASID. */
const DIRTY_TRACKING = 2;
const PASID = 8;
const BASE = 0x10_0000;
const PAGES = 64;

/** An IOAS with pages of a memory file at BASE, and devices that write to them. */
class Tracked {
  readonly transport: Transport;
  readonly iommufd: Iommufd;
  readonly ioas: number;
  readonly edu: Edu;
  readonly id: number;
  readonly #file;

  constructor(transport: Transport) {
    this.transport = transport;
    this.iommufd = Iommufd.open(transport);
    this.ioas = this.iommufd.ioasAlloc();
    this.#file = transport.createMemfd(PAGES * PAGE);
    this.map(0, PAGES);
    this.edu = new Edu(transport);
    this.id = this.edu.device.bind(this.iommufd);
  }

  map(first: number, pages: number): void {
    this.iommufd.mapFile(this.ioas, this.#file.fd, first * PAGE, pages * PAGE, { iova: BASE + first * PAGE });
  }

  hwpt(flags = 0): number {
    return this.iommufd.hwptAlloc(this.id, this.ioas, DIRTY_TRACKING | flags);
  }

  /** The dirty pages of `hwpt`, by their numbers from BASE on. */
  dirty(hwpt: number, keep = false): number[] {
    return this.iommufd
      .dirtyPages(hwpt, BASE, PAGES * PAGE, { keep })
      .map((iova) => (Number(iova) - BASE) / PAGE);
  }

  close(): void {
    this.iommufd.close();
    this.edu.close();
    this.transport.close(this.#file.fd);
  }
}

const rule = rulesOf('iommufd');

rule(
  'the pages that a device writes are dirty while tracking is on; they are read and cleaned, or kept',
  (transport) => {
    const tracked = new Tracked(transport);
    const { edu, iommufd, id } = tracked;
    assert.equal(
      iommufd.hwInfo(id).capabilities & BigInt(HW_CAP_DIRTY_TRACKING),
      BigInt(HW_CAP_DIRTY_TRACKING),
    );
    const hwpt = tracked.hwpt();
    edu.device.attach(hwpt);
    edu.store(BASE + PAGE, 16);
    assert.deepEqual(tracked.dirty(hwpt), [], 'tracking is off');
    iommufd.setDirtyTracking(hwpt, true);
    edu.store(BASE + 3 * PAGE, 1);
    edu.store(BASE + 6 * PAGE - 1, 2);
    edu.store(BASE + 63 * PAGE, PAGE);
    edu.load(BASE + 9 * PAGE, PAGE);
    assert.deepEqual(tracked.dirty(hwpt, true), [3, 5, 6, 63]);
    assert.deepEqual(tracked.dirty(hwpt), [3, 5, 6, 63], 'they were kept');
    assert.deepEqual(tracked.dirty(hwpt), [], 'they were cleaned');
    edu.store(BASE + 5 * PAGE, 8);
    iommufd.setDirtyTracking(hwpt, false);
    edu.store(BASE + 7 * PAGE, 8);
    assert.deepEqual(tracked.dirty(hwpt, true), [5], 'what was recorded before it was off');
    iommufd.setDirtyTracking(hwpt, true);
    assert.deepEqual(tracked.dirty(hwpt), [], 'it begins with none');
    tracked.close();
  },
);

rule(
  'a write that faults makes dirty what it has reached, and what is unmapped is dirty no more',
  (transport) => {
    const tracked = new Tracked(transport);
    const { edu, iommufd, ioas } = tracked;
    const hwpt = tracked.hwpt();
    edu.device.attach(hwpt);
    iommufd.setDirtyTracking(hwpt, true);
    edu.store(BASE + PAGES * PAGE - 4, 64);
    edu.store(BASE + PAGES * PAGE, 64);
    edu.store(BASE, 4);
    assert.deepEqual(tracked.dirty(hwpt, true), [0, 63]);
    iommufd.unmapAll(ioas);
    tracked.map(0, 32);
    tracked.map(32, 32);
    assert.deepEqual(tracked.dirty(hwpt), []);
    edu.store(BASE + 32 * PAGE - 1, 2);
    assert.deepEqual(tracked.dirty(hwpt, true), [31, 32]);
    iommufd.unmap(ioas, BASE + 32 * PAGE, 32 * PAGE);
    assert.deepEqual(tracked.dirty(hwpt), [31]);
    tracked.close();
  },
);

rule('each HWPT of an IOAS has its own log, and a device that is moved writes to the other', (transport) => {
  const tracked = new Tracked(transport);
  const { edu, iommufd, id, ioas } = tracked;
  const [first, second] = [tracked.hwpt(), tracked.hwpt()];
  for (const hwpt of [first, second]) iommufd.setDirtyTracking(hwpt, true);
  edu.device.attach(first);
  edu.store(BASE + PAGE, 1);
  edu.device.attach(second);
  edu.store(BASE + 2 * PAGE, 1);
  edu.device.attach(ioas);
  edu.store(BASE + 3 * PAGE, 1);
  assert.deepEqual([tracked.dirty(first), tracked.dirty(second)], [[1], [2]]);
  const plain = iommufd.hwptAlloc(id, ioas);
  refused(() => iommufd.setDirtyTracking(plain, true), 'EOPNOTSUPP', /dirty tracking/);
  refused(() => tracked.dirty(plain), 'EOPNOTSUPP', /dirty tracking/);
  tracked.close();
});

rule(
  'an HWPT that several devices and PASIDs are attached to has one log of what all of them write',
  (transport) => {
    const tracked = new Tracked(transport);
    const { edu, iommufd } = tracked;
    const dsa = VfioDeviceFile.open(transport, 'vfio4');
    dsa.enable();
    const dsaId = dsa.bind(iommufd);
    assert.equal(
      iommufd.hwInfo(dsaId).capabilities & BigInt(HW_CAP_DIRTY_TRACKING),
      BigInt(HW_CAP_DIRTY_TRACKING),
    );
    const hwpt = tracked.hwpt(PASID);
    iommufd.setDirtyTracking(hwpt, true);
    edu.device.attach(hwpt);
    for (const pasid of [5, 6]) dsa.attach(hwpt, pasid);
    const queue = new DsaQueue(dsa);
    const fill = (pasid: number, page: number, size: number) => {
      const completion = BASE + (pasid === 5 ? 0 : PAGE);
      queue.submit({
        opcode: Opcode.FILL,
        pasid,
        completion,
        pattern: [1, 1],
        destination: BASE + page * PAGE,
        size,
      });
    };
    fill(5, 10, 3 * PAGE + 8);
    fill(6, 20, 8);
    edu.store(BASE + 30 * PAGE, 8);
    const written = [0, 1, 10, 11, 12, 13, 20, 30];
    eventually(() => tracked.dirty(hwpt, true).length >= written.length, 'the end of both fills');
    assert.deepEqual(tracked.dirty(hwpt), written);
    dsa.close();
    tracked.close();
  },
);
