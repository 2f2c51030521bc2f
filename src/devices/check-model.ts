/**
 * What must be true of a device model before configuration space is built from it.
 *
 * Models are written by people, many of them in plain JavaScript, where no compiler looked. Past `checkModel`
 * the rest of the system may rely on the types of device-model.ts and on the numbers in a PciDescription
 * being such as PCI can express.
 */
import { hex, refuse } from '../linux/errno.js';
import {
  checkCount,
  checkField,
  checkFlag,
  checkKeys,
  checkMethods,
  checkWork,
  describe,
  isRecord,
  type NamesOf,
} from './checks.js';
import type { BarDescription, BarRange, DeviceModel, MdevSupport, PciDescription } from './device-model.js';

const pciKeys: NamesOf<PciDescription> = {
  vendorId: 0,
  deviceId: 0,
  classCode: 0,
  revision: 0,
  subsystemVendorId: 0,
  subsystemId: 0,
  bars: 0,
  conventional: 0,
  intx: 0,
  msi: 0,
  msix: 0,
  pasidBits: 0,
  privilegedPasids: 0,
  pageRequests: 0,
};
const barKeys: NamesOf<BarDescription> = {
  index: 0,
  size: 0,
  is64: 0,
  prefetchable: 0,
  portals: 0,
  memory: 0,
  doorbells: 0,
};
const rangeKeys: NamesOf<BarRange> = { offset: 0, size: 0 };
const memoryKeys: NamesOf<NonNullable<BarDescription['memory']>> = { offset: 0, bytes: 0 };
const msixKeys: NamesOf<NonNullable<PciDescription['msix']>> = {
  vectors: 0,
  bar: 0,
  tableOffset: 0,
  pbaOffset: 0,
};
const mdevKeys: NamesOf<MdevSupport> = { max: 0, create: 0 };

/** What a mapping is made of, in bytes. */
const PAGE = 4096;

/** Returns `model`, checked. @throws Refusal EINVAL naming the first thing that is wrong with it. */
export function checkModel(model: unknown): DeviceModel {
  if (!isRecord(model))
    refuse('EINVAL', `the device factory returned ${describe(model)}, not a device model`);
  if (model.virtio !== undefined && model.pci === undefined)
    refuse(
      'EINVAL',
      "the factory returned a virtio model, but its module does not export transport = 'virtio'",
    );
  checkMethods(
    'the device model',
    model,
    ['readBar', 'writeBar', 'reset'],
    ['step', 'busy', 'drain', 'registerName'],
  );
  checkWork('the device model', model);
  if (!isRecord(model.pci))
    refuse('EINVAL', `pci of the device model is ${describe(model.pci)}, not a PCI description`);
  checkPciDescription(model.pci as unknown as PciDescription);
  if (model.mdev !== undefined) checkMdev(model.mdev);
  return model as unknown as DeviceModel;
}

/** The part of `checkModel` that is about configuration space. @throws Refusal EINVAL */
export function checkPciDescription(pci: PciDescription): void {
  checkKeys('pci', pci, pciKeys);
  // 0xffff is what a bus reads where there is no device.
  checkField('pci.vendorId', pci.vendorId, 0, 0xfffe);
  checkField('pci.deviceId', pci.deviceId, 0, 0xffff);
  checkField('pci.classCode', pci.classCode, 0, 0xffffff);
  checkOptional('pci.revision', pci.revision, 0, 0xff);
  checkOptional('pci.subsystemVendorId', pci.subsystemVendorId, 0, 0xffff);
  checkOptional('pci.subsystemId', pci.subsystemId, 0, 0xffff);
  if (pci.pasidBits !== undefined) checkCount('pci.pasidBits', pci.pasidBits, 1, 20);
  checkFlag('pci.intx', pci.intx);
  checkFlag('pci.pageRequests', pci.pageRequests);
  checkFlag('pci.privilegedPasids', pci.privilegedPasids);
  const { conventional = false } = pci;
  if (conventional !== 'strict') checkFlag('pci.conventional', conventional);
  if (conventional !== false && (pci.pasidBits !== undefined || pci.pageRequests === true))
    refuse('EINVAL', 'PASIDs and page requests are of PCI Express, and the device is of conventional PCI');
  checkBars(pci.bars);
  if (pci.msi !== undefined && ![1, 2, 4, 8, 16, 32].includes(pci.msi)) {
    refuse('EINVAL', `pci.msi is ${describe(pci.msi)}, not 1, 2, 4, 8, 16 or 32 vectors`);
  }
  if (pci.msix !== undefined) checkMsix(pci);
}

function checkBars(bars: unknown): void {
  if (!Array.isArray(bars)) refuse('EINVAL', `pci.bars is ${describe(bars)}, not an array`);
  const owners = new Map<number, number>();
  for (const bar of bars as readonly BarDescription[]) {
    if (!isRecord(bar)) refuse('EINVAL', `an element of pci.bars is ${describe(bar)}, not a BAR`);
    checkCount('the index of a BAR', bar.index, 0, 5);
    checkKeys(`BAR ${bar.index}`, bar, barKeys);
    checkFlag(`is64 of BAR ${bar.index}`, bar.is64);
    checkFlag(`prefetchable of BAR ${bar.index}`, bar.prefetchable);
    checkBarSize(bar);
    for (const range of rangesOf(bar)) checkRange(bar, range);
    checkApart(bar.index, rangesOf(bar));
    takeIndex(owners, bar.index, bar.index);
    if (bar.is64 !== true) continue;
    if (bar.index === 5) refuse('EINVAL', 'BAR 5 is 64-bit, but there is no BAR 6 for its upper half');
    takeIndex(owners, bar.index + 1, bar.index);
  }
}

/** A 32-bit BAR can be sized up to 2 GiB; 64-bit ones end where IOVAs do, long before numbers are inexact. */
function checkBarSize(bar: BarDescription): void {
  const bits = bar.is64 === true ? 39 : 31;
  checkField(`the size of BAR ${bar.index}`, bar.size, 16, 2 ** bits);
  if (!Number.isInteger(Math.log2(bar.size)))
    refuse('EINVAL', `the size of BAR ${bar.index}, ${hex(bar.size)}, is not a power of two`);
}

/** A part of a BAR that is not ordinary registers: `size` bytes at `offset`, both multiples of `unit`. */
interface Part {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly unit: number;
}

/** @throws Refusal EINVAL for one that is none. */
function rangesOf({ index, portals, memory, doorbells }: BarDescription): Part[] {
  const parts: Part[] = [];
  const take = (
    name: string,
    range: unknown,
    size: unknown,
    unit: number,
    keys: Readonly<Record<string, 0>>,
  ) => {
    if (range === undefined) return;
    if (!isRecord(range))
      refuse('EINVAL', `${name} of BAR ${index} are ${describe(range)}, not an offset and a size`);
    checkKeys(`${name} of BAR ${index}`, range, keys);
    parts.push({ name, offset: range.offset as number, size: size as number, unit });
  };
  take('portals', portals, portals?.size, 64, rangeKeys);
  take('doorbells', doorbells, doorbells?.size, PAGE, rangeKeys);
  const bytes: unknown = memory?.bytes;
  if (memory !== undefined && !(bytes instanceof Uint8Array))
    refuse('EINVAL', `the bytes of the memory of BAR ${index} are ${describe(bytes)}, not a Uint8Array`);
  take('memory', memory, memory?.bytes.length, PAGE, memoryKeys);
  return parts;
}

function checkRange({ index, size: room }: BarDescription, { name, offset, size, unit }: Part): void {
  const what = `${name} of BAR ${index}`;
  checkField(`the offset of ${what}`, offset, 0, room - 1);
  checkField(`the size of ${what}`, size, 1, room - offset);
  for (const value of [offset, size])
    if (value % unit !== 0) refuse('EINVAL', `${hex(value)} of ${what} is not a multiple of ${unit}`);
}

/** @throws Refusal EINVAL when two of the parts of BAR `index` overlap. */
function checkApart(index: number, parts: readonly Pick<Part, 'name' | 'offset' | 'size'>[]): void {
  const sorted = [...parts].sort((a, b) => a.offset - b.offset);
  for (const [i, part] of sorted.slice(1).entries()) {
    const before = sorted[i]!;
    if (before.offset + before.size > part.offset)
      refuse('EINVAL', `${before.name} and ${part.name} of BAR ${index} overlap`);
  }
}

function takeIndex(owners: Map<number, number>, index: number, bar: number): void {
  const owner = owners.get(index);
  if (owner === bar) refuse('EINVAL', `BAR ${bar} is described twice`);
  if (owner !== undefined)
    refuse(
      'EINVAL',
      `BAR ${Math.max(owner, bar)} lies in the upper half of 64-bit BAR ${Math.min(owner, bar)}`,
    );
  owners.set(index, bar);
}

/**
 * PCI Local Bus 3.0 §6.8.2: 16 bytes of table per vector; pending bits in units of 64; both at multiples of
 * 8.
 */
function checkMsix(pci: PciDescription): void {
  const msix = pci.msix;
  if (!isRecord(msix)) refuse('EINVAL', `pci.msix is ${describe(msix)}, not a description of MSI-X`);
  checkKeys('pci.msix', msix, msixKeys);
  checkCount('pci.msix.vectors', msix.vectors, 1, 2048);
  const bar = pci.bars.find((candidate) => candidate.index === msix.bar);
  if (bar === undefined)
    refuse('EINVAL', `pci.msix.bar is ${describe(msix.bar)}, which is not the index of a BAR`);
  const table = checkMsixPart('tableOffset', msix.tableOffset, msix.vectors * 16, bar);
  const pending = checkMsixPart('pbaOffset', msix.pbaOffset, Math.ceil(msix.vectors / 64) * 8, bar);
  checkApart(bar.index, [
    ...rangesOf(bar),
    { name: 'the MSI-X table', ...table },
    { name: 'its pending bits', ...pending },
  ]);
}

function checkMsixPart(name: string, offset: number, size: number, bar: BarDescription): BarRange {
  checkField(`pci.msix.${name}`, offset, 0, 0xffffffff);
  if (offset % 8 !== 0) refuse('EINVAL', `pci.msix.${name} ${hex(offset)} is not a multiple of 8`);
  if (offset + size > bar.size) {
    refuse(
      'EINVAL',
      `pci.msix.${name} ${hex(offset)} leaves no room for ${size} bytes in BAR ${bar.index} ` +
        `of ${hex(bar.size)}`,
    );
  }
  return { offset, size };
}

function checkMdev(mdev: unknown): void {
  if (!isRecord(mdev))
    refuse(
      'EINVAL',
      `mdev of the device model is ${describe(mdev)}, not a description of its mediated devices`,
    );
  checkKeys('mdev', mdev, mdevKeys);
  checkCount('mdev.max', mdev.max, 1, 0xffffff);
  if (typeof mdev.create !== 'function') refuse('EINVAL', 'mdev of the device model has no method create');
}

function checkOptional(name: string, value: unknown, least: number, most: number): void {
  if (value !== undefined) checkField(name, value, least, most);
}
