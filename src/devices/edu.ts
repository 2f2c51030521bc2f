/**
 * edu, QEMU's teaching device (PCI 1234:11e8; QEMU, docs/specs/edu): the smallest complete device model in
 * this folder.
 *
 * It inverts a number, computes factorials, raises interrupts on request, and copies between memory and a
 * buffer of its own. The two slow things, a factorial and a DMA, are started by a register write and done by
 * `step()`; until then their run bit is set and their registers keep their values. It has no PASID
 * capability: its DMA carries none.
 */
import { NO_PASID } from '../iommu/pasid.js';
import { hex } from '../linux/errno.js';
import type { DeviceFactory, DeviceHost, DeviceModel, PciDescription } from './device-model.js';
import { optional, parseOptions } from './options.js';
import { type RegisterDescription, Registers } from './registers.js';

/** Registers that the model itself uses, by their offset in BAR 0. */
const LIVENESS = 0x04;
const FACTORIAL = 0x08;
const STATUS = 0x20;
const CAUSES = 0x24;
const SOURCE = 0x80;
const DESTINATION = 0x88;
const COUNT = 0x90;
const COMMAND = 0x98;

const STATUS_COMPUTING = 0x01;
const STATUS_INTERRUPT = 0x80;
const COMMAND_RUN = 0x1;
const COMMAND_TO_MEMORY = 0x2;
const COMMAND_INTERRUPT = 0x4;
const CAUSE_FACTORIAL = 0x001;
const CAUSE_DMA = 0x100;

/** The internal buffer, as the DMA engine addresses it. The program cannot read it through the BAR. */
const BUFFER_ADDRESS = 0x40000;
const BUFFER_SIZE = 4096;

class Edu implements DeviceModel {
  readonly pci: PciDescription = {
    vendorId: 0x1234,
    deviceId: 0x11e8,
    classCode: 0x00ff00,
    revision: 0x10,
    subsystemVendorId: 0x1af4,
    subsystemId: 0x1100,
    bars: [{ index: 0, size: 1 << 20 }],
    intx: true,
    msi: 1,
    conventional: 'strict',
  };

  readonly #host: DeviceHost;
  readonly #mask: readonly [low: number, high: number];
  readonly #buffer = new Uint8Array(BUFFER_SIZE);
  readonly #registers: Registers;
  /** A 32-bit write to a 64-bit register, as the 64-bit one that it is. */
  readonly #extended = new Uint8Array(8);

  constructor(host: DeviceHost, mask: bigint) {
    this.#host = host;
    this.#mask = [Number(mask & 0xffffffffn), Number(mask >> 32n)];
    this.#registers = new Registers(this.#table(), 'ones');
  }

  /** Accesses of another size than a register's own find nothing there; 64-bit ones take 32 bits too. */
  #table(): readonly RegisterDescription[] {
    const u32 = { width: 4, sizes: [4] } as const;
    const u64 = { width: 8, sizes: [4, 8], locked: () => this.#running } as const;
    return [
      { name: 'identification', offset: 0x00, ...u32, access: 'ro', reset: 0x010000ed },
      { name: 'liveness', offset: LIVENESS, ...u32, access: 'rw', write: (n) => this.#set(LIVENESS, ~n) },
      {
        name: 'factorial',
        offset: FACTORIAL,
        ...u32,
        access: 'rw',
        write: (n) => this.#startFactorial(n),
      },
      { name: 'status', offset: STATUS, ...u32, access: 'rw', bits: STATUS_INTERRUPT },
      { name: 'causes', offset: CAUSES, ...u32, access: 'ro' },
      { name: 'raise', offset: 0x60, ...u32, access: 'wo', write: (n) => this.#raise(n) },
      { name: 'acknowledge', offset: 0x64, ...u32, access: 'wo', write: (n) => this.#acknowledge(n) },
      { name: 'source', offset: SOURCE, ...u64, access: 'rw' },
      { name: 'destination', offset: DESTINATION, ...u64, access: 'rw' },
      { name: 'count', offset: COUNT, ...u64, access: 'rw' },
      { name: 'command', offset: COMMAND, ...u64, access: 'rw', write: (lo, hi) => this.#startDma(lo, hi) },
    ];
  }

  /** Less than 32 bits never reach QEMU's: they read as zeros, and not as ones. */
  readBar(_bar: number, offset: number, target: Uint8Array): void {
    if (target.length < 4) target.fill(0);
    else this.#registers.read(offset, target);
  }

  /** 32 bits that are written into a 64-bit register leave zeros above them, as in QEMU's. */
  writeBar(_bar: number, offset: number, source: Uint8Array): void {
    const extend = offset >= SOURCE && source.length === 4;
    if (extend) this.#extended.set(source);
    this.#registers.write(offset, extend ? this.#extended : source);
  }

  registerName(_bar: number, offset: number): string | undefined {
    return this.#registers.nameOf(offset);
  }

  reset(): void {
    this.#registers.reset();
    this.#buffer.fill(0);
  }

  step(): void {
    if (this.#computing) this.#finishFactorial();
    if (this.#running) this.#finishDma();
  }

  busy(): boolean {
    return this.#computing || this.#running;
  }

  get #computing(): boolean {
    return (this.#get(STATUS) & STATUS_COMPUTING) !== 0;
  }

  get #running(): boolean {
    return (this.#get(COMMAND) & COMMAND_RUN) !== 0;
  }

  /** The low word: all of a narrow register, and the flags of the command. */
  #get(offset: number): number {
    return this.#registers.low(offset);
  }

  #set(offset: number, value: number): void {
    this.#registers.set(offset, value);
  }

  /** While there is a cause the INTx line is high; as a message, each raise is an interrupt. */
  #raise(causes: number): void {
    this.#set(CAUSES, this.#get(CAUSES) | causes);
    if (this.#get(CAUSES) === 0) return;
    this.#host.intx(true);
    this.#host.interrupt(0);
  }

  #acknowledge(causes: number): void {
    this.#set(CAUSES, this.#get(CAUSES) & ~causes);
    if (this.#get(CAUSES) === 0) this.#host.intx(false);
  }

  #startFactorial(n: number): void {
    if (this.#computing) return;
    this.#set(FACTORIAL, n);
    this.#set(STATUS, this.#get(STATUS) | STATUS_COMPUTING);
  }

  #finishFactorial(): void {
    // 34! is the first factorial whose low 32 bits are all zero, and so are those of every later one.
    const n = Math.min(this.#get(FACTORIAL), 34);
    let product = 1;
    for (let factor = 2; factor <= n; factor++) product = Math.imul(product, factor);
    this.#set(FACTORIAL, product);
    this.#set(STATUS, this.#get(STATUS) & ~STATUS_COMPUTING);
    if ((this.#get(STATUS) & STATUS_INTERRUPT) !== 0) this.#raise(CAUSE_FACTORIAL);
  }

  /** A command without the run bit is no command. */
  #startDma(low: number, high: number): void {
    if ((low & COMMAND_RUN) !== 0) this.#registers.set(COMMAND, low, high);
  }

  /**
   * At most the buffer's 4 KiB, so one slice. A transfer that faults, or lies outside the buffer, ends like
   * any other.
   */
  #finishDma(): void {
    const command = this.#get(COMMAND);
    const toMemory = (command & COMMAND_TO_MEMORY) !== 0;
    const iova = this.#maskedAddress(toMemory ? DESTINATION : SOURCE);
    const at = this.#registers.get(toMemory ? SOURCE : DESTINATION) - BUFFER_ADDRESS;
    const count = this.#registers.get(COUNT);
    if (at >= 0 && count > 0 && at + count <= BUFFER_SIZE) {
      if (toMemory) this.#host.dma.write(NO_PASID, iova, this.#buffer, at, count);
      else this.#host.dma.read(NO_PASID, iova, this.#buffer, at, count);
    } else {
      const buffer = `its buffer of ${BUFFER_SIZE} at ${hex(BUFFER_ADDRESS)}`;
      this.#host.note(`a transfer of ${count} bytes at ${hex(at + BUFFER_ADDRESS)} is not within ${buffer}`);
    }
    this.#registers.set(COMMAND, command & ~COMMAND_RUN, this.#registers.high(COMMAND));
    if ((command & COMMAND_INTERRUPT) !== 0) this.#raise(CAUSE_DMA);
  }

  /** What a register says under the DMA mask; inexact from 2^53 on, where there is no memory. */
  #maskedAddress(offset: number): number {
    const low = (this.#registers.low(offset) & this.#mask[0]) >>> 0;
    const high = (this.#registers.high(offset) & this.#mask[1]) >>> 0;
    return low + high * 2 ** 32;
  }
}

/** 28 bits without the option, as QEMU's. */
function parseMask(text = '0xfffffff'): bigint {
  if (!/^(0x[0-9a-f]{1,16}|[0-9]{1,19})$/i.test(text))
    throw new Error(`dma-mask "${text}" is not a number of at most 64 bits`);
  return BigInt(text);
}

export const summary = "QEMU's teaching device with its DMA engine, 1234:11e8: no PASIDs";

export const options = {
  'dma-mask': optional('address bits that its DMA engine has', 'a number of 64 bits', '0xfffffff', parseMask),
};

const createEdu: DeviceFactory = (host, given) =>
  new Edu(host, parseOptions('edu', options, given)['dma-mask']);

export default createEdu;
