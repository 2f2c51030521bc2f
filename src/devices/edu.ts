/**
 * edu, QEMU's teaching device (PCI 1234:11e8; QEMU, docs/specs/edu): the smallest complete device model in
 * this folder.
 *
 * It inverts a number, computes factorials, raises interrupts on request, and copies between memory and a
 * buffer of its own. The two slow things, a factorial and a DMA, are started by a register write and done by
 * `step()`; until then their run bit is set and their registers keep their values. It has no PASID
 * capability: its DMA carries none.
 */
import {
  type DeviceFactory,
  type DeviceHost,
  type DeviceModel,
  NO_PASID,
  type PciDescription,
} from './device-model.js';

/** The registers by their offset in BAR 0: those from 0x80 on are 64 bits wide, the others 32. */
const Register = {
  identification: 0x00,
  liveness: 0x04,
  factorial: 0x08,
  status: 0x20,
  causes: 0x24,
  raise: 0x60,
  acknowledge: 0x64,
  source: 0x80,
  destination: 0x88,
  count: 0x90,
  command: 0x98,
} as const;
const REGISTERS_END = 0xa0;
const READABLE = new Set<number>(
  Object.values(Register).filter((offset) => offset !== Register.raise && offset !== Register.acknowledge),
);

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
  };

  readonly #host: DeviceHost;
  readonly #mask: readonly [low: number, high: number];
  readonly #buffer = new Uint8Array(BUFFER_SIZE);
  readonly #bytes = new Uint8Array(REGISTERS_END);
  readonly #registers = new DataView(this.#bytes.buffer);

  constructor(host: DeviceHost, mask: bigint) {
    this.#host = host;
    this.#mask = [Number(mask & 0xffffffffn), Number(mask >> 32n)];
    this.reset();
  }

  /**
   * What is not a readable register, or is read with another size than its own, reads as all ones, as QEMU's
   * does.
   */
  readBar(_bar: number, offset: number, target: Uint8Array): void {
    if (READABLE.has(offset) && fits(offset, target.length))
      target.set(this.#bytes.subarray(offset, offset + target.length));
    else target.fill(0xff);
  }

  writeBar(_bar: number, offset: number, source: Uint8Array): void {
    if (!fits(offset, source.length)) return;
    const view = new DataView(source.buffer, source.byteOffset, source.length);
    const value = view.getUint32(0, true);
    if (offset === Register.liveness) this.#set(Register.liveness, ~value);
    else if (offset === Register.factorial) this.#startFactorial(value);
    else if (offset === Register.status)
      this.#set(
        Register.status,
        (this.#get(Register.status) & STATUS_COMPUTING) | (value & STATUS_INTERRUPT),
      );
    else if (offset === Register.raise) this.#raise(value);
    else if (offset === Register.acknowledge) this.#set(Register.causes, this.#get(Register.causes) & ~value);
    else if (offset >= Register.source)
      this.#setDmaRegister(offset, value, source.length === 8 ? view.getUint32(4, true) : 0);
  }

  reset(): void {
    this.#bytes.fill(0);
    this.#buffer.fill(0);
    this.#set(Register.identification, 0x010000ed);
  }

  step(): void {
    if (this.#computing) this.#finishFactorial();
    if (this.#running) this.#finishDma();
  }

  busy(): boolean {
    return this.#computing || this.#running;
  }

  get #computing(): boolean {
    return (this.#get(Register.status) & STATUS_COMPUTING) !== 0;
  }

  get #running(): boolean {
    return (this.#get(Register.command) & COMMAND_RUN) !== 0;
  }

  #get(register: number): number {
    return this.#registers.getUint32(register, true);
  }

  #set(register: number, value: number): void {
    this.#registers.setUint32(register, value, true);
  }

  #raise(causes: number): void {
    this.#set(Register.causes, this.#get(Register.causes) | causes);
    if (this.#get(Register.causes) !== 0) this.#host.interrupt(0);
  }

  #startFactorial(n: number): void {
    if (this.#computing) return;
    this.#set(Register.factorial, n);
    this.#set(Register.status, this.#get(Register.status) | STATUS_COMPUTING);
  }

  #finishFactorial(): void {
    // 34! is the first factorial whose low 32 bits are all zero, and so are those of every later one.
    const n = Math.min(this.#get(Register.factorial), 34);
    let product = 1;
    for (let factor = 2; factor <= n; factor++) product = Math.imul(product, factor);
    this.#set(Register.factorial, product);
    this.#set(Register.status, this.#get(Register.status) & ~STATUS_COMPUTING);
    if ((this.#get(Register.status) & STATUS_INTERRUPT) !== 0) this.#raise(CAUSE_FACTORIAL);
  }

  #setDmaRegister(register: number, low: number, high: number): void {
    if (this.#running || (register === Register.command && (low & COMMAND_RUN) === 0)) return;
    this.#set(register, low);
    this.#set(register + 4, high);
  }

  /**
   * At most the buffer's 4 KiB, so one slice. A transfer that faults, or lies outside the buffer, ends like
   * any other.
   */
  #finishDma(): void {
    const command = this.#get(Register.command);
    const toMemory = (command & COMMAND_TO_MEMORY) !== 0;
    const iova = this.#wide(toMemory ? Register.destination : Register.source, ...this.#mask);
    const at = this.#wide(toMemory ? Register.source : Register.destination) - BUFFER_ADDRESS;
    const count = this.#wide(Register.count);
    if (at >= 0 && count > 0 && at + count <= BUFFER_SIZE) {
      if (toMemory) this.#host.dma.write(NO_PASID, iova, this.#buffer, at, count);
      else this.#host.dma.read(NO_PASID, iova, this.#buffer, at, count);
    }
    this.#set(Register.command, command & ~COMMAND_RUN);
    if ((command & COMMAND_INTERRUPT) !== 0) this.#raise(CAUSE_DMA);
  }

  /** A 64-bit register under a mask; inexact from 2^53 on, where there is neither memory nor buffer. */
  #wide(register: number, maskLow = -1, maskHigh = -1): number {
    return ((this.#get(register + 4) & maskHigh) >>> 0) * 2 ** 32 + ((this.#get(register) & maskLow) >>> 0);
  }
}

/** Is an access of `length` bytes at `offset` one to a whole register? 4 bytes below 0x80; 4 or 8 above. */
function fits(offset: number, length: number): boolean {
  if (offset < Register.source) return offset % 4 === 0 && length === 4;
  return offset % 8 === 0 && offset < REGISTERS_END && (length === 4 || length === 8);
}

const createEdu: DeviceFactory = (host, { 'dma-mask': mask = '0xfffffff', ...others }) => {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new Error(`edu has no option "${unknown}", only dma-mask`);
  if (!/^(0x[0-9a-f]{1,16}|[0-9]{1,19})$/i.test(mask))
    throw new Error(`dma-mask "${mask}" is not a number of at most 64 bits`);
  return new Edu(host, BigInt(mask));
};

export default createEdu;
