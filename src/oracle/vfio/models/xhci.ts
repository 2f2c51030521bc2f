/**
 * The interrupters of QEMU's nec-usb-xhci (eXtensible Host Controller Interface 1.2 §4.17): the least device
 * that has several messages of MSI, and both MSI and MSI-X. Interrupter n signals by message n when a program
 * moves its dequeue pointer away from where its event ring ends, which is all that it does here.
 *
 * Nothing of USB is here: no ports, no slots, no rings but those of events, which stay empty.
 */
import type { DeviceFactory, DeviceHost, DeviceModel } from '../../../devices/device-model.js';
import { NO_PASID } from '../../../iommu/pasid.js';

const COMMAND = 0x40;
const COMMAND_BITS = 0xc0f;
const RESET = 2;
const INTERRUPTS = 4;
/** Interrupter n begins n times INTERRUPTER_BYTES behind. */
const FIRST_INTERRUPTER = 0x1020;
const INTERRUPTER_BYTES = 0x20;
const INTERRUPTERS = 16;

/** Registers of an interrupter. */
const MANAGEMENT = 0x00;
const TABLE_SIZE = 0x08;
const TABLE = 0x10;
const TABLE_HIGH = 0x14;
const DEQUEUE = 0x18;
const DEQUEUE_HIGH = 0x1c;

const PENDING = 1;
const ENABLED = 2;
const BUSY = 8;
const EVENT_BYTES = 16;

interface Interrupter {
  management: number;
  tableSize: number;
  table: number;
  tableHigh: number;
  dequeue: number;
  dequeueHigh: number;
  ringStart: number;
  ringEvents: number;
}

const emptyInterrupter = (): Interrupter => ({
  management: 0,
  tableSize: 0,
  table: 0,
  tableHigh: 0,
  dequeue: 0,
  dequeueHigh: 0,
  ringStart: 0,
  ringEvents: 0,
});

class Xhci implements DeviceModel {
  readonly pci = {
    vendorId: 0x1033,
    deviceId: 0x0194,
    classCode: 0x0c0330,
    conventional: true,
    revision: 0x03,
    subsystemVendorId: 0x1af4,
    subsystemId: 0x1100,
    bars: [{ index: 0, size: 0x4000, is64: true }],
    intx: true,
    msi: INTERRUPTERS,
    msix: { vectors: INTERRUPTERS, bar: 0, tableOffset: 0x3000, pbaOffset: 0x3800 },
  } as const;

  readonly #host: DeviceHost;
  #command = 0;
  #interrupters: Interrupter[] = [];

  constructor(host: DeviceHost) {
    this.#host = host;
    this.reset();
  }

  readBar(_bar: number, _offset: number, target: Uint8Array): void {
    target.fill(0);
  }

  writeBar(_bar: number, offset: number, source: Uint8Array): void {
    if (source.length !== 4) return;
    const value = new DataView(source.buffer, source.byteOffset, 4).getUint32(0, true);
    if (offset === COMMAND) this.#writeCommand(value);
    const at = offset - FIRST_INTERRUPTER;
    const interrupter = this.#interrupters[Math.floor(at / INTERRUPTER_BYTES)];
    if (interrupter !== undefined) this.#write(interrupter, at % INTERRUPTER_BYTES, value);
  }

  reset(): void {
    this.#command = 0;
    this.#interrupters = Array.from({ length: INTERRUPTERS }, emptyInterrupter);
  }

  #writeCommand(value: number): void {
    if (value & RESET) this.reset();
    else this.#command = value & COMMAND_BITS;
  }

  #write(interrupter: Interrupter, register: number, value: number): void {
    switch (register) {
      case MANAGEMENT:
        interrupter.management &= value & PENDING ? 0 : PENDING;
        interrupter.management |= value & ENABLED;
        break;
      case TABLE_SIZE:
        interrupter.tableSize = value & 0xffff;
        break;
      case TABLE:
        interrupter.table = (value & ~0xf) >>> 0;
        break;
      case TABLE_HIGH:
        interrupter.tableHigh = value;
        this.#readTable(interrupter);
        break;
      case DEQUEUE:
        interrupter.dequeue = (value & ~0xf) >>> 0;
        if (value & BUSY) this.#signal(interrupter);
        break;
      case DEQUEUE_HIGH:
        interrupter.dequeueHigh = value;
        break;
    }
  }

  /** The table has one entry: where the ring of events begins, and how many there is room for. */
  #readTable(interrupter: Interrupter): void {
    const entry = new DataView(new ArrayBuffer(16));
    const address = interrupter.table + interrupter.tableHigh * 2 ** 32;
    if (interrupter.tableSize === 1) this.#host.dma.read(NO_PASID, address, new Uint8Array(entry.buffer));
    interrupter.ringStart = entry.getUint32(0, true);
    interrupter.ringEvents = entry.getUint32(8, true);
  }

  /** A message is what clears the pending bit again. INTx, which interrupter 0 alone has, is not here. */
  #signal(interrupter: Interrupter): void {
    const { dequeue, ringStart, ringEvents, management } = interrupter;
    const end = ringStart + ringEvents * EVENT_BYTES;
    if (dequeue < ringStart + EVENT_BYTES || dequeue >= end) return;
    const signals = management === ENABLED && (this.#command & INTERRUPTS) !== 0;
    if (signals) this.#host.interrupt(this.#interrupters.indexOf(interrupter));
    else interrupter.management |= PENDING;
  }
}

const createXhci: DeviceFactory = (host) => new Xhci(host);

export default createXhci;
