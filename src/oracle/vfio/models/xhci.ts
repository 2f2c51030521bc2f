/**
 * QEMU's nec-usb-xhci without USB (eXtensible Host Controller Interface 1.2): its capability, operational and
 * runtime registers, and its interrupters (§4.17). It is the least device that has several messages of MSI,
 * and both MSI and MSI-X; interrupter 0 also has the INTx line.
 *
 * No events are ever put into the event rings. An interrupter signals when a program moves its dequeue
 * pointer away from where its ring ends, and no command ring or port does anything.
 */
import type { DeviceFactory, DeviceHost, DeviceModel } from '../../../devices/device-model.js';
import { type RegisterDescription, Registers } from '../../../devices/registers.js';
import { NO_PASID } from '../../../iommu/pasid.js';

const INTERRUPTERS = 16;
/** Interrupter n begins n times INTERRUPTER_BYTES behind. */
const FIRST_INTERRUPTER = 0x1020;
const INTERRUPTER_BYTES = 0x20;

const COMMAND = 0x40;
const STATUS = 0x44;
/** Bits of USBCMD. */
const Command = { RUN: 1, RESET: 2, INTERRUPTS: 4, SAVE: 0x100, RESTORE: 0x200, KEPT: 0xc0f } as const;
/** Bits of USBSTS. */
const Status = { HALTED: 1, INTERRUPT: 8, CLEARED: 0x41c, RESTORE_ERROR: 0x400, ERROR: 0x1000 } as const;

/** Registers of an interrupter. */
const [MANAGEMENT, TABLE_SIZE, TABLE, DEQUEUE, DEQUEUE_HIGH] = [0x00, 0x08, 0x10, 0x18, 0x1c] as const;
const PENDING = 1;
const ENABLED = 2;
/** Of ERDP: an event is being handled. */
const BUSY = 8;
const EVENT_BYTES = 16;
const SMALLEST_RING = 16;
const LARGEST_RING = 4096;

const fixed: readonly RegisterDescription[] = [
  { name: 'CAPLENGTH', offset: 0x00, width: 4, access: 'ro', reset: 0x01000040 },
  { name: 'HCSPARAMS1', offset: 0x04, width: 4, access: 'ro', reset: 0x08001040 },
  { name: 'HCSPARAMS2', offset: 0x08, width: 4, access: 'ro', reset: 0x0f },
  { name: 'HCCPARAMS1', offset: 0x10, width: 4, access: 'ro', reset: 0x00087001 },
  { name: 'DBOFF', offset: 0x14, width: 4, access: 'ro', reset: 0x2000 },
  { name: 'RTSOFF', offset: 0x18, width: 4, access: 'ro', reset: 0x1000 },
  { name: 'USB2', offset: 0x20, width: 4, access: 'ro', reset: 0x02000402 },
  { name: 'USB2.NAME', offset: 0x24, width: 4, access: 'ro', reset: 0x20425355 },
  { name: 'USB2.PORTS', offset: 0x28, width: 4, access: 'ro', reset: 0x0405 },
  { name: 'USB3', offset: 0x30, width: 4, access: 'ro', reset: 0x03000002 },
  { name: 'USB3.NAME', offset: 0x34, width: 4, access: 'ro', reset: 0x20425355 },
  { name: 'USB3.PORTS', offset: 0x38, width: 4, access: 'ro', reset: 0x0401 },
  { name: 'PAGESIZE', offset: 0x48, width: 4, access: 'ro', reset: 1 },
  { name: 'DNCTRL', offset: 0x54, width: 4, access: 'rw', bits: 0xffff },
  { name: 'CRCR', offset: 0x58, width: 4, access: 'rw', bits: 0xffffffc1 },
  { name: 'CRCR.HIGH', offset: 0x5c, width: 4, access: 'rw' },
  { name: 'DCBAAP', offset: 0x70, width: 4, access: 'rw', bits: 0xffffffc0 },
  { name: 'DCBAAP.HIGH', offset: 0x74, width: 4, access: 'rw' },
  { name: 'CONFIG', offset: 0x78, width: 4, access: 'rw', bits: 0xff },
];

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
  readonly #registers: Registers;
  /** Of each interrupter's ring: where it begins, and how many events there is room for. */
  readonly #rings = Array.from({ length: INTERRUPTERS }, () => ({ start: 0, events: 0 }));

  constructor(host: DeviceHost) {
    this.#host = host;
    const interrupter = (
      name: string,
      offset: number,
      bits: number,
      write?: RegisterDescription['write'],
    ): RegisterDescription => ({
      name: `IR[].${name}`,
      offset: FIRST_INTERRUPTER + offset,
      width: 4,
      access: 'rw',
      bits,
      count: INTERRUPTERS,
      stride: INTERRUPTER_BYTES,
      ...(write && { write }),
    });
    this.#registers = new Registers([
      ...fixed,
      {
        ...{ name: 'USBCMD', offset: COMMAND, width: 4, access: 'rw' },
        write: (value) => this.#command(value),
      },
      {
        ...{ name: 'USBSTS', offset: STATUS, width: 4, access: 'w1c', reset: Status.HALTED },
        ...{ bits: Status.CLEARED, write: (value) => this.#clearStatus(value) },
      },
      interrupter('IMAN', MANAGEMENT, 3, (value, _high, n) => this.#manage(n, value)),
      interrupter('IMOD', 0x04, 0xffffffff),
      interrupter('ERSTSZ', TABLE_SIZE, 0xffff),
      interrupter('ERSTBA', TABLE, 0xfffffff0),
      interrupter('ERSTBA.HIGH', TABLE + 4, 0xffffffff, (value, _high, n) => this.#setTable(n, value)),
      interrupter('ERDP', DEQUEUE, 0xffffffff, (value, _high, n) => this.#dequeue(n, value)),
      interrupter('ERDP.HIGH', DEQUEUE_HIGH, 0xffffffff),
    ]);
  }

  /** Registers are read and written by 4 bytes, those of capabilities by their first bytes, too. */
  readBar(_bar: number, offset: number, target: Uint8Array): void {
    target.fill(0);
    if (offset < COMMAND && offset % 4 === 0) this.#registers.read(offset, target);
    else
      for (let at = 0; at + 4 <= target.length; at += 4)
        this.#registers.read(offset + at, target.subarray(at, at + 4));
  }

  writeBar(_bar: number, offset: number, source: Uint8Array): void {
    for (let at = 0; at + 4 <= source.length; at += 4)
      this.#registers.write(offset + at, source.subarray(at, at + 4));
  }

  reset(): void {
    this.#registers.reset();
    for (const ring of this.#rings) ring.start = ring.events = 0;
  }

  #command(value: number): void {
    const halted = (value & Command.RUN) === 0 ? Status.HALTED : 0;
    let status = (this.#get(STATUS) & ~Status.HALTED) | halted;
    if (value & Command.SAVE) status &= ~Status.RESTORE_ERROR;
    if (value & Command.RESTORE) status |= Status.RESTORE_ERROR;
    this.#set(STATUS, status);
    this.#set(COMMAND, value & Command.KEPT);
    // Rings stay where they are: they are no registers.
    if (value & Command.RESET) this.#registers.reset();
    this.#drive();
  }

  #clearStatus(value: number): void {
    this.#set(STATUS, value);
    this.#drive();
  }

  /** The pending bit is cleared by a one, and kept by a zero. */
  #manage(n: number, value: number): void {
    const at = place(n, MANAGEMENT);
    const pending = value & PENDING ? 0 : this.#get(at) & PENDING;
    this.#set(at, pending | (value & ENABLED));
    if (n === 0) this.#drive();
  }

  /** The table of a ring's segments has one entry: where the ring begins, and for how many events it is. */
  #setTable(n: number, high: number): void {
    this.#set(place(n, TABLE + 4), high);
    const ring = this.#rings[n]!;
    const address = this.#get(place(n, TABLE)) + high * 2 ** 32;
    const segments = this.#get(place(n, TABLE_SIZE));
    if (segments === 0 || address === 0) {
      ring.start = ring.events = 0;
      return;
    }
    const entry = new DataView(new ArrayBuffer(16));
    const bytes = new Uint8Array(entry.buffer);
    const found = segments === 1 && this.#host.dma.read(NO_PASID, address, bytes) === undefined;
    const events = entry.getUint32(8, true);
    if (!found || events < SMALLEST_RING || events > LARGEST_RING) {
      this.#set(STATUS, this.#get(STATUS) | Status.ERROR);
      return;
    }
    ring.start = entry.getUint32(0, true) + entry.getUint32(4, true) * 2 ** 32;
    ring.events = events;
  }

  #dequeue(n: number, value: number): void {
    const at = place(n, DEQUEUE);
    const busy = value & BUSY ? 0 : this.#get(at) & BUSY;
    this.#set(at, ((value & ~BUSY) | busy) >>> 0);
    if ((value & BUSY) === 0) return;
    const { start, events } = this.#rings[n]!;
    const dequeue = this.#get(at) + this.#get(place(n, DEQUEUE_HIGH)) * 2 ** 32;
    const index = Math.floor((dequeue - start) / EVENT_BYTES);
    if (dequeue >= start && dequeue < start + events * EVENT_BYTES && index !== 0) this.#signal(n);
  }

  /** An event is to be handled: the interrupter is pending, and tells unless it has told already. */
  #signal(n: number): void {
    const at = place(n, DEQUEUE);
    const told = (this.#get(at) & BUSY) !== 0;
    this.#set(at, this.#get(at) | BUSY);
    this.#set(place(n, MANAGEMENT), this.#get(place(n, MANAGEMENT)) | PENDING);
    this.#set(STATUS, this.#get(STATUS) | Status.INTERRUPT);
    if (told || !this.#signals(n)) return;
    if (n === 0) this.#drive();
    else this.#send(n);
  }

  /** The line of interrupter 0, or its message. */
  #drive(): void {
    const high = this.#signals(0);
    this.#host.intx(high);
    if (high) this.#send(0);
  }

  /** A message is what clears the pending bit again (§4.17.5). */
  #send(n: number): void {
    if (!this.#host.messages) return;
    this.#host.interrupt(n);
    this.#set(place(n, MANAGEMENT), this.#get(place(n, MANAGEMENT)) & ~PENDING);
    if (n === 0) this.#host.intx(false);
  }

  #signals(n: number): boolean {
    const enabled = (this.#get(COMMAND) & Command.INTERRUPTS) !== 0;
    return enabled && this.#get(place(n, MANAGEMENT)) === (PENDING | ENABLED);
  }

  #get(offset: number): number {
    return this.#registers.low(offset);
  }

  #set(offset: number, value: number): void {
    this.#registers.set(offset, value >>> 0);
  }
}

const place = (n: number, register: number) => FIRST_INTERRUPTER + n * INTERRUPTER_BYTES + register;

const createXhci: DeviceFactory = (host) => new Xhci(host);

export default createXhci;
