/**
 * Is a PciDescription a possible PCI function? Checked once, when a device is made, so that nothing behind it needs to ask again.
 */
import type { BarDescription, PciDescription } from '../devices/device-model.js';
import { hex, refuse } from '../linux/errno.js';

/** Bytes that `vectors` entries of an MSI-X table take (PCI Local Bus 3.0 §6.8.2). */
export function msixTableBytes(vectors: number): number {
  return vectors * 16;
}

/** Bytes of the pending bit array: one bit a vector, in quadwords. */
export function msixPbaBytes(vectors: number): number {
  return Math.ceil(vectors / 64) * 8;
}

/** @throws Refusal EINVAL with the first field that no PCI function can have. */
export function checkPciDescription(pci: PciDescription): void {
  checkField('vendor id', pci.vendorId, 0xffff);
  checkField('device id', pci.deviceId, 0xffff);
  checkField('class code', pci.classCode, 0xffffff);
  checkField('revision', pci.revision ?? 0, 0xff);
  checkField('subsystem vendor id', pci.subsystemVendorId ?? 0, 0xffff);
  checkField('subsystem id', pci.subsystemId ?? 0, 0xffff);
  checkBars(pci.bars);
  if (pci.msi !== undefined && ![1, 2, 4, 8, 16, 32].includes(pci.msi))
    refuse('EINVAL', `${pci.msi} MSI vectors are not a power of two up to 32`);
  if (pci.msix !== undefined) checkMsix(pci.msix, pci.bars);
  if (pci.pasidBits !== undefined && !inRange(pci.pasidBits, 1, 20))
    refuse('EINVAL', `a PASID width of ${pci.pasidBits} bits is not 1 to 20`);
}

function checkField(name: string, value: number, largest: number): void {
  if (!inRange(value, 0, largest)) refuse('EINVAL', `${name} ${value} is not 0 to ${hex(largest)}`);
}

function checkBars(bars: readonly BarDescription[]): void {
  const taken = new Set<number>();
  for (const bar of bars) {
    const name = `BAR ${bar.index}`;
    if (!inRange(bar.index, 0, bar.is64 === true ? 4 : 5))
      refuse('EINVAL', `${name} does not exist${bar.is64 === true ? ' as a 64-bit BAR' : ''}`);
    if (!inRange(bar.size, 16, bar.is64 === true ? 2 ** 39 : 2 ** 31) || !Number.isInteger(Math.log2(bar.size))) {
      refuse('EINVAL', `the size ${bar.size} of ${name} is not a power of two that it can have`);
    }
    for (const index of bar.is64 === true ? [bar.index, bar.index + 1] : [bar.index]) {
      if (taken.has(index)) refuse('EINVAL', `BAR index ${index} is taken twice`);
      taken.add(index);
    }
  }
}

function checkMsix(msix: NonNullable<PciDescription['msix']>, bars: readonly BarDescription[]): void {
  if (!inRange(msix.vectors, 1, 2048)) refuse('EINVAL', `${msix.vectors} MSI-X vectors are not 1 to 2048`);
  const bar =
    bars.find(({ index }) => index === msix.bar) ?? refuse('EINVAL', `the MSI-X table lies in BAR ${msix.bar}, which does not exist`);
  const tableEnd = checkWindow('table', msix.tableOffset, msixTableBytes(msix.vectors), bar);
  const pbaEnd = checkWindow('pending bit array', msix.pbaOffset, msixPbaBytes(msix.vectors), bar);
  if (msix.tableOffset < pbaEnd && msix.pbaOffset < tableEnd)
    refuse('EINVAL', `the MSI-X table and pending bit array overlap at ${hex(msix.pbaOffset)}`);
}

function checkWindow(name: string, offset: number, bytes: number, bar: BarDescription): number {
  if (!inRange(offset, 0, bar.size - bytes) || offset % 8 !== 0) {
    refuse('EINVAL', `the MSI-X ${name} at offset ${offset} does not lie aligned within BAR ${bar.index}`);
  }
  return offset + bytes;
}

function inRange(value: number, least: number, largest: number): boolean {
  return Number.isInteger(value) && value >= least && value <= largest;
}
