/**
 * Page faults: a device asks for a page that is not there, its user hears of it, and the device goes on or
 * gives up as the user answers.
 */
import assert from 'node:assert/strict';
import { COMPLETION_BYTES, type DsaCompletion, DsaQueue, decodeCompletion } from '../client/dsa.js';
import { FaultQueue } from '../client/fault-queue.js';
import { Iommufd } from '../client/iommufd.js';
import type { MemoryFile, Transport } from '../client/transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Flag, Opcode, Status } from '../devices/dsa/descriptor.js';
import { PAGE_RESPONSE_INVALID } from '../ioasid/page-faults.js';
import { refused } from '../testkit/refused.js';
import { eventually, PAGE, rulesOf } from './rule.js';

/** IOMMU_HWPT_ALLOC_NEST_PARENT, IOMMU_HWPT_FAULT_ID_VALID, IOMMU_HWPT_ALLOC_PASID. */
const NEST_PARENT = 1;
const FAULT_ID_VALID = 4;
const HWPT_PASID = 8;
const PASID = 5;
const RECORDS = 0x10_0000;
const DATA = 0x20_0000;
const PERM_READ = 1;
const PERM_WRITE = 2;
const PATIENCE_MS = 60_000;
/** The whole DSA, a mediated device of another, and edu, which asks for no pages. */
const [DSA, MDEV, EDU] = ['vfio4', 'vfio1', 'vfio3'];

/**
 * A DSA bound to a context of its own, with PASID 5 attached to a page table that delivers faults. The
 * completion record is there, data is not.
 */
class Faulting {
  readonly iommufd: Iommufd;
  readonly queue: FaultQueue;
  readonly device: VfioDeviceFile;
  readonly id: number;
  readonly ioas: number;
  readonly records: MemoryFile;
  readonly data: MemoryFile;
  readonly #transport: Transport;
  readonly #submission: DsaQueue;
  #open = true;

  constructor(transport: Transport, name = DSA!) {
    this.#transport = transport;
    this.iommufd = Iommufd.open(transport);
    this.queue = FaultQueue.alloc(this.iommufd);
    this.device = VfioDeviceFile.open(transport, name);
    this.device.enable();
    this.id = this.device.bind(this.iommufd);
    this.ioas = this.iommufd.ioasAlloc();
    this.records = transport.createMemfd(PAGE);
    this.data = transport.createMemfd(2 * PAGE);
    this.iommufd.mapFile(this.ioas, this.records.fd, 0, PAGE, { iova: RECORDS });
    this.device.attach(this.hwpt(), PASID);
    this.#submission = new DsaQueue(this.device);
  }

  hwpt(): number {
    return this.iommufd.hwptAlloc(this.id, this.ioas, FAULT_ID_VALID | HWPT_PASID, undefined, this.queue.id);
  }

  /** Maps page `n` of the data. */
  map(n = 0): void {
    this.iommufd.mapFile(this.ioas, this.data.fd, n * PAGE, PAGE, { iova: DATA + n * PAGE });
  }

  /**
   * Has the device fill both pages of the data; it waits for pages that are not there unless `flags` is 0.
   * `slot`: its completion record.
   */
  fill(slot = 0, flags: number = Flag.BLOCK_ON_FAULT): void {
    const completion = RECORDS + slot * COMPLETION_BYTES;
    const pattern = [0x0101_0101, 0x0101_0101] as const;
    this.#submission.submit({
      opcode: Opcode.FILL,
      pasid: PASID,
      completion,
      pattern,
      destination: DATA,
      size: 2 * PAGE,
      flags,
    });
  }

  completion(slot = 0): DsaCompletion {
    const record = () => decodeCompletion(this.records.read(slot * COMPLETION_BYTES, COMPLETION_BYTES));
    eventually(() => record().status !== 0, 'a completion record');
    return record();
  }

  pending(slot = 0): boolean {
    return decodeCompletion(this.records.read(slot * COMPLETION_BYTES, COMPLETION_BYTES)).status === 0;
  }

  /** The next fault. */
  fault() {
    assert.ok(this.queue.wait(PATIENCE_MS), 'no page fault has come');
    const [fault, ...more] = this.queue.read();
    assert.deepEqual(more, []);
    return fault!;
  }

  closeDevice(): void {
    this.#open = false;
    this.device.close();
  }

  close(): void {
    if (this.#open) this.closeDevice();
    this.queue.close();
    this.iommufd.close();
    this.#transport.close(this.records.fd);
    this.#transport.close(this.data.fd);
  }
}

const rule = rulesOf('page faults');

/** A test with a DSA, which is closed afterwards. */
const faulting = (name: string, run: (dsa: Faulting, transport: Transport) => void, device?: string) =>
  rule(name, (transport) => {
    const dsa = new Faulting(transport, device);
    try {
      run(dsa, transport);
    } finally {
      dsa.close();
    }
  });

faulting(
  'a device that blocks on a fault asks for the page, and goes on where it was when the page is there',
  (dsa) => {
    dsa.fill();
    for (const n of [0, 1]) {
      const fault = dsa.fault();
      assert.deepEqual(
        { ...fault, cookie: 0, group: 0 },
        {
          device: dsa.id,
          pasid: PASID,
          group: 0,
          last: true,
          access: PERM_WRITE,
          address: BigInt(DATA + n * PAGE),
          cookie: 0,
        },
      );
      assert.ok(dsa.pending());
      dsa.map(n);
      dsa.queue.respond(fault.cookie, true);
    }
    assert.equal(dsa.completion().status, Status.SUCCESS);
    assert.deepEqual(dsa.data.read(0, 2 * PAGE), new Uint8Array(2 * PAGE).fill(1));
    assert.deepEqual(dsa.queue.read(), []);
  },
);

faulting('when the answer is that the page will not come, the access ends with its fault', (dsa) => {
  dsa.map(0);
  dsa.fill();
  dsa.queue.respond(dsa.fault().cookie, false);
  const { status, bytesCompleted, faultAddress } = dsa.completion();
  assert.deepEqual(
    [status, bytesCompleted, faultAddress],
    [Status.PAGE_FAULT_UNRESOLVED | 0x80, PAGE, DATA + PAGE],
  );
});

faulting('an answer that was not true makes the device ask again', (dsa) => {
  dsa.fill();
  const first = dsa.fault();
  dsa.queue.respond(first.cookie, true);
  const again = dsa.fault();
  assert.equal(again.address, first.address);
  assert.ok(dsa.pending());
  dsa.map(0);
  dsa.map(1);
  dsa.queue.respond(again.cookie, true);
  assert.equal(dsa.completion().status, Status.SUCCESS);
});

faulting('a device that does not block on faults asks nobody', (dsa) => {
  dsa.fill(0, 0);
  assert.equal(dsa.completion().status, Status.PAGE_FAULT | Status.WRITE_FAULT);
  assert.deepEqual(dsa.queue.read(), []);
});

faulting('a read that faults asks for a page to read', (dsa) => {
  new DsaQueue(dsa.device).submit({
    opcode: Opcode.MEMMOVE,
    pasid: PASID,
    completion: RECORDS,
    source: DATA,
    destination: RECORDS + 0x800,
    size: 16,
    flags: Flag.BLOCK_ON_FAULT,
  });
  const fault = dsa.fault();
  assert.equal(fault.access, PERM_READ);
  dsa.data.write(0, new Uint8Array(16).fill(9));
  dsa.map(0);
  dsa.queue.respond(fault.cookie, true);
  assert.equal(dsa.completion().status, Status.SUCCESS);
  assert.deepEqual(dsa.records.read(0x800, 16), new Uint8Array(16).fill(9));
});

faulting('other work goes on while some waits, and answers may come in any order', (dsa) => {
  for (const slot of [0, 1, 2]) dsa.fill(slot);
  assert.ok(dsa.queue.wait(PATIENCE_MS));
  const faults = dsa.queue.read();
  dsa.map(0);
  dsa.map(1);
  dsa.fill(3);
  eventually(() => {
    faults.push(...dsa.queue.read());
    const latest = faults.pop();
    if (latest !== undefined) dsa.queue.respond(latest.cookie, true);
    return [0, 1, 2, 3].every((slot) => !dsa.pending(slot));
  }, 'the end of all work');
  for (const slot of [0, 1, 2, 3]) assert.equal(dsa.completion(slot).status, Status.SUCCESS);
});

faulting(
  'detaching a device that waits ends its wait, and nothing of it reaches what is attached next',
  (dsa) => {
    dsa.fill();
    const { cookie } = dsa.fault();
    dsa.device.detach(PASID);
    refused(() => dsa.queue.respond(cookie, true), 'EINVAL', /no page faults wait/);
    dsa.map(0);
    dsa.map(1);
    dsa.device.attach(dsa.hwpt(), PASID);
    dsa.fill(1, 0);
    assert.equal(dsa.completion(1).status, Status.SUCCESS);
    assert.ok(dsa.pending(0), 'its completion record had no place to go either');
    assert.deepEqual(dsa.queue.read(), []);
  },
);

faulting('another page table in one step answers what waits by way of the old one', (dsa) => {
  dsa.fill();
  const { cookie } = dsa.fault();
  dsa.device.attach(dsa.hwpt(), PASID);
  refused(() => dsa.queue.respond(cookie, true), 'EINVAL', /no page faults wait/);
  assert.equal(dsa.completion().status, Status.PAGE_FAULT_UNRESOLVED | 0x80);
});

faulting(
  'a device that waits can be closed, and a queue is there for as long as something refers to it',
  (dsa, transport) => {
    dsa.fill();
    dsa.fault();
    refused(() => dsa.iommufd.destroy(dsa.queue.id), 'EBUSY', /fault queue/);
    dsa.closeDevice();
    assert.deepEqual(dsa.queue.read(), []);
    // The device is as it was before: whoever opens it next finds no work in it.
    const next = new Faulting(transport);
    next.map(0);
    next.map(1);
    next.fill();
    assert.equal(next.completion().status, Status.SUCCESS);
    assert.deepEqual(next.queue.read(), []);
    next.close();
  },
);

faulting(
  'a mediated device asks by the PASID that its program knows',
  (dsa) => {
    dsa.fill();
    const fault = dsa.fault();
    assert.deepEqual([fault.pasid, fault.device], [PASID, dsa.id]);
    dsa.map(0);
    dsa.map(1);
    dsa.queue.respond(fault.cookie, true);
    assert.equal(dsa.completion().status, Status.SUCCESS);
  },
  MDEV,
);

rule('a device that asks for no pages is not attached where faults are delivered', (transport) => {
  const iommufd = Iommufd.open(transport);
  const queue = FaultQueue.alloc(iommufd);
  const device = VfioDeviceFile.open(transport, EDU!);
  const id = device.bind(iommufd);
  const ioas = iommufd.ioasAlloc();
  const hwpt = iommufd.hwptAlloc(id, ioas, FAULT_ID_VALID, undefined, queue.id);
  refused(() => device.attach(hwpt), 'ENODEV', /no page requests/);
  refused(
    () => iommufd.hwptAlloc(id, ioas, FAULT_ID_VALID | NEST_PARENT, undefined, queue.id),
    'EOPNOTSUPP',
    /parent of nested tables/,
  );
  refused(() => iommufd.hwptAlloc(id, ioas, FAULT_ID_VALID, undefined, ioas), 'ENOENT', /another is wanted/);
  device.close();
  queue.close();
  iommufd.close();
});

rule(
  'a queue has no offsets, takes whole records only, and refuses answers that nobody waits for',
  (transport) => {
    const iommufd = Iommufd.open(transport);
    const queue = FaultQueue.alloc(iommufd);
    assert.equal(queue.wait(0), false);
    refused(() => transport.read(queue.fd, new Uint8Array(39)), 'ESPIPE', /39 bytes/);
    assert.throws(() => transport.pread(queue.fd, 0, new Uint8Array(40)), { code: 'ESPIPE' });
    refused(() => queue.respond(PAGE_RESPONSE_INVALID, true), 'EINVAL', /cookie 1/);
    queue.close();
    iommufd.destroy(queue.id);
    iommufd.close();
  },
);
