/**
 * VFIO_DEVICE_FEATURE (<linux/vfio.h>): one question for everything that a device may have. A function has
 * low power, and hands out ranges of its BARs as a file, a dma-buf, which an IOAS takes (IOAS_MAP_FILE).
 * Nothing here migrates, logs what it has made dirty, or is a virtual function with a token.
 */
import type { Caller, IoctlCall } from '../file/open-file.js';
import { type Sliced, type Work, workOf } from '../file/work.js';
import { hex, refuse } from '../linux/errno.js';
import { ROM_REGION, type VfioDevice } from '../vfio/device.js';
import type { BarRange, ExportedBar } from '../vfio/exported-bar.js';
import { DeviceFile } from './device-file.js';
import { bits, descriptor, getBig, getS32, getU32, struct, u32, u64 } from './struct.js';
import { io, readStruct } from './vfio-call.js';

export const VFIO_DEVICE_FEATURE = io(17);

export const FEATURE_MASK = 0xffff;
export const FEATURE_GET = 1 << 16;
export const FEATURE_SET = 1 << 17;
export const FEATURE_PROBE = 1 << 18;

export const FEATURE_LOW_POWER_ENTRY = 3;
export const FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4;
export const FEATURE_LOW_POWER_EXIT = 5;
export const FEATURE_DMA_BUF = 11;
export const FEATURE_MIG_PRECOPY_INFO = 12;

export const FeatureStruct = struct('vfio_device_feature', {
  argsz: u32,
  flags: bits({
    VFIO_DEVICE_FEATURE_GET: FEATURE_GET,
    VFIO_DEVICE_FEATURE_SET: FEATURE_SET,
    VFIO_DEVICE_FEATURE_PROBE: FEATURE_PROBE,
  }),
});
export const LowPowerWithWakeupStruct = struct('vfio_device_low_power_entry_with_wakeup', {
  wakeup_eventfd: descriptor,
  reserved: u32,
});

/** Of Linux 7. */
const DmaBufStruct = struct('vfio_device_feature_dma_buf', {
  region_index: u32,
  open_flags: u32,
  flags: u32,
  nr_ranges: u32,
});
const DmaRangeStruct = struct('vfio_region_dma_range', { offset: u64, length: u64 });
/** Ranges of one dma-buf. */
const MOST_RANGES = 4096;
const PAGE = 4096n;

/**
 * @throws Refusal ENOTTY a feature that the device does not have; EINVAL a question that is none; and as
 * `dmaBuf`.
 */
export function feature(device: VfioDevice, caller: Caller, call: IoctlCall): Sliced<number> {
  const header = readStruct(caller, call, FeatureStruct.size);
  const flags = getU32(header, FeatureStruct.at.flags);
  const room = getU32(header, FeatureStruct.at.argsz) - FeatureStruct.size;
  checkFlags(flags);
  const number = flags & FEATURE_MASK;
  if (number === FEATURE_MIG_PRECOPY_INFO)
    refuse('EINVAL', `${device.name} does not migrate, so it has no precopy that could be told of`);
  if (number === FEATURE_DMA_BUF && !device.life.mediated) return dmaBuf(device, caller, call, flags, room);
  if (device.life.mediated || number < FEATURE_LOW_POWER_ENTRY || number > FEATURE_LOW_POWER_EXIT)
    refuse('ENOTTY', `${device.name} does not have feature ${number}`);
  if (flags & FEATURE_GET) refuse('EINVAL', `feature ${number} can be set, not got`);
  if (flags & FEATURE_PROBE) return 0;
  if ((flags & FEATURE_SET) === 0)
    refuse('EINVAL', `flags ${hex(flags)} neither probe, get nor set feature ${number}`);
  setPower(device, caller, call, number, room);
  return 0;
}

function checkFlags(flags: number): void {
  if (flags & ~(FEATURE_MASK | FEATURE_GET | FEATURE_SET | FEATURE_PROBE))
    refuse('EINVAL', `flags ${hex(flags)} have bits that FEATURE does not know`);
  const both = FEATURE_GET | FEATURE_SET;
  if ((flags & FEATURE_PROBE) === 0 && (flags & both) === both)
    refuse('EINVAL', `flags ${hex(flags)} ask to get and to set at once`);
}

/**
 * A descriptor of ranges of a BAR, close-on-exec.
 * @throws Refusal EINVAL for what is no question, no whole pages, or past the end of a BAR; ENODEV no BAR;
 * ENOMEM too many ranges; and as Caller.install.
 */
function dmaBuf(
  device: VfioDevice,
  caller: Caller,
  call: IoctlCall,
  flags: number,
  room: number,
): Sliced<number> {
  const { at, size } = DmaBufStruct;
  if (flags & FEATURE_SET) refuse('EINVAL', 'a dma-buf can be got, not set');
  if (flags & FEATURE_PROBE) return 0;
  if ((flags & FEATURE_GET) === 0) refuse('EINVAL', `flags ${hex(flags)} neither probe nor get a dma-buf`);
  if (room < size) refuse('EINVAL', `${room} bytes after the struct have no room for a question of ${size}`);
  const data = new Uint8Array(size);
  caller.readMemory(call.arg + FeatureStruct.size, data);
  const [index, count] = [getU32(data, at.region_index), getU32(data, at.nr_ranges)];
  if (getU32(data, at.flags) !== 0 || count === 0)
    refuse('EINVAL', `flags ${hex(getU32(data, at.flags))} are not 0, or no range is named`);
  if (index >= ROM_REGION || device.regionSize(index) === 0)
    refuse('ENODEV', `region ${index} of ${device.name} is no BAR`);
  if (count > MOST_RANGES) refuse('ENOMEM', `${count} ranges are more than the ${MOST_RANGES} of a dma-buf`);
  const ranges = new Uint8Array(count * DmaRangeStruct.size);
  caller.readMemory(call.arg + FeatureStruct.size + size, ranges);
  return installed(caller, device.bars.export(index, dmaRanges(ranges)));
}

/** @throws Refusal EINVAL. */
function dmaRanges(data: Uint8Array): BarRange[] {
  const { at, size } = DmaRangeStruct;
  const ranges: BarRange[] = [];
  for (let here = 0; here < data.length; here += size) {
    const [offset, length] = [getBig(data, here + at.offset), getBig(data, here + at.length)];
    if (length === 0n || offset % PAGE !== 0n || length % PAGE !== 0n)
      refuse('EINVAL', `range ${hex(offset)}+${hex(length)} is not made of whole pages of 4 KiB`);
    ranges.push({ offset: Number(offset), length: Number(length) });
  }
  return ranges;
}

function* installed(caller: Caller, bar: ExportedBar): Work<number> {
  return yield* workOf(
    caller.install(new DeviceFile(bar, new Map(), { called: 'dma-buf', release: () => undefined })),
  );
}

function setPower(device: VfioDevice, caller: Caller, call: IoctlCall, number: number, room: number): void {
  if (number === FEATURE_LOW_POWER_EXIT) device.power.exit();
  else if (number === FEATURE_LOW_POWER_ENTRY) device.power.enter();
  else enterWithWakeup(device, caller, call, room);
}

/** Nothing wakes a device here but its user. */
function enterWithWakeup(device: VfioDevice, caller: Caller, call: IoctlCall, room: number): void {
  const { at, size } = LowPowerWithWakeupStruct;
  if (room < size) refuse('EINVAL', `${room} bytes after the struct have no room for a wakeup eventfd`);
  const data = new Uint8Array(size);
  caller.readMemory(call.arg + FeatureStruct.size, data);
  const fd = getS32(data, at.wakeup_eventfd);
  if (fd < 0) refuse('EINVAL', `wakeup eventfd ${fd} is negative`);
  device.power.enter(caller.eventfd(fd));
}
