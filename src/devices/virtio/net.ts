/**
 * `--device virtio-net`: a network device (virtio 1.3 §5.1) at one end of a wire.
 *
 *     virtio-net,link=wire0,mac=02:00:00:00:00:01,pairs=2,mtu=1500
 *
 * Two devices with one link name are joined; without a link what a device sends comes back to it. Frames go
 * whole and unchanged: nothing is offloaded, and the header before them is always 12 bytes (VERSION_1). What
 * the device does not want (another's address) is dropped; what it has no buffer for waits at its end of the
 * wire.
 *
 * A frame may lie in thousands of parts, each of which may keep everybody waiting. So it is moved by as much
 * as a step may, and others are not begun before it is: one at a time is between wire and memory.
 */
import { integer, optional, parseOptions } from '../options.js';
import type { WireEnd } from '../wire.js';
import { Chain } from './chain.js';
import { has } from './features.js';
import { type NetControls, serveControl } from './net-control.js';
import { NetFeature } from './net-features.js';
import { ADDRESS_BYTES, ReceiveFilter } from './receive-filter.js';
import type { VirtioDescription, VirtioFactory, VirtioModel } from './virtio-model.js';
import type { Virtqueue } from './virtqueue.js';

export const transport = 'virtio';

const BASIC = Object.values(NetFeature).reduce((all, bit) => all | bit) & ~NetFeature.MQ;
/** struct virtio_net_hdr: flags, gso_type, four 16-bit fields, and the number of buffers at byte 10. */
const HEADER_BYTES = 12;
const NUM_BUFFERS = 10;
const ETHERNET_HEADER = 14;
/** A frame may have a VLAN tag beside its header. */
const FRAME_OVERHEAD = ETHERNET_HEADER + 4;
const CONFIG_BYTES = 24;
const LINK_UP = 1;
/** The most parts that one frame is written to: what it has buffers for is one each, as a rule. */
const MOST_PARTS = 4096;

interface NetShape {
  readonly address: Uint8Array;
  readonly pairs: number;
  readonly mtu: number;
}

class Net implements VirtioModel, NetControls {
  readonly virtio: VirtioDescription;
  readonly filter = new ReceiveFilter();
  readonly maxPairs: number;
  pairs = 1;
  readonly #config: DataView;
  readonly #address: Uint8Array;
  readonly #wire: WireEnd;
  /** A header, and a frame behind it. */
  readonly #packet: Uint8Array;
  readonly #longest: number;
  #features = 0n;
  #queues: readonly Virtqueue[] = [];
  /** Frames wait, and there was no buffer for the first. */
  #stalled = false;
  /** The queue of the packet that is moved, of `#length` bytes, `#done` so far; undefined: none is. */
  #moving: Virtqueue | undefined;
  /** The buffers that it comes from, or goes into. */
  readonly #buffers: Chain[] = [];
  #length = 0;
  #done = 0;
  /** The pair by which it is sent; -1: it is received. */
  #pair = -1;
  /** Queues that are to be served when it has been. */
  readonly #waiting = new Set<number>();

  constructor({ address, pairs, mtu }: NetShape, wire: WireEnd) {
    const features = pairs > 1 ? BASIC | NetFeature.MQ : BASIC;
    this.virtio = { deviceId: 1, features, queues: 2 * pairs + 1, inOrder: true, groups: 2 };
    this.maxPairs = pairs;
    this.#wire = wire;
    this.#longest = mtu + FRAME_OVERHEAD;
    this.#packet = new Uint8Array(HEADER_BYTES + this.#longest);
    this.#config = new DataView(new ArrayBuffer(CONFIG_BYTES));
    this.#address = new Uint8Array(this.#config.buffer, 0, ADDRESS_BYTES);
    this.#address.set(address);
    this.#config.setUint16(8, pairs, true);
    this.#config.setUint16(10, mtu, true);
  }

  /** struct virtio_net_config (§5.1.4). */
  get config(): Uint8Array {
    this.#config.setUint16(6, this.#wire.joined ? LINK_UP : 0, true);
    return new Uint8Array(this.#config.buffer);
  }

  /** The link comes and goes. */
  get configChanges(): number {
    return this.#wire.changes;
  }

  /** The address can be written, as older drivers do; it stays, as with a command. */
  writeConfig(offset: number, source: Uint8Array): void {
    if (offset < ADDRESS_BYTES) this.#address.set(source.subarray(0, ADDRESS_BYTES - offset), offset);
  }

  setAddress(address: Uint8Array): void {
    this.#address.set(address);
  }

  /** The control queue has a group of its own: it can be served in an address space of the program's. */
  group(index: number, features: bigint): number {
    return index === this.#controlIndex(features) ? 1 : 0;
  }

  start(features: bigint, queues: readonly Virtqueue[]): void {
    this.#features = features;
    this.#queues = queues;
    this.#wire.clear();
  }

  serve(queue: Virtqueue, index: number): void {
    if (this.#moving !== undefined) {
      this.#waiting.add(index);
      return;
    }
    const control = this.#controlIndex(this.#features);
    if (index === control) {
      if (has(this.#features, NetFeature.CTRL_VQ)) serveControl(queue, this, this.#features);
    } else if (index > control) return;
    else if (index % 2 === 1) {
      if (!this.#transmit(queue, (index - 1) / 2)) this.#waiting.add(index);
    } else {
      this.#stalled = false;
      this.#receive();
    }
  }

  busy(): boolean {
    if (this.#moving !== undefined || this.#waiting.size > 0) return true;
    return this.#wire.waiting && !this.#stalled && this.#queues.length > 0;
  }

  step(): boolean {
    if (this.#moving !== undefined && !this.#move()) return true;
    for (const index of this.#waiting) {
      this.#waiting.delete(index);
      this.serve(this.#queues[index]!, index);
      if (this.#moving !== undefined) return true;
    }
    this.#receive();
    return this.busy();
  }

  /** What is moved now is lost, and its buffers are not out any more. */
  drain(): void {
    if (this.#moving !== undefined) this.#ended(false);
  }

  reset(): void {
    this.#queues = [];
    this.#stalled = false;
    this.#moving = undefined;
    this.#buffers.length = 0;
    this.#waiting.clear();
    this.pairs = 1;
    this.filter.reset();
    this.#wire.clear();
  }

  #controlIndex(features: bigint): number {
    return has(features, NetFeature.MQ) ? 2 * this.maxPairs : 2;
  }

  /**
   * Sends the packets in `queue` (§5.1.6.2). One that is no frame is used like the others, and not sent.
   * @returns false when one of them has to be gone on with.
   */
  #transmit(queue: Virtqueue, pair: number): boolean {
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      const length = chain.readable - HEADER_BYTES;
      this.#buffers.push(chain);
      this.#begin(queue, length, pair);
      if (length < ETHERNET_HEADER || length > this.#longest) this.#ended(false);
      else if (!this.#move()) return false;
    }
    return true;
  }

  #begin(queue: Virtqueue, length: number, pair: number): void {
    this.#moving = queue;
    this.#length = length;
    this.#done = 0;
    this.#pair = pair;
  }

  /** Moves as much of the packet as a step may. @returns whether it has ended. */
  #move(): boolean {
    const [done, length] = [this.#done, this.#length];
    if (this.#pair === -1) this.#done = Chain.fill(this.#buffers, this.#packet, done, length);
    else {
      const [chain] = this.#buffers as [Chain];
      const read = chain.readSome(HEADER_BYTES + done, this.#packet, done, length - done);
      this.#done = chain.faulted ? -1 : done + read;
    }
    if (this.#done >= 0 && this.#done < length) return false;
    this.#ended(this.#done === length);
    return true;
  }

  /** The packet has been moved, or is lost. */
  #ended(whole: boolean): void {
    const queue = this.#moving!;
    this.#moving = undefined;
    const isSent = this.#pair >= 0;
    if (isSent && whole) this.#wire.send(this.#packet, this.#length, this.#pair);
    for (const chain of this.#buffers) queue.put(chain, whole && !isSent ? chain.written : 0);
    this.#buffers.length = 0;
  }

  /** Takes frames from the wire for as long as there are buffers. */
  #receive(): void {
    while (this.#wire.waiting && !this.#stalled) {
      const length = this.#wire.next;
      // A flow is received where it is sent (§5.1.6.5.6).
      const queue = this.#queues[2 * (this.#wire.note % this.pairs)];
      const wanted = length <= this.#longest && queue?.running === true;
      if (wanted) this.#wire.peek(this.#packet, length, HEADER_BYTES);
      if (wanted && this.filter.takes(this.#packet, HEADER_BYTES, this.#address)) {
        if (!this.#collect(queue, HEADER_BYTES + length)) {
          this.#stalled = true;
          return;
        }
        this.#deliver(queue, HEADER_BYTES + length);
      }
      this.#wire.shift();
      if (this.#moving !== undefined) return;
    }
  }

  /** Takes buffers for `bytes`: one, or with MRG_RXBUF as many as are needed. @returns false: not enough. */
  #collect(queue: Virtqueue, bytes: number): boolean {
    const merge = has(this.#features, NetFeature.MRG_RXBUF);
    for (let room = 0; room < bytes; ) {
      const chain = queue.take();
      if (chain === undefined) {
        while (this.#buffers.length > 0) queue.untake(this.#buffers.pop()!);
        return false;
      }
      this.#buffers.push(chain);
      room += chain.writable;
      if (!merge) return true;
    }
    return true;
  }

  /**
   * Writes the packet of `bytes` into the buffers (§5.1.6.4). Where it does not fit, or faults, it is lost.
   */
  #deliver(queue: Virtqueue, bytes: number): void {
    this.#packet.fill(0, 0, HEADER_BYTES);
    this.#packet[NUM_BUFFERS] = this.#buffers.length;
    this.#packet[NUM_BUFFERS + 1] = this.#buffers.length >>> 8;
    const parts = this.#buffers.reduce((sum, chain) => sum + chain.parts, 0);
    const room = this.#buffers.reduce((sum, chain) => sum + chain.writable, 0);
    this.#begin(queue, bytes, -1);
    if (parts > MOST_PARTS || room < bytes) this.#ended(false);
    else this.#move();
  }
}

/** Six bytes in hexadecimal, not of a group. */
function parseAddress(mac: string | undefined): Uint8Array | undefined {
  if (mac === undefined) return undefined;
  if (!/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/i.test(mac))
    throw new Error(`mac "${mac}" is not the address of a device like 02:00:00:00:00:01`);
  return Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
}

export const summary = 'a network device (virtio-net) behind vhost-vdpa';

export const options = {
  link: optional(
    'the wire that it is at; two devices at one are joined',
    'NAME',
    'it hears itself',
    (name) => name,
  ),
  mac: optional('its address', 'like 02:00:00:00:00:01', 'a random one', parseAddress),
  pairs: integer('pairs of receive and transmit queues', 1, 1, 32),
  mtu: integer('largest packet, in bytes', 1500, 68, 65535),
};

/** One of the locally administered, of random bytes. */
function localAddress(random: Uint8Array): Uint8Array {
  return random.with(0, (random[0]! & 0xfc) | 2);
}

const createNet: VirtioFactory = ({ wires, outside }, given) => {
  const { link, mac, pairs, mtu } = parseOptions('virtio-net', options, given);
  const address = mac ?? localAddress(outside.random(ADDRESS_BYTES));
  return new Net({ address, pairs, mtu }, link === undefined ? wires.loop() : wires.end(link));
};

export default createNet;
