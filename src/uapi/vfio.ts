/**
 * The ABI of a VFIO PCI device file, as `<linux/vfio.h>` has it: its ioctls, and which region an offset of
 * pread and pwrite means.
 *
 * An `argsz` of less than the first version of a struct is EINVAL, more is fine. No behaviour lives here;
 * errnos are those of vfio-pci.
 */
import type { Caller, IoctlCall, MappedPages } from '../file/open-file.js';
import { inParts } from '../file/parts.js';
import { after, begun, type Sliced, type Work, workOf } from '../file/work.js';
import { hex, refuse } from '../linux/errno.js';
import { CONFIG_REGION, NUM_REGIONS, ROM_REGION, type VfioDevice } from '../vfio/device.js';
import { ERR, INTX, type IrqData, type IrqRequest, MSI, MSIX, NUM_IRQS, REQ } from '../vfio/irq-request.js';
import type { FileOperations } from './device-file.js';
import { DescriptorStruct } from './idxd.js';
import type { IoctlTable } from './ioctl.js';
import { bits, choice, getS32, getU32, type Struct, setU32, setU64, struct, u32, u64 } from './struct.js';
import { io, REGION_SPAN, readStruct, wakingTable } from './vfio-call.js';
import { FeatureStruct, feature, VFIO_DEVICE_FEATURE } from './vfio-feature.js';
import { IoEventfdStruct, ioeventfd, VFIO_DEVICE_IOEVENTFD } from './vfio-ioeventfd.js';

export const VFIO_DEVICE_GET_INFO = io(7);
export const VFIO_DEVICE_GET_REGION_INFO = io(8);
export const VFIO_DEVICE_GET_IRQ_INFO = io(9);
export const VFIO_DEVICE_SET_IRQS = io(10);
export const VFIO_DEVICE_RESET = io(11);

export const DEVICE_FLAGS_RESET = 1 << 0;
export const DEVICE_FLAGS_PCI = 1 << 1;

export const REGION_INFO_READ = 1 << 0;
export const REGION_INFO_WRITE = 1 << 1;
export const REGION_INFO_MMAP = 1 << 2;
export const REGION_INFO_CAPS = 1 << 3;

/** VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, and the bytes of a capability that is a header alone. */
export const REGION_INFO_CAP_MSIX_MAPPABLE = 3;
const CAPABILITY_BYTES = 8;

export const IRQ_INFO_EVENTFD = 1 << 0;
export const IRQ_INFO_MASKABLE = 1 << 1;
export const IRQ_INFO_AUTOMASKED = 1 << 2;
export const IRQ_INFO_NORESIZE = 1 << 3;

export const IRQ_SET_DATA_NONE = 1 << 0;
export const IRQ_SET_DATA_BOOL = 1 << 1;
export const IRQ_SET_DATA_EVENTFD = 1 << 2;
export const IRQ_SET_ACTION_MASK = 1 << 3;
export const IRQ_SET_ACTION_UNMASK = 1 << 4;
export const IRQ_SET_ACTION_TRIGGER = 1 << 5;

/** Regions of a PCI device (VFIO_PCI_*_REGION_INDEX). */
const regionNames = Object.fromEntries([
  ...Array.from({ length: ROM_REGION }, (_, n) => [`VFIO_PCI_BAR${n}_REGION_INDEX`, n] as const),
  ['VFIO_PCI_ROM_REGION_INDEX', ROM_REGION],
  ['VFIO_PCI_CONFIG_REGION_INDEX', CONFIG_REGION],
  ['VFIO_PCI_VGA_REGION_INDEX', NUM_REGIONS - 1],
]);

const irqIndex = choice({
  VFIO_PCI_INTX_IRQ_INDEX: INTX,
  VFIO_PCI_MSI_IRQ_INDEX: MSI,
  VFIO_PCI_MSIX_IRQ_INDEX: MSIX,
  VFIO_PCI_ERR_IRQ_INDEX: ERR,
  VFIO_PCI_REQ_IRQ_INDEX: REQ,
});

export const DeviceInfoStruct = struct('vfio_device_info', {
  argsz: u32,
  flags: bits({ VFIO_DEVICE_FLAGS_RESET: DEVICE_FLAGS_RESET, VFIO_DEVICE_FLAGS_PCI: DEVICE_FLAGS_PCI }),
  num_regions: u32,
  num_irqs: u32,
  cap_offset: u32,
  pad: u32,
});
export const RegionInfoStruct = struct('vfio_region_info', {
  argsz: u32,
  flags: bits({
    VFIO_REGION_INFO_FLAG_READ: REGION_INFO_READ,
    VFIO_REGION_INFO_FLAG_WRITE: REGION_INFO_WRITE,
    VFIO_REGION_INFO_FLAG_MMAP: REGION_INFO_MMAP,
    VFIO_REGION_INFO_FLAG_CAPS: REGION_INFO_CAPS,
  }),
  index: choice(regionNames),
  cap_offset: u32,
  size: u64,
  offset: u64,
});
export const IrqInfoStruct = struct('vfio_irq_info', {
  argsz: u32,
  flags: bits({
    VFIO_IRQ_INFO_EVENTFD: IRQ_INFO_EVENTFD,
    VFIO_IRQ_INFO_MASKABLE: IRQ_INFO_MASKABLE,
    VFIO_IRQ_INFO_AUTOMASKED: IRQ_INFO_AUTOMASKED,
    VFIO_IRQ_INFO_NORESIZE: IRQ_INFO_NORESIZE,
  }),
  index: irqIndex,
  count: u32,
});
export const IrqSetStruct = struct('vfio_irq_set', {
  argsz: u32,
  flags: bits({
    VFIO_IRQ_SET_DATA_NONE: IRQ_SET_DATA_NONE,
    VFIO_IRQ_SET_DATA_BOOL: IRQ_SET_DATA_BOOL,
    VFIO_IRQ_SET_DATA_EVENTFD: IRQ_SET_DATA_EVENTFD,
    VFIO_IRQ_SET_ACTION_MASK: IRQ_SET_ACTION_MASK,
    VFIO_IRQ_SET_ACTION_UNMASK: IRQ_SET_ACTION_UNMASK,
    VFIO_IRQ_SET_ACTION_TRIGGER: IRQ_SET_ACTION_TRIGGER,
  }),
  index: irqIndex,
  start: u32,
  count: u32,
});

const IRQ_SET_DATA = IRQ_SET_DATA_NONE | IRQ_SET_DATA_BOOL | IRQ_SET_DATA_EVENTFD;
const IRQ_SET_ACTION = IRQ_SET_ACTION_MASK | IRQ_SET_ACTION_UNMASK | IRQ_SET_ACTION_TRIGGER;

/** Bytes of vfio_device_info before `cap_offset`, which came later. */
const FIRST_DEVICE_INFO = DeviceInfoStruct.at.cap_offset;

/** pread on a device file. @returns the bytes read. @throws Refusal as VfioDevice.readRegion. */
export function readRegion(device: VfioDevice, offset: number, target: Uint8Array): number {
  return device.readRegion(Math.floor(offset / REGION_SPAN), offset % REGION_SPAN, target);
}

/** pwrite on a device file. @returns the bytes written. @throws Refusal as VfioDevice.writeRegion. */
export function writeRegion(device: VfioDevice, offset: number, source: Uint8Array): number {
  return device.writeRegion(Math.floor(offset / REGION_SPAN), offset % REGION_SPAN, source);
}

/** What the file of `device` does beside its ioctls, but for its release. */
export function regionOperations(device: VfioDevice): Omit<FileOperations, 'release'> {
  return {
    read: (offset, target, caller) => {
      const parts = partsOf(caller, target.length);
      if (parts === undefined && isShort(offset, target.length)) return readRegion(device, offset, target);
      const read = (at: number, end: number) => readRegion(device, offset + at, target.subarray(at, end));
      return begun(inPieces(offset, target.length, parts, read));
    },
    write: (offset, source, caller) => {
      const whole = isPortal(device, offset);
      const parts = whole ? undefined : partsOf(caller, source.length);
      if (parts === undefined && (whole || isShort(offset, source.length)))
        return writeRegion(device, offset, source);
      const kept = source.slice();
      const write = (at: number, end: number) => writeRegion(device, offset + at, kept.subarray(at, end));
      return begun(inPieces(offset, source.length, parts, write));
    },
    mapping: {
      check: (_caller, offset, length) =>
        device.bars.checkMapping(Math.floor(offset / REGION_SPAN), offset % REGION_SPAN, length),
      pages: (offset, length) => pagesOf(device, offset, length),
      memory: (offset) => ({
        memory: device.bars.memory(Math.floor(offset / REGION_SPAN)),
        offset: offset % REGION_SPAN,
      }),
      read: (offset, target) =>
        device.readRegion(Math.floor(offset / REGION_SPAN), offset % REGION_SPAN, target, true),
      write: (_caller, offset, source) =>
        device.writeRegion(Math.floor(offset / REGION_SPAN), offset % REGION_SPAN, source, true),
      write64: (_caller, offset, source) =>
        device.write64(Math.floor(offset / REGION_SPAN), offset % REGION_SPAN, source),
    },
    uses: (call) => device.uses(call),
    flush: () => device.flush(),
    place: (offset) => placeOf(device, offset),
    submits: (offset, length) => submittedAt(device, offset, length),
  };
}

/** Of the parts of so few bytes nobody asks, for it costs as much as the access itself. */
const ONE_REGISTER = 4;

/** The buffers of a transfer, each of which is one of its own; undefined: it is one. */
function partsOf(caller: Caller, length: number): Sliced<readonly number[] | undefined> {
  return length <= ONE_REGISTER ? undefined : caller.parts?.(length);
}

/** A portal takes its 64 bytes whole. */
function isPortal(device: VfioDevice, offset: number): boolean {
  return device.bars.isPortal(Math.floor(offset / REGION_SPAN), offset % REGION_SPAN);
}

/** Bytes of a BAR that are transferred before others are served: 8 of them are an access of the model. */
const PIECE = 512;

/** Is a transfer made at once? */
function isShort(offset: number, length: number): boolean {
  return length <= PIECE || offset >= ROM_REGION * REGION_SPAN;
}

/** A transfer, each buffer by itself, and of a BAR in pieces: it is cut into accesses anyway. */
function* inPieces(
  offset: number,
  length: number,
  parts: Sliced<readonly number[] | undefined>,
  transfer: (begin: number, end: number) => number,
): Work<number> {
  const lengths = (yield* workOf(parts)) ?? [length];
  return yield* inParts(isShort(offset, length) ? lengths : cutUp(offset, lengths), transfer);
}

/** `lengths` from `offset` on, cut at multiples of PIECE: no access lies across one. */
function* cutUp(offset: number, lengths: readonly number[]): Generator<number> {
  let at = offset % PIECE;
  for (const length of lengths) {
    for (let left = length; left > 0; ) {
      const piece = Math.min(left, PIECE - (at % PIECE));
      yield piece;
      at += piece;
      left -= piece;
    }
  }
}

/** Intel's data streaming accelerator. */
const DSA = { vendor: 0x8086, device: 0x0b25 };

/** What lies at `offset` of a device file: a region, where in it, and the register's name if it has one. */
function placeOf(device: VfioDevice, offset: number): string {
  const region = Math.floor(offset / REGION_SPAN);
  const name = Object.keys(regionNames).find((each) => regionNames[each] === region);
  const short = name?.replace(/^VFIO_PCI_(.*)_REGION_INDEX$/, '$1') ?? `region ${region}`;
  const register = device.nameAt(region, offset % REGION_SPAN);
  return `${short}+${hex(offset % REGION_SPAN)}${register === undefined ? '' : ` ${register}`}`;
}

/** A portal takes descriptors. */
function submittedAt({ pci }: VfioDevice, offset: number, length: number): Struct | undefined {
  const region = Math.floor(offset / REGION_SPAN);
  const portals = pci.bars.find(({ index }) => index === region)?.portals;
  if (portals === undefined || pci.vendorId !== DSA.vendor || pci.deviceId !== DSA.device) return undefined;
  return length === DescriptorStruct.size ? DescriptorStruct : undefined;
}

/** As Bars.pages, with offsets in the file. */
function pagesOf(device: VfioDevice, offset: number, length: number): MappedPages[] {
  const region = Math.floor(offset / REGION_SPAN);
  const start = region * REGION_SPAN;
  const found = device.bars.pages(region, offset - start, length);
  return found.map((each) => ({ ...each, offset: start + each.offset }));
}

/** The VFIO ioctls of a device file, however it was opened. */
export const vfioIoctls: IoctlTable<VfioDevice> = wakingTable({
  VFIO_DEVICE_GET_INFO: [VFIO_DEVICE_GET_INFO, DeviceInfoStruct, getInfo],
  VFIO_DEVICE_GET_REGION_INFO: [VFIO_DEVICE_GET_REGION_INFO, RegionInfoStruct, getRegionInfo],
  VFIO_DEVICE_GET_IRQ_INFO: [VFIO_DEVICE_GET_IRQ_INFO, IrqInfoStruct, getIrqInfo],
  VFIO_DEVICE_SET_IRQS: [VFIO_DEVICE_SET_IRQS, IrqSetStruct, setIrqs],
  VFIO_DEVICE_RESET: [VFIO_DEVICE_RESET, undefined, reset],
  VFIO_DEVICE_IOEVENTFD: [VFIO_DEVICE_IOEVENTFD, IoEventfdStruct, ioeventfd],
  VFIO_DEVICE_FEATURE: [VFIO_DEVICE_FEATURE, FeatureStruct, feature],
});

function getInfo(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  const { at, size } = DeviceInfoStruct;
  const data = readStruct(caller, call, FIRST_DEVICE_INFO, size);
  setU32(data, at.flags, DEVICE_FLAGS_PCI | (device.resettable ? DEVICE_FLAGS_RESET : 0));
  setU32(data, at.num_regions, NUM_REGIONS);
  setU32(data, at.num_irqs, NUM_IRQS);
  caller.writeMemory(call.arg, data.subarray(0, Math.min(getU32(data, at.argsz), size)));
  return 0;
}

function getRegionInfo(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  const { at, size } = RegionInfoStruct;
  const data = readStruct(caller, call, size);
  const index = getU32(data, at.index);
  const bytes = device.regionSize(index);
  const mapped = caller.mapsFiles === true && device.mappable(index) ? REGION_INFO_MMAP : 0;
  setU32(data, at.flags, bytes === 0 ? 0 : REGION_INFO_READ | REGION_INFO_WRITE | mapped);
  setU64(data, at.size, bytes);
  setU64(data, at.offset, index * REGION_SPAN);
  if (mapped !== 0 && device.pci.msix?.bar === index) putCapability(caller, call.arg, data);
  caller.writeMemory(call.arg, data);
  return 0;
}

/**
 * The table is in the region, and can be mapped with it. Where `argsz` leaves no room for the capability, it
 * says afterwards how much there must be.
 */
function putCapability(caller: Caller, arg: number, data: Uint8Array): void {
  const { at, size } = RegionInfoStruct;
  setU32(data, at.flags, getU32(data, at.flags) | REGION_INFO_CAPS);
  if (getU32(data, at.argsz) < size + CAPABILITY_BYTES) {
    setU32(data, at.argsz, size + CAPABILITY_BYTES);
    setU32(data, at.cap_offset, 0);
    return;
  }
  // struct vfio_info_cap_header: id and version in 16 bits each, then where the next one is.
  const header = new Uint8Array(CAPABILITY_BYTES);
  setU32(header, 0, REGION_INFO_CAP_MSIX_MAPPABLE | (1 << 16));
  caller.writeMemory(arg + size, header);
  setU32(data, at.cap_offset, size);
}

function getIrqInfo(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  const { at, size } = IrqInfoStruct;
  const data = readStruct(caller, call, size);
  const index = getU32(data, at.index);
  checkIrqIndex(index);
  setU32(data, at.flags, irqFlags(device, index));
  setU32(data, at.count, device.irqCount(index));
  caller.writeMemory(call.arg, data);
  return 0;
}

function checkIrqIndex(index: number): void {
  if (index >= NUM_IRQS) refuse('EINVAL', `interrupt index ${index} is not below ${NUM_IRQS}`);
}

/** Only MSI-X can be set up vector by vector, where the device has it. */
function irqFlags(device: VfioDevice, index: number): number {
  if (index === INTX) return IRQ_INFO_EVENTFD | IRQ_INFO_MASKABLE | IRQ_INFO_AUTOMASKED;
  return index === MSIX && device.irqCount(MSIX) > 0
    ? IRQ_INFO_EVENTFD
    : IRQ_INFO_EVENTFD | IRQ_INFO_NORESIZE;
}

function setIrqs(device: VfioDevice, caller: Caller, call: IoctlCall): Sliced<number> {
  const { at, size } = IrqSetStruct;
  const header = readStruct(caller, call, size);
  const flags = getU32(header, at.flags);
  const [index, start, count] = [
    getU32(header, at.index),
    getU32(header, at.start),
    getU32(header, at.count),
  ];
  checkIrqIndex(index);
  checkIrqRange(index, start, count, device.irqCount(index));
  if (flags & ~(IRQ_SET_DATA | IRQ_SET_ACTION))
    refuse('EINVAL', `flags ${hex(flags)} have bits that SET_IRQS does not know`);
  const bytes = count * irqDataSize(flags);
  if (getU32(header, at.argsz) - size < bytes)
    refuse('EINVAL', `argsz ${getU32(header, at.argsz)} leaves no room for ${bytes} bytes of data`);
  const raw = new Uint8Array(bytes);
  if (bytes > 0) caller.readMemory(call.arg + size, raw);
  const request = { index, start, count, action: irqAction(flags), data: irqData(flags, raw) };
  return after(device.setIrqs(request, caller), () => 0);
}

/** Keeps the data that is read below 4 bytes for each vector that the device has. */
function checkIrqRange(index: number, start: number, count: number, vectors: number): void {
  if (start >= vectors || start + count > vectors) {
    refuse(
      'EINVAL',
      `${count} vectors from ${start} on are not among the ${vectors} of interrupt index ${index}`,
    );
  }
}

/** Bytes of data for each vector. */
function irqDataSize(flags: number): number {
  switch (flags & IRQ_SET_DATA) {
    case IRQ_SET_DATA_NONE:
      return 0;
    case IRQ_SET_DATA_BOOL:
      return 1;
    case IRQ_SET_DATA_EVENTFD:
      return 4;
    default:
      return refuse('EINVAL', `flags ${hex(flags)} do not name exactly one type of data`);
  }
}

function irqAction(flags: number): IrqRequest['action'] {
  switch (flags & IRQ_SET_ACTION) {
    case IRQ_SET_ACTION_MASK:
      return 'mask';
    case IRQ_SET_ACTION_UNMASK:
      return 'unmask';
    case IRQ_SET_ACTION_TRIGGER:
      return 'trigger';
    default:
      return refuse('ENOTTY', `flags ${hex(flags)} do not name exactly one action`);
  }
}

function irqData(flags: number, raw: Uint8Array): IrqData {
  if (flags & IRQ_SET_DATA_NONE) return { kind: 'none' };
  if (flags & IRQ_SET_DATA_BOOL) return { kind: 'bool', bools: raw };
  return { kind: 'eventfd', fds: Int32Array.from({ length: raw.length / 4 }, (_, i) => getS32(raw, i * 4)) };
}

function reset(device: VfioDevice): number {
  device.reset();
  return 0;
}
