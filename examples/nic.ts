/**
 * A network card: two rings of descriptors, moderated interrupts, and a link to another card or a socket.
 *
 *     nic.ts,link=wire0
 *
 * BAR 0, little-endian; queue 0 transmits, queue 1 receives:
 *
 *     0x00 RO u32  1 while somebody is at the other end of the link
 *     0x04 RW u32  PASID of all DMA
 *     0x08 RW u32  microseconds that an interrupt waits for more packets, at most 65535
 *     0x20 + 0x20 * queue:
 *          0x00 RW u64  IOVA of the ring      0x08 RW u32  its descriptors, at most 1024; 0 stops it
 *          0x0c RW u32  tail: where the program adds next   0x10 RO u32  head: where the card is
 *
 * A descriptor has 16 bytes: u64 IOVA of the packet, u32 its length (received: the room for it, then its
 * length), u32 status: 1 done, 2 fault, 3 no room. Vector 0: packets are done; 1: the link has changed.
 */
import type { DeviceFactory, DeviceHost, DeviceModel, Link, PciDescription } from 'ioasid';
import { optional, parseOptions } from 'ioasid/options';
import { Registers } from 'ioasid/registers';

const [LINK, PASID, MODERATION, QUEUES, STRIDE] = [0x00, 0x04, 0x08, 0x20, 0x20];
const [RING, SIZE, TAIL, HEAD] = [0x00, 0x08, 0x0c, 0x10];
const [TRANSMIT, RECEIVE] = [0, 1];
const [DONE, FAULT, NO_ROOM] = [1, 2, 3];
const MOST = 65536;
export const summary = 'a network card with two rings';
export const options = { link: optional('the link that it is on', 'NAME', 'itself', (name) => name) };

const at = (queue: number, field: number) => QUEUES + queue * STRIDE + field;

class Nic implements DeviceModel {
  readonly pci: PciDescription = {
    vendorId: 0x1234,
    deviceId: 0x4e1c,
    classCode: 0x020000,
    bars: [{ index: 0, size: 0x2000 }],
    msix: { vectors: 2, bar: 0, tableOffset: 0x1000, pbaOffset: 0x1800 },
    pasidBits: 20,
  };
  readonly #host: DeviceHost;
  readonly #link: Link;
  readonly #registers: Registers;
  readonly #descriptor = Buffer.alloc(16);
  readonly #packet = new Uint8Array(MOST);
  #changes: number;
  #raised = false;

  constructor(host: DeviceHost, link: Link) {
    this.#host = host;
    this.#link = link;
    this.#changes = link.changes;
    const each = { count: 2, stride: STRIDE };
    const [sizes, tails] = [this.#setSize.bind(this), this.#setTail.bind(this)];
    const registers = new Registers([
      { name: 'LINK', offset: LINK, width: 4, access: 'ro', read: () => registers.set(LINK, +link.joined) },
      { name: 'PASID', offset: PASID, width: 4, access: 'rw', whole: true, write: (n) => this.#setPasid(n) },
      { name: 'MODERATION', offset: MODERATION, width: 4, access: 'rw', bits: 0xffff },
      { name: 'RING[]', offset: QUEUES + RING, width: 8, access: 'rw', ...each },
      { name: 'SIZE[]', offset: QUEUES + SIZE, width: 4, access: 'rw', ...each, write: sizes },
      { name: 'TAIL[]', offset: QUEUES + TAIL, width: 4, access: 'rw', ...each, write: tails },
      { name: 'HEAD[]', offset: QUEUES + HEAD, width: 4, access: 'ro', ...each },
    ]);
    this.#registers = registers;
  }

  readBar(_bar: number, offset: number, target: Uint8Array) {
    this.#registers.read(offset, target);
  }
  writeBar(_bar: number, offset: number, source: Uint8Array) {
    return this.#registers.write(offset, source);
  }
  busy() {
    return this.#ready(TRANSMIT) || this.#ready(RECEIVE) || this.#link.changes !== this.#changes;
  }
  step() {
    if (this.#ready(TRANSMIT)) this.#serve(TRANSMIT);
    if (this.#ready(RECEIVE)) this.#serve(RECEIVE);
    if (this.#link.changes !== this.#changes) this.#host.interrupt(1);
    this.#changes = this.#link.changes;
  }
  reset() {
    this.#registers.reset();
    this.#link.clear();
    this.#raised = false;
    this.#changes = this.#link.changes;
  }

  #ready(queue: number) {
    if (queue === RECEIVE && !this.#link.waiting) return false;
    return this.#registers.get(at(queue, HEAD)) !== this.#registers.get(at(queue, TAIL));
  }
  #setPasid(pasid: number) {
    if (pasid < 2 ** 20 && this.#host.dma.admits(pasid)) this.#registers.set(PASID, pasid);
  }
  #setSize(size: number, _high: number, queue: number) {
    if (size > 1024) return this.#host.note(`queue ${queue} of ${size} descriptors: at most 1024 are taken`);
    for (const field of [SIZE, TAIL, HEAD]) this.#registers.set(at(queue, field), field === SIZE ? size : 0);
  }
  #setTail(tail: number, _high: number, queue: number) {
    if (tail < this.#registers.get(at(queue, SIZE))) this.#registers.set(at(queue, TAIL), tail);
    else this.#host.note(`tail ${tail} of queue ${queue} is none of its descriptors`);
  }

  /** Does what the descriptor at the head of `queue` asks for. */
  #serve(queue: number) {
    const [registers, host, link] = [this.#registers, this.#host, this.#link];
    const pasid = registers.get(PASID);
    const iova = registers.get(at(queue, RING)) + 16 * registers.get(at(queue, HEAD));
    const received = queue === RECEIVE ? link.receive() : undefined;
    if (host.dma.read(pasid, iova, this.#descriptor)) {
      host.note(`queue ${queue} stops: its descriptor at ${iova} cannot be read`);
      return registers.set(at(queue, HEAD), registers.get(at(queue, TAIL)));
    }
    const address = this.#descriptor.readUInt32LE(0) + this.#descriptor.readUInt32LE(4) * 2 ** 32;
    const length = this.#descriptor.readUInt32LE(8);
    const needed = received?.length ?? length;
    if (needed > (received ? length : MOST)) return this.#finish(queue, iova, 0, NO_ROOM);
    const fault = received
      ? host.dma.write(pasid, address, received)
      : host.dma.read(pasid, address, this.#packet, 0, length);
    if (!fault && !received) link.send(this.#packet.subarray(0, length));
    this.#finish(queue, iova, needed, fault ? FAULT : DONE);
  }

  /** Ends the descriptor at the head, and interrupts for all that end soon after. */
  #finish(queue: number, iova: number, length: number, status: number) {
    const [registers, host] = [this.#registers, this.#host];
    this.#descriptor.writeUInt32LE(length, 8);
    this.#descriptor.writeUInt32LE(status, 12);
    host.dma.write(registers.get(PASID), iova, this.#descriptor);
    registers.set(at(queue, HEAD), (registers.get(at(queue, HEAD)) + 1) % registers.get(at(queue, SIZE)));
    if (this.#raised) return;
    this.#raised = true;
    host.after(registers.get(MODERATION), () => {
      this.#raised = false;
      host.interrupt(0);
    });
  }
}

const createNic: DeviceFactory = (host, given) =>
  new Nic(host, host.link(parseOptions('nic', options, given).link));
export default createNic;
