/**
 * The test registers of QEMU's rocker switch (QEMU, docs/specs/rocker): the least device with MSI-X that
 * interrupts when it is told to, and fills, clears or inverts memory by DMA.
 *
 * Nothing of the switch itself is here: its descriptor rings and ports are no registers of this model.
 */

import type { DeviceFactory, DeviceHost, DeviceModel } from '../../../devices/device-model.js';
import { NO_PASID } from '../../../iommu/pasid.js';

const TEST_REGISTER = 0x10;
const TEST_REGISTER_64 = 0x18;
const TEST_INTERRUPT = 0x20;
const TEST_DMA_ADDRESS = 0x28;
const TEST_DMA_SIZE = 0x30;
const TEST_DMA_CONTROL = 0x34;
const REGISTERS_END = 0x38;
const BOGUS_END = 0x10;
const BOGUS = 0xdeadbabe;

const CLEAR = 1;
const FILL = 2;
const INVERT = 4;
const FILLED = 0x96;
const VECTORS = 4;

class Rocker implements DeviceModel {
  readonly pci = {
    vendorId: 0x1b36,
    deviceId: 0x0006,
    classCode: 0x028000,
    conventional: true,
    revision: 0x01,
    subsystemVendorId: 0x1af4,
    subsystemId: 0x1100,
    bars: [
      { index: 0, size: 0x2000 },
      { index: 1, size: 0x2000 },
    ],
    msix: { vectors: VECTORS, bar: 1, tableOffset: 0, pbaOffset: 0x1000 },
  } as const;

  readonly #host: DeviceHost;
  readonly #registers = new DataView(new ArrayBuffer(REGISTERS_END));
  #low = 0;

  constructor(host: DeviceHost) {
    this.#host = host;
  }

  readBar(bar: number, offset: number, target: Uint8Array): void {
    if (bar !== 0) return;
    const view = new DataView(target.buffer, target.byteOffset, target.length);
    if (target.length === 8) view.setBigUint64(0, this.#read64(offset), true);
    else if (target.length === 4) view.setUint32(0, this.#read32(offset), true);
  }

  writeBar(bar: number, offset: number, source: Uint8Array): void {
    if (bar !== 0) return;
    const view = new DataView(source.buffer, source.byteOffset, source.length);
    if (source.length === 8) this.#write64(offset, view.getBigUint64(0, true));
    else if (source.length === 4) this.#write32(offset, view.getUint32(0, true));
  }

  reset(): void {
    for (let at = 0; at < REGISTERS_END; at += 4) this.#registers.setUint32(at, 0, true);
    this.#low = 0;
  }

  #read32(offset: number): number {
    if (offset < BOGUS_END) return BOGUS;
    switch (offset) {
      case TEST_REGISTER:
        return this.#registers.getUint32(offset, true) * 2;
      case TEST_REGISTER_64:
        return Number(this.#twice() & 0xffffffffn);
      case TEST_REGISTER_64 + 4:
        return Number(this.#twice() >> 32n);
      case TEST_DMA_SIZE:
      case TEST_DMA_ADDRESS:
      case TEST_DMA_ADDRESS + 4:
        return this.#registers.getUint32(offset, true);
      default:
        return 0;
    }
  }

  #read64(offset: number): bigint {
    if (offset === 0 || offset === 8) return (BigInt(BOGUS) << 32n) | BigInt(BOGUS);
    if (offset === TEST_REGISTER_64) return this.#twice();
    return offset === TEST_DMA_ADDRESS ? this.#registers.getBigUint64(offset, true) : 0n;
  }

  #twice(): bigint {
    return BigInt.asUintN(64, this.#registers.getBigUint64(TEST_REGISTER_64, true) * 2n);
  }

  /** Halves of a 64-bit register are written lower first. The upper takes effect, with the lower once. */
  #write32(offset: number, value: number): void {
    switch (offset) {
      case TEST_REGISTER:
        this.#registers.setUint32(offset, value, true);
        break;
      case TEST_DMA_SIZE:
        this.#registers.setUint32(offset, value & 0xffff, true);
        break;
      case TEST_REGISTER_64:
      case TEST_DMA_ADDRESS:
        this.#low = value;
        break;
      case TEST_REGISTER_64 + 4:
      case TEST_DMA_ADDRESS + 4:
        this.#registers.setUint32(offset - 4, this.#low, true);
        this.#registers.setUint32(offset, value, true);
        this.#low = 0;
        break;
      case TEST_INTERRUPT:
        if (value < VECTORS) this.#host.interrupt(value);
        break;
      case TEST_DMA_CONTROL:
        this.#dma(value);
        break;
    }
  }

  #write64(offset: number, value: bigint): void {
    if (offset === TEST_REGISTER_64 || offset === TEST_DMA_ADDRESS)
      this.#registers.setBigUint64(offset, value, true);
  }

  #dma(control: number): void {
    const iova = Number(this.#registers.getBigUint64(TEST_DMA_ADDRESS, true));
    const bytes = new Uint8Array(this.#registers.getUint32(TEST_DMA_SIZE, true));
    if (control === INVERT) {
      this.#host.dma.read(NO_PASID, iova, bytes);
      for (let n = 0; n < bytes.length; n++) bytes[n]! ^= 0xff;
    } else if (control === FILL) bytes.fill(FILLED);
    else if (control !== CLEAR) return;
    this.#host.dma.write(NO_PASID, iova, bytes);
    this.#host.interrupt(2);
  }
}

const createRocker: DeviceFactory = (host) => new Rocker(host);

export default createRocker;
