/**
 * VFIO_DEVICE_GET_PCI_HOT_RESET_INFO and VFIO_DEVICE_PCI_HOT_RESET (<linux/vfio.h>): the reset of all
 * functions on a bus at once, which whoever has them all may ask for.
 *
 * Who has opened a device through its group shows the groups' files; who has bound it by its own file has
 * bound the others to the same iommufd. A function on a root bus has no such reset, but a question must be
 * well-formed to be told so.
 */
import type { Caller, IoctlCall } from '../file/open-file.js';
import { Errno, hex, Refusal, refuse } from '../linux/errno.js';
import type { VfioDevice } from '../vfio/device.js';
import { VfioGroup } from '../vfio/group.js';
import { getS32, getU32, setU8, setU16, setU32, struct, u8, u16, u32 } from './struct.js';
import { io, readStruct } from './vfio-call.js';

export const VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = io(12);
export const VFIO_DEVICE_PCI_HOT_RESET = io(13);

/** Flags of the answer: devices are named by their ids in the iommufd, and all of them can be reset. */
const HOT_RESET_DEV_ID = 1;
const HOT_RESET_DEV_ID_OWNED = 2;
/** The id of a device that is not bound to that iommufd. */
const DEVID_NOT_OWNED = 0xffffffff;

export const HotResetStruct = struct('vfio_pci_hot_reset', { argsz: u32, flags: u32, count: u32 });
/** `id` is the number of its group, or its id in the iommufd. */
const DependentStruct = struct('vfio_pci_dependent_device', { id: u32, segment: u16, bus: u8, devfn: u8 });
const FD_BYTES = 4;

type Bus = readonly VfioDevice[];

/** Of a device opened by its own file. @throws Refusal ENODEV, ENOSPC; ENOTTY for a mediated device. */
export function hotResetInfoByCdev(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  return hotResetInfo(device, caller, call, (bus) => {
    const ids = bus.map((each) => idBeside(device, each));
    const owned = ids.includes(undefined) ? 0 : HOT_RESET_DEV_ID_OWNED;
    return { flags: HOT_RESET_DEV_ID | owned, ids: ids.map((id) => id ?? DEVID_NOT_OWNED) };
  });
}

/** Of a device opened through its group. @throws Refusal as above. */
export function hotResetInfoByGroup(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  return hotResetInfo(device, caller, call, (bus) => ({
    flags: 0,
    ids: bus.map(({ place }) => place.group),
  }));
}

/**
 * Of a device opened by its own file: it names no groups. @throws Refusal EINVAL unless all devices on the
 * bus are bound to the iommufd of this one; otherwise as hotResetInfoByCdev.
 */
export function hotResetByCdev(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  const count = readReset(device, caller, call);
  if (count !== 0)
    refuse('EINVAL', `${device.name} was opened by its own file, and takes no ${count} groups`);
  return resetAll(busOf(device), (each) => idBeside(device, each) !== undefined);
}

/**
 * Of a device opened through its group: the groups affected are named. @throws Refusal EBADF, EFAULT for the
 * list of them; EINVAL unless they are groups, and those of all devices on the bus; otherwise as above.
 */
export function hotResetByGroup(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  const count = readReset(device, caller, call);
  if (count === 0) refuse('EINVAL', `${device.name} was opened through its group, which has to be named`);
  const bus = busOf(device);
  if (count > bus.length)
    refuse('EINVAL', `${count} groups are named, and ${bus.length} devices are on the bus of ${device.name}`);
  const list = new Uint8Array(FD_BYTES * count);
  caller.readMemory(call.arg + HotResetStruct.size, list);
  const groups = Array.from({ length: count }, (_, n) => presentedGroup(caller, getS32(list, FD_BYTES * n)));
  return resetAll(bus, (each) => groups.some((group) => group.device === each));
}

function hotResetInfo(
  device: VfioDevice,
  caller: Caller,
  call: IoctlCall,
  describe: (bus: Bus) => { flags: number; ids: readonly number[] },
): number {
  checkWhole(device);
  const { at, size } = HotResetStruct;
  const header = readStruct(caller, call, size);
  const bus = busOf(device);
  const fits = bus.length <= Math.floor((getU32(header, at.argsz) - size) / DependentStruct.size);
  const { flags, ids } = describe(bus);
  setU32(header, at.flags, fits ? flags : 0);
  setU32(header, at.count, bus.length);
  const devices = bus.map((each, n) => dependent(each, ids[n]!));
  if (fits) caller.writeMemory(call.arg + size, Buffer.concat(devices));
  caller.writeMemory(call.arg, header);
  if (!fits) refuse('ENOSPC', `${bus.length} devices are reset with ${device.name}, and argsz has no room`);
  return 0;
}

function dependent({ life: { rid } }: VfioDevice, id: number): Uint8Array {
  const { at, size } = DependentStruct;
  const [segment = 0, bus = 0, slot = 0, fn = 0] = rid.split(/[:.]/).map((part) => Number.parseInt(part, 16));
  const data = new Uint8Array(size);
  setU32(data, at.id, id);
  setU16(data, at.segment, segment);
  setU8(data, at.bus, bus);
  setU8(data, at.devfn, (slot << 3) | fn);
  return data;
}

/** How many groups are named. @throws Refusal ENOTTY for a mediated device; EINVAL flags. */
function readReset(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  checkWhole(device);
  const { at, size } = HotResetStruct;
  const data = readStruct(caller, call, size);
  const flags = getU32(data, at.flags);
  if (flags !== 0) refuse('EINVAL', `flags ${hex(flags)} have bits that PCI_HOT_RESET does not know`);
  return getU32(data, at.count);
}

function resetAll(bus: Bus, has: (device: VfioDevice) => boolean): number {
  for (const each of bus)
    if (!has(each)) refuse('EINVAL', `${each.name} would be reset too, and is not shown to be the caller's`);
  for (const each of bus) each.resetWithBus();
  return 0;
}

/** @throws Refusal EBADF; EINVAL it is no group. */
function presentedGroup(caller: Caller, fd: number): VfioGroup {
  const object = presented(caller, fd);
  return object instanceof VfioGroup ? object : refuse('EINVAL', `descriptor ${fd} is no VFIO group`);
}

function presented(caller: Caller, fd: number): object | undefined {
  try {
    return caller.presented(fd);
  } catch (error) {
    if (error instanceof Refusal && error.errno === Errno.EINVAL) return undefined;
    throw error;
  }
}

/** The id of `other` in the iommufd that `device` is bound to; undefined: it is not bound there. */
function idBeside(device: VfioDevice, other: VfioDevice): number | undefined {
  const [own, its] = [device.iommufdDevice, other.iommufdDevice];
  return own !== undefined && its?.context === own.context ? its.device.id : undefined;
}

/** @throws Refusal ENODEV. */
function busOf({ name, place }: VfioDevice): Bus {
  return place.bus ?? refuse('ENODEV', `${name} has no bus or slot reset; use VFIO_DEVICE_RESET`);
}

function checkWhole({ life, name }: VfioDevice): void {
  if (life.mediated) refuse('ENOTTY', `${name} is a mediated device, which lies on no bus`);
}
