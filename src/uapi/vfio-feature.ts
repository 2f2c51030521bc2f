/**
 * VFIO_DEVICE_FEATURE (<linux/vfio.h>): one question for everything that a device may have. A function has
 * low power; nothing here migrates, logs what it has made dirty, is a virtual function with a token, or hands
 * out a BAR as a dma-buf.
 */
import type { Caller, IoctlCall } from '../file/open-file.js';
import { hex, refuse } from '../linux/errno.js';
import type { VfioDevice } from '../vfio/device.js';
import { bits, descriptor, getS32, getU32, struct, u32 } from './struct.js';
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

/** @throws Refusal ENOTTY a feature that the device does not have; EINVAL a question that is none. */
export function feature(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  const header = readStruct(caller, call, FeatureStruct.size);
  const flags = getU32(header, FeatureStruct.at.flags);
  const room = getU32(header, FeatureStruct.at.argsz) - FeatureStruct.size;
  checkFlags(flags);
  const number = flags & FEATURE_MASK;
  if (number === FEATURE_MIG_PRECOPY_INFO)
    refuse('EINVAL', `${device.name} does not migrate, so it has no precopy that could be told of`);
  if (number === FEATURE_DMA_BUF && !device.life.mediated) checkDmaBuf(caller, call, flags, room);
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

/** Is it a question about a dma-buf that vfio-pci would answer? @throws Refusal EINVAL. */
function checkDmaBuf(caller: Caller, call: IoctlCall, flags: number, room: number): void {
  const { at, size } = DmaBufStruct;
  if (flags & FEATURE_SET) refuse('EINVAL', 'a dma-buf can be got, not set');
  if (flags & FEATURE_PROBE) return;
  if (room < size) refuse('EINVAL', `${room} bytes after the struct have no room for a question of ${size}`);
  const data = new Uint8Array(size);
  caller.readMemory(call.arg + FeatureStruct.size, data);
  if (getU32(data, at.flags) !== 0 || getU32(data, at.nr_ranges) === 0)
    refuse('EINVAL', `flags ${hex(getU32(data, at.flags))} are not 0, or no range is named`);
}

function setPower(device: VfioDevice, caller: Caller, call: IoctlCall, number: number, room: number): void {
  if (number === FEATURE_LOW_POWER_EXIT) device.exitLowPower();
  else if (number === FEATURE_LOW_POWER_ENTRY) device.enterLowPower();
  else enterWithWakeup(device, caller, call, room);
}

/** Nothing wakes a device here but its user, who exits low power by that. */
function enterWithWakeup(device: VfioDevice, caller: Caller, call: IoctlCall, room: number): void {
  const { at, size } = LowPowerWithWakeupStruct;
  if (room < size) refuse('EINVAL', `${room} bytes after the struct have no room for a wakeup eventfd`);
  const data = new Uint8Array(size);
  caller.readMemory(call.arg + FeatureStruct.size, data);
  const fd = getS32(data, at.wakeup_eventfd);
  if (fd < 0 || getU32(data, at.reserved) !== 0)
    refuse('EINVAL', `wakeup eventfd ${fd} is negative, or reserved is not 0`);
  caller.eventfd(fd).close();
  device.enterLowPower();
}
