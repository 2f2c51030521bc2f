/** VFIO_DEVICE_IOEVENTFD (<linux/vfio.h>): a write to an eventfd becomes a write to a register. */
import type { Caller, IoctlCall } from '../file/open-file.js';
import { hex, refuse } from '../linux/errno.js';
import type { VfioDevice } from '../vfio/device.js';
import { bits, descriptor, getBig, getS32, getU32, struct, u32, u64 } from './struct.js';
import { io, REGION_SPAN, readStruct } from './vfio-call.js';

export const VFIO_DEVICE_IOEVENTFD = io(16);

/** Flags: each is the width that it means. */
export const IOEVENTFD_8 = 1 << 0;
export const IOEVENTFD_16 = 1 << 1;
export const IOEVENTFD_32 = 1 << 2;
export const IOEVENTFD_64 = 1 << 3;

export const IoEventfdStruct = struct('vfio_device_ioeventfd', {
  argsz: u32,
  flags: bits({
    VFIO_DEVICE_IOEVENTFD_8: IOEVENTFD_8,
    VFIO_DEVICE_IOEVENTFD_16: IOEVENTFD_16,
    VFIO_DEVICE_IOEVENTFD_32: IOEVENTFD_32,
    VFIO_DEVICE_IOEVENTFD_64: IOEVENTFD_64,
  }),
  offset: u64,
  data: u64,
  fd: descriptor,
  pad: u32,
});

/** @throws Refusal ENOTTY for a mediated device; EINVAL for flags and descriptors; as IoEventfds.set. */
export function ioeventfd(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  if (device.life.mediated) refuse('ENOTTY', `${device.name} is a mediated device, and takes no ioeventfds`);
  const { at, size } = IoEventfdStruct;
  const data = readStruct(caller, call, at.pad, size);
  const width = getU32(data, at.flags);
  if (![IOEVENTFD_8, IOEVENTFD_16, IOEVENTFD_32, IOEVENTFD_64].includes(width))
    refuse('EINVAL', `flags ${hex(width)} are not exactly one width`);
  const fd = getS32(data, at.fd);
  if (fd < -1) refuse('EINVAL', `${fd} is neither a descriptor nor -1`);
  const offset = getBig(data, at.offset);
  const span = BigInt(REGION_SPAN);
  const [bar, place] = [Number(offset / span), Number(offset % span)];
  device.ioeventfds.set({ bar, offset: place, width, value: getBig(data, at.data), fd }, caller);
  return 0;
}
