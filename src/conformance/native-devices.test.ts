/** Mediated devices, a function whose requests carry no PASID, and interrupts. */
import assert from 'node:assert/strict';
import { COMPLETION_BYTES, type DsaDescriptor, DsaQueue, decodeCompletion } from '../client/dsa.js';
import { Ioasid } from '../client/ioasid.js';
import type { MemoryFile, Transport } from '../client/transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Opcode, Status } from '../devices/dsa/descriptor.js';
import { refused } from '../testkit/refused.js';
import { setU64 } from '../uapi/struct.js';
import { DATA_IOVA } from './checksum.js';
import { withChecksum } from './native.js';
import { eventually, PAGE, rulesOf, served } from './rule.js';

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
    return served(this.device, () => record().status !== 0) ? record() : undefined;
  }
}

const rule = rulesOf('ioasid');

rule(
  'two mediated devices of one function are isolated from each other, and each translates its own vpasids',
  (transport) => {
    const [one, two] = [new Queue(transport, 'vfio1'), new Queue(transport, 'vfio2')];
    const ioasid = Ioasid.open(transport);
    const [mine, theirs] = [ioasid.alloc(), ioasid.alloc()];
    const files = [transport.createMemfd(PAGE), transport.createMemfd(PAGE)] as const;
    ioasid.mapFile(mine, files[0].fd, 0, PAGE, { iova: DATA_IOVA });
    ioasid.mapFile(theirs, files[1].fd, 0, PAGE, { iova: DATA_IOVA });
    one.device.authorize(ioasid, mine, 5);
    two.device.authorize(ioasid, theirs, 5);
    const fill = (pasid: number, byte: number): DsaDescriptor => ({
      opcode: Opcode.FILL,
      pasid,
      completion: DATA_IOVA,
      pattern: [byte * 0x01010101, byte * 0x01010101],
      destination: DATA_IOVA + 64,
      size: 64,
    });
    assert.equal(one.run(files[0], 0, fill(5, 0x11))?.status, Status.SUCCESS);
    assert.equal(two.run(files[1], 0, fill(5, 0x22))?.status, Status.SUCCESS);
    assert.equal(files[0].read(64, 1)[0], 0x11);
    assert.equal(files[1].read(64, 1)[0], 0x22);
    // The PASID of the other has an entry for their common requester id, but is not in this one's list.
    for (const pasid of [theirs, mine, 6]) {
      assert.equal(one.run(files[1], 0, fill(pasid, 0x33)), undefined);
      assert.equal(files[1].read(64, 1)[0], 0x22);
    }
    refused(() => one.device.authorize(ioasid, theirs, 5), 'EEXIST', /vpasid 5/);
    one.device.authorize(ioasid, theirs, 7);
    assert.equal(one.run(files[1], 0, fill(7, 0x44))?.status, Status.SUCCESS);
    one.device.revoke(theirs);
    assert.equal(
      two.run(files[1], 0, fill(5, 0x55))?.status,
      Status.SUCCESS,
      'a grant of the other mdev is left alone',
    );
    for (const file of [ioasid, one.device, two.device]) file.close();
  },
);

rule('a function whose requests carry no PASID uses the one PASID that it is authorized for', (transport) => {
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

rule('an interrupt arrives at the eventfd of the caller', (transport) => {
  const { checksum, ioasid, pasid } = withChecksum(transport);
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

rule('a write to an ioeventfd is the write to the register, and to that of UNMASK an unmask', (transport) => {
  const edu = VfioDeviceFile.open(transport, 'vfio3');
  edu.enable();
  const [raise, unmask, event] = [1, 2, 3].map(() => transport.createEventfd());
  const ring = (fd: number) => transport.write(fd, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
  edu.setEventfds(0, 0, [event!.fd]);
  edu.setUnmaskEventfd(unmask!.fd);
  edu.setIoEventfd(raise!.fd, 0, 0x60, 4, 5n);
  ring(raise!.fd);
  assert.equal(edu.read32(0, 0x24), 5, 'no call overtakes it');
  assert.equal(event!.take(), 1);
  ring(unmask!.fd);
  edu.read32(0, 0x24);
  assert.equal(event!.take(), 1, 'the line is still high');
  assert.deepEqual([raise!.take(), unmask!.take()], [0, 0], 'what was written has been taken');
  edu.close();
});
