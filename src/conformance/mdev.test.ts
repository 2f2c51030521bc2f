/**
 * Mediated devices share a requester id, so each must be held to what is attached to it, whatever PASIDs its
 * siblings have attached.
 */
import assert from 'node:assert/strict';
import { COMPLETION_BYTES, DsaQueue, decodeCompletion } from '../client/dsa.js';
import { Ioasid } from '../client/ioasid.js';
import { Iommufd } from '../client/iommufd.js';
import type { Transport } from '../client/transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Opcode, Status } from '../devices/dsa/descriptor.js';
import { refused } from '../testkit/refused.js';
import { eventually, PAGE, rulesOf } from './rule.js';

/** IOMMU_HWPT_ALLOC_PASID. */
const HWPT_PASID = 8;
const IOVA = 0x10_0000;
const SOFTWARE_ERROR = 0xc0;

/**
 * A context of its own with a page of memory, and a mediated device (a work queue of DSA) that is bound to
 * it.
 */
class Guest {
  readonly iommufd: Iommufd;
  readonly device: VfioDeviceFile;
  readonly id: number;
  readonly ioas: number;
  readonly #transport: Transport;
  readonly #file;
  readonly #queue: DsaQueue;

  constructor(transport: Transport, name: string, iommufd = Iommufd.open(transport)) {
    this.#transport = transport;
    this.iommufd = iommufd;
    this.device = VfioDeviceFile.open(transport, name);
    this.device.enable();
    this.id = this.device.bind(iommufd);
    this.ioas = iommufd.ioasAlloc();
    this.#file = transport.createMemfd(PAGE);
    iommufd.mapFile(this.ioas, this.#file.fd, 0, PAGE, { iova: IOVA });
    this.#queue = new DsaQueue(this.device);
  }

  /** A page table of this guest's memory, or another IOAS, that may be attached to PASIDs. */
  hwpt(ioas = this.ioas): number {
    return this.iommufd.hwptAlloc(this.id, ioas, HWPT_PASID);
  }

  /**
   * Has the device fill 8 bytes with `byte`. @returns whether it has; it reports with a completion record, or
   * has dropped the descriptor.
   */
  fills(pasid: number, byte: number): boolean {
    this.#file.write(0, new Uint8Array(128));
    this.device.write32(0, SOFTWARE_ERROR, 3);
    const word = byte * 0x0101_0101;
    this.#queue.submit({
      opcode: Opcode.FILL,
      pasid,
      completion: IOVA,
      pattern: [word, word],
      destination: IOVA + 64,
      size: 8,
    });
    const status = () => decodeCompletion(this.#file.read(0, COMPLETION_BYTES)).status;
    const dropped = () => (this.device.read32(0, SOFTWARE_ERROR) & 1) !== 0;
    eventually(() => status() !== 0 || dropped(), 'a completion record, or a software error');
    const filled = status() === Status.SUCCESS;
    assert.deepEqual(this.#file.read(64, 8), new Uint8Array(8).fill(filled ? byte : 0));
    return filled;
  }

  close(): void {
    this.device.close();
    this.iommufd.close();
    this.#transport.close(this.#file.fd);
  }
}

const rule = rulesOf('iommufd');

rule(
  'mediated devices of one function that are bound to two contexts have each its own PASID 1',
  (transport) => {
    const [first, second] = [new Guest(transport, 'vfio1'), new Guest(transport, 'vfio2')];
    for (const guest of [first, second]) assert.equal(guest.iommufd.hwInfo(guest.id).maxPasidLog2, 20);
    assert.deepEqual([first.fills(1, 0xa1), second.fills(1, 0xa2)], [false, false]);
    first.device.attach(first.hwpt(), 1);
    assert.deepEqual(
      [first.fills(1, 0xb1), second.fills(1, 0xb2)],
      [true, false],
      'the sibling has nothing of it',
    );
    second.device.attach(second.hwpt(), 1);
    assert.deepEqual([first.fills(1, 0xc1), second.fills(1, 0xc2)], [true, true]);
    first.device.detach(1);
    assert.deepEqual(
      [first.fills(1, 0xd1), second.fills(1, 0xd2)],
      [false, true],
      'the sibling keeps its own',
    );
    second.device.reset();
    first.close();
    second.close();
  },
);

rule(
  'a mediated device reaches by each PASID what is attached to it, and cannot name a PASID of its sibling',
  (transport) => {
    const first = new Guest(transport, 'vfio1');
    const second = new Guest(transport, 'vfio2');
    first.device.attach(first.hwpt(), 0xf_ffff);
    for (const pasid of [3, 4, 5]) second.device.attach(second.hwpt(), pasid);
    const all = Array.from({ length: 64 }, (_, pasid) => pasid);
    assert.deepEqual(
      all.filter((pasid) => first.fills(pasid, 0x11)),
      [],
    );
    assert.ok(first.fills(0xf_ffff, 0x12));
    assert.deepEqual(
      all.filter((pasid) => second.fills(pasid, 0x22)),
      [3, 4, 5],
    );
    first.close();
    second.close();
  },
);

rule(
  'an attachment of a mediated device is replaced in one step, follows its IOAS, and goes with its device',
  (transport) => {
    const guest = new Guest(transport, 'vfio1');
    const { iommufd, device } = guest;
    const empty = guest.hwpt(iommufd.ioasAlloc());
    const full = guest.hwpt();
    assert.equal(device.attach(full, 7), full);
    assert.equal(device.attach(full, 8), full);
    assert.equal(device.attach(empty, 7), empty);
    refused(() => device.attach(4711, 7), 'ENOENT', /4711/);
    assert.deepEqual([guest.fills(7, 0x33), guest.fills(8, 0x33)], [false, true]);
    assert.equal(device.attach(full, 7), full);
    iommufd.destroy(empty);
    refused(() => iommufd.destroy(full), 'EBUSY', /in use/);
    assert.deepEqual([guest.fills(7, 0x44), guest.fills(8, 0x55)], [true, true]);
    device.close();
    eventually(() => {
      try {
        iommufd.destroy(full);
        return true;
      } catch {
        return false;
      }
    }, 'the page table is free once the device is closed');
    iommufd.close();
  },
);

rule(
  'what a mediated device cannot have is refused, and native authorizations and a binding exclude each other',
  (transport) => {
    const guest = new Guest(transport, 'vfio1');
    const { device } = guest;
    const hwpt = guest.hwpt();
    refused(() => device.attach(hwpt, 1 << 20), 'EINVAL', /1048576/);
    refused(() => device.attach(guest.ioas, 2), 'EINVAL', /PASID/);
    refused(() => device.attach(guest.iommufd.hwptAlloc(guest.id, guest.ioas), 2), 'EINVAL', /PASID/);
    device.attach(hwpt, 2);
    const ioasid = Ioasid.open(transport);
    const pasid = ioasid.alloc();
    refused(() => device.authorize(ioasid, pasid), 'EBUSY', /bound/);
    for (let number = 1; number < 64; number++) refused(() => device.revoke(number), 'ENOENT');
    assert.ok(guest.fills(2, 0x66), 'the PASID of an attachment is not revoked');
    const sibling = VfioDeviceFile.open(transport, 'vfio2');
    sibling.authorize(ioasid, pasid, 2);
    refused(() => sibling.bind(guest.iommufd), 'EBUSY', /authorized/);
    sibling.revoke(pasid);
    sibling.bind(guest.iommufd);
    sibling.close();
    guest.close();
    ioasid.close();
  },
);
