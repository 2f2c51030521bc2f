/**
 * FakeModel: a device model for unit tests. Its BARs are plain memory, and its work is what a test queues:
 * DMA accesses, one for each step.
 */
import type { DeviceHost, DeviceModel, DmaFault, PciDescription } from '../devices/device-model.js';

/** A function with a 64-bit BAR that the MSI-X table lies in, a 32-bit BAR, and all kinds of interrupts. */
export const withoutPasids: PciDescription = {
  vendorId: 0x8086,
  deviceId: 0x0b25,
  classCode: 0x088000,
  bars: [
    { index: 0, size: 0x1_0000, is64: true, prefetchable: true },
    { index: 2, size: 0x1000 },
  ],
  intx: true,
  msi: 4,
  msix: { vectors: 9, bar: 0, tableOffset: 0x2000, pbaOffset: 0x3000 },
};

/** The same with PASIDs of 20 bits. */
export const everything: PciDescription = { ...withoutPasids, pasidBits: 20 };

export interface QueuedDma {
  readonly pasid: number;
  readonly iova: number;
  readonly write: boolean;
  readonly buffer: Uint8Array;
}

export class FakeModel implements DeviceModel {
  readonly pci: PciDescription;
  readonly host: DeviceHost;
  readonly bars: readonly Uint8Array[];
  readonly faults: DmaFault[] = [];
  readonly queue: QueuedDma[] = [];
  resets = 0;
  /** Refuses writes to its BARs, as a full shared work queue does. */
  full = false;
  /** Never gets its work done. */
  stuck = false;
  /** Throws this from every method that a program can reach. */
  broken: Error | undefined;

  constructor(host: DeviceHost, pci: PciDescription = everything) {
    this.host = host;
    this.pci = pci;
    this.bars = [0, 1, 2, 3, 4, 5].map(
      (index) => new Uint8Array(pci.bars.find((bar) => bar.index === index)?.size ?? 0),
    );
  }

  readBar(bar: number, offset: number, target: Uint8Array): void {
    if (this.broken !== undefined) throw this.broken;
    target.set(this.bars[bar]!.subarray(offset, offset + target.length));
  }

  writeBar(bar: number, offset: number, source: Uint8Array): boolean {
    if (this.broken !== undefined) throw this.broken;
    if (!this.full) this.bars[bar]!.set(source, offset);
    return !this.full;
  }

  reset(): void {
    this.resets++;
    this.queue.length = 0;
    this.broken = undefined;
  }

  step(): void {
    if (this.broken !== undefined) throw this.broken;
    const work = this.stuck ? undefined : this.queue.shift();
    if (work === undefined) return;
    const { dma } = this.host;
    const fault = work.write
      ? dma.write(work.pasid, work.iova, work.buffer)
      : dma.read(work.pasid, work.iova, work.buffer);
    if (fault !== undefined) this.faults.push(fault);
  }

  busy(pasid?: number): boolean {
    return this.queue.some((work) => pasid === undefined || work.pasid === pasid);
  }
}
