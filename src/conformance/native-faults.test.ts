/**
 * Page faults by read and write of `/dev/ioasid`: a device asks for a page that is not there, and goes on or
 * gives up as it is answered.
 */
import assert from 'node:assert/strict';
import { COMPLETION_BYTES, type DsaCompletion, DsaQueue, decodeCompletion } from '../client/dsa.js';
import { Ioasid, type IoasidFault } from '../client/ioasid.js';
import type { MemoryFile, Transport } from '../client/transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Flag, Opcode, Status } from '../devices/dsa/descriptor.js';
import {
  PAGE_RESPONSE_FAILURE as FAILURE,
  PAGE_RESPONSE_INVALID as INVALID,
  PAGE_RESPONSE_SUCCESS as SUCCESS,
} from '../ioasid/page-faults.js';
import { refused } from '../testkit/refused.js';
import { eventually, PAGE, rulesOf } from './rule.js';

const RECORDS = 0x10_0000;
const DATA = 0x20_0000;
const COOKIE = 0xc001;
const PATIENCE_MS = 60_000;
const UNRESOLVED = Status.PAGE_FAULT_UNRESOLVED | 0x80;

/** A DSA that is authorized for a PASID which has its completion records, but not the data. */
class Faulting {
  readonly ioasid: Ioasid;
  readonly device: VfioDeviceFile;
  readonly pasid: number;
  readonly vpasid: number;
  readonly data: MemoryFile;
  readonly #records: MemoryFile;
  readonly #queue: DsaQueue;
  #open = true;
  #listens = true;

  constructor(transport: Transport, { name = 'vfio4', vpasid = 0, faults = true } = {}) {
    this.ioasid = Ioasid.open(transport);
    this.device = VfioDeviceFile.open(transport, name);
    this.device.enable();
    this.pasid = this.ioasid.alloc(0, 0, { faults });
    this.vpasid = vpasid === 0 ? this.pasid : vpasid;
    this.#records = transport.createMemfd(PAGE);
    this.data = transport.createMemfd(2 * PAGE);
    this.ioasid.mapFile(this.pasid, this.#records.fd, 0, PAGE, { iova: RECORDS });
    this.device.authorize(this.ioasid, this.pasid, vpasid, COOKIE);
    this.#queue = new DsaQueue(this.device);
  }

  /** Maps page `n` of the data. */
  map(n = 0): void {
    this.ioasid.mapFile(this.pasid, this.data.fd, n * PAGE, PAGE, { iova: DATA + n * PAGE });
  }

  /** Has the device fill both pages of the data. `slot`: its completion record. */
  fill(slot = 0): void {
    this.#queue.submit({
      opcode: Opcode.FILL,
      pasid: this.vpasid,
      completion: RECORDS + slot * COMPLETION_BYTES,
      pattern: [0x0101_0101, 0x0101_0101],
      destination: DATA,
      size: 2 * PAGE,
      flags: Flag.BLOCK_ON_FAULT,
    });
  }

  record(slot = 0): DsaCompletion {
    return decodeCompletion(this.#records.read(slot * COMPLETION_BYTES, COMPLETION_BYTES));
  }

  completion(slot = 0): DsaCompletion {
    eventually(() => this.record(slot).status !== 0, 'a completion record');
    return this.record(slot);
  }

  /** The next fault, which is the only one. */
  fault(): IoasidFault {
    assert.ok(this.ioasid.waitForFault(PATIENCE_MS), 'no page fault has come');
    const [fault, ...more] = this.ioasid.readFaults();
    assert.deepEqual(more, []);
    return fault!;
  }

  nothingToRead(): void {
    assert.equal(this.ioasid.waitForFault(0), false);
    refused(() => this.ioasid.readFaults(), 'EAGAIN', /no page faults/);
  }

  closeDevice(): void {
    this.#open = false;
    this.device.close();
  }

  closeIoasid(): void {
    this.#listens = false;
    this.ioasid.close();
  }

  close(): void {
    if (this.#open) this.closeDevice();
    if (this.#listens) this.closeIoasid();
    for (const { fd } of [this.#records, this.data]) this.device.transport.close(fd);
  }
}

const rule = rulesOf('ioasid');

/** A test with a DSA, which is closed afterwards. */
const faulting = (
  name: string,
  run: (dsa: Faulting, transport: Transport) => void,
  options: { name?: string; vpasid?: number; faults?: boolean } = {},
) =>
  rule(name, (transport) => {
    const dsa = new Faulting(transport, options);
    try {
      run(dsa, transport);
    } finally {
      dsa.close();
    }
  });

faulting('a device that blocks on a fault waits for its page, and goes on when it is there', (dsa) => {
  assert.equal(dsa.ioasid.info().faults, 3);
  dsa.nothingToRead();
  dsa.fill();
  for (const n of [0, 1]) {
    const { cookie, group, ...fault } = dsa.fault();
    assert.deepEqual(fault, {
      pasid: dsa.pasid,
      last: true,
      access: 2,
      iova: BigInt(DATA + n * PAGE),
      deviceCookie: COOKIE,
    });
    assert.equal(dsa.record().status, 0, `group ${group} waits`);
    dsa.map(n);
    dsa.ioasid.respond({ cookie, code: SUCCESS });
  }
  assert.equal(dsa.completion().status, Status.SUCCESS);
  assert.deepEqual(dsa.data.read(0, 2 * PAGE), new Uint8Array(2 * PAGE).fill(1));
  dsa.nothingToRead();
});

faulting('when the answer is that the page will not come, the access ends with its fault', (dsa) => {
  dsa.map(0);
  dsa.fill();
  dsa.ioasid.respond({ cookie: dsa.fault().cookie, code: INVALID });
  const { status, bytesCompleted, faultAddress } = dsa.completion();
  assert.deepEqual([status, bytesCompleted, faultAddress], [UNRESOLVED, PAGE, DATA + PAGE]);
  dsa.fill(1);
  dsa.ioasid.respond({ cookie: dsa.fault().cookie, code: INVALID });
  assert.equal(dsa.completion(1).status, UNRESOLVED, 'it asks again');
});

faulting('after a failure the device asks for nothing more, until it is opened again', (dsa, transport) => {
  dsa.fill();
  dsa.ioasid.respond({ cookie: dsa.fault().cookie, code: FAILURE });
  assert.equal(dsa.completion().status, UNRESOLVED);
  dsa.fill(1);
  assert.notEqual(dsa.completion(1).status, Status.SUCCESS);
  dsa.nothingToRead();
  dsa.closeDevice();
  const next = new Faulting(transport);
  next.fill();
  next.fault();
  next.close();
});

faulting(
  'without IOASID_ALLOC_FAULTS nobody is asked',
  (dsa) => {
    dsa.fill();
    assert.notEqual(dsa.completion().status, Status.SUCCESS);
    dsa.nothingToRead();
  },
  { faults: false },
);

faulting('answers that nobody waits for, given twice, or with an unknown code are EINVAL', (dsa) => {
  const { ioasid } = dsa;
  refused(() => ioasid.respond({ cookie: 1, code: SUCCESS }), 'EINVAL', /cookie 1/);
  dsa.fill();
  const { cookie } = dsa.fault();
  refused(() => ioasid.respond({ cookie, code: 3 }), 'EINVAL', /code 3/);
  refused(() => ioasid.respond({ cookie: cookie + 1, code: SUCCESS }), 'EINVAL', /no page faults wait/);
  dsa.map(0);
  const twice = [
    { cookie, code: SUCCESS },
    { cookie, code: SUCCESS },
  ];
  assert.equal(ioasid.respond(...twice), 1, 'a write ends before what is bad');
  ioasid.respond({ cookie: dsa.fault().cookie, code: INVALID });
});

faulting('structs are read and written whole, and at no offset', ({ ioasid }, transport) => {
  refused(() => transport.read(ioasid.fd, new Uint8Array(31)), 'EINVAL', /31 bytes/);
  refused(() => transport.write(ioasid.fd, new Uint8Array(7)), 'EINVAL', /7 bytes/);
  assert.throws(() => transport.pread(ioasid.fd, 0, new Uint8Array(32)), { code: 'ESPIPE' });
});

faulting('a read takes as many faults as it has room for, the others stay', (dsa) => {
  for (const slot of [0, 1, 2]) dsa.fill(slot);
  const faults: IoasidFault[] = [];
  eventually(() => {
    if (dsa.ioasid.waitForFault(0)) faults.push(...dsa.ioasid.readFaults(1));
    return faults.length === 3;
  }, 'three faults');
  assert.equal(new Set(faults.map(({ cookie }) => cookie)).size, 3);
  dsa.ioasid.respond(...faults.map(({ cookie }) => ({ cookie, code: INVALID })));
  for (const slot of [0, 1, 2]) assert.equal(dsa.completion(slot).status, UNRESOLVED);
});

faulting('a reader that never answers keeps nobody: the device is revoked, and works elsewhere', (dsa) => {
  dsa.fill();
  const { cookie } = dsa.fault();
  dsa.fill(1);
  dsa.device.revoke(dsa.pasid);
  refused(() => dsa.ioasid.respond({ cookie, code: SUCCESS }), 'EINVAL', /no page faults wait/);
  dsa.nothingToRead();
  for (const n of [0, 1]) dsa.map(n);
  dsa.device.authorize(dsa.ioasid, dsa.pasid);
  dsa.fill(2);
  assert.equal(dsa.completion(2).status, Status.SUCCESS);
});

faulting('a device that waits can be closed, and is as new for whoever opens it next', (dsa, transport) => {
  dsa.fill();
  dsa.fault();
  dsa.closeDevice();
  dsa.nothingToRead();
  const next = new Faulting(transport);
  for (const n of [0, 1]) next.map(n);
  next.fill();
  assert.equal(next.completion().status, Status.SUCCESS);
  next.close();
});

faulting('when the ioasid file is closed before the device, what waits is answered', (dsa, transport) => {
  const other = new Ioasid(transport, transport.dup(dsa.ioasid.fd));
  dsa.fill();
  dsa.fault();
  transport.close(other.fd);
  assert.equal(dsa.record().status, 0, 'one of two descriptors');
  dsa.closeIoasid();
  // A machine in one process works when it is called, and a close is no call.
  dsa.device.read32(0, 0);
  assert.equal(dsa.completion().status, UNRESOLVED);
  dsa.fill(1);
  assert.notEqual(dsa.completion(1).status, Status.SUCCESS);
});

faulting(
  'a mediated device asks by the PASID of the context, whatever its program calls it',
  (dsa) => {
    dsa.fill();
    const { pasid, cookie } = dsa.fault();
    assert.equal(pasid, dsa.pasid);
    for (const n of [0, 1]) dsa.map(n);
    dsa.ioasid.respond({ cookie, code: SUCCESS });
    assert.equal(dsa.completion().status, Status.SUCCESS);
  },
  { name: 'vfio1', vpasid: 5 },
);
