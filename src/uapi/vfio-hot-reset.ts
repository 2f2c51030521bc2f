/**
 * VFIO_DEVICE_GET_PCI_HOT_RESET_INFO and VFIO_DEVICE_PCI_HOT_RESET (<linux/vfio.h>): the reset of a bus or a
 * slot. A function here lies on a root bus, which cannot be reset, so there is neither; but a question
 * must be well-formed to be told so.
 */
import type { Caller, IoctlCall } from '../file/open-file.js';
import { hex, refuse } from '../linux/errno.js';
import type { VfioDevice } from '../vfio/device.js';
import { getU32, struct, u32 } from './struct.js';
import { io, readStruct } from './vfio-call.js';

export const VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = io(12);
export const VFIO_DEVICE_PCI_HOT_RESET = io(13);

export const HotResetStruct = struct('vfio_pci_hot_reset', { argsz: u32, flags: u32, count: u32 });

/** @throws Refusal ENODEV; ENOTTY for a mediated device. */
export function hotResetInfo(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  checkWhole(device);
  readStruct(caller, call, HotResetStruct.size);
  return refuseReset(device);
}

/** Of a device opened by its own file, which is bound to an iommufd: it names no groups. @throws as below. */
export function hotResetByCdev(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  return hotReset(device, caller, call, false);
}

/** Of a device opened through its group: the groups affected are named. @throws as below. */
export function hotResetByGroup(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  return hotReset(device, caller, call, true);
}

/** @throws Refusal EINVAL flags, or groups named by the wrong kind of file; otherwise as hotResetInfo. */
function hotReset(device: VfioDevice, caller: Caller, call: IoctlCall, grouped: boolean): number {
  checkWhole(device);
  const { at, size } = HotResetStruct;
  const data = readStruct(caller, call, size);
  const [flags, count] = [getU32(data, at.flags), getU32(data, at.count)];
  if (flags !== 0) refuse('EINVAL', `flags ${hex(flags)} have bits that PCI_HOT_RESET does not know`);
  if (count === 0 && grouped)
    refuse('EINVAL', `${device.name} was opened through its group, which has to be named`);
  if (count !== 0 && !grouped)
    refuse('EINVAL', `${device.name} was opened by its own file, and takes no ${count} groups`);
  return refuseReset(device);
}

function checkWhole({ life, name }: VfioDevice): void {
  if (life.mediated) refuse('ENOTTY', `${name} is a mediated device, which lies on no bus`);
}

function refuseReset({ name }: VfioDevice): never {
  return refuse('ENODEV', `${name} has no bus or slot reset; use VFIO_DEVICE_RESET`);
}
