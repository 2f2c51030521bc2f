/**
 * What all of VFIO's ioctls have in common: `_IO(';', 100 + n)`, so that the kernel copies nothing and `arg`
 * is an address in the caller, where a struct begins with `argsz`, the caller's size of it.
 */
import type { Caller, IoctlCall } from '../file/open-file.js';
import { hex, refuse } from '../linux/errno.js';
import { NUM_REGIONS, type VfioDevice } from '../vfio/device.js';
import type { NumberedIoctls } from './device-file.js';
import {
  type Ioctl,
  type IoctlHandler,
  type IoctlRows,
  type IoctlTable,
  ioctlTable,
  refuseIoctl,
} from './ioctl.js';
import { getU32 } from './struct.js';

/** The ioctl type, and number 0 of it. */
export const VFIO_TYPE = 0x3b;
export const VFIO_BASE = 100;

/** A region begins at offset `index * REGION_SPAN` of a device file. */
export const REGION_SPAN = 2 ** 40;
/** Where the last region's offsets end. */
export const REGIONS_END = NUM_REGIONS * REGION_SPAN;

/** `_IO(VFIO_TYPE, VFIO_BASE + nr)`. */
export function io(nr: number): number {
  return (VFIO_TYPE << 8) | (VFIO_BASE + nr);
}

/** Tables find handlers by type and number; these ioctls have neither size nor direction. */
export function exactTable<T>(rows: IoctlRows<T>): IoctlTable<T> {
  return before(ioctlTable(rows), (_object, cmd, number) => {
    if (cmd !== number)
      refuse('ENOTTY', `ioctl ${hex(number)} has no size and no direction, but ${hex(cmd)} has`);
  });
}

/** The same of a device: each of them wakes it. */
export function wakingTable(rows: IoctlRows<VfioDevice>): IoctlTable<VfioDevice> {
  return before(exactTable(rows), (device) => device.power.wake());
}

/** Those that a device file does not have: they wake it too. @throws Refusal ENOTTY */
export const unknownIoctls: NumberedIoctls<VfioDevice> = {
  handle: (device, _caller, { cmd }) => {
    device.power.wake();
    return refuseIoctl(cmd);
  },
  shapeOf: () => undefined,
};

/** `table`, with `act` done before each of its ioctls. */
function before<T>(
  table: IoctlTable<T>,
  act: (object: T, cmd: number, number: number) => void,
): IoctlTable<T> {
  const ioctls = [...table].map(([number, ioctl]): [number, Ioctl<T>] => {
    const handle: IoctlHandler<T> = (object, caller, call) => {
      act(object, call.cmd, number);
      return ioctl.handle(object, caller, call);
    };
    return [number, { ...ioctl, handle }];
  });
  return new Map(ioctls);
}

/** The first `bytes` of the caller's struct, zeros behind it up to `size`. */
export function readStruct(caller: Caller, call: IoctlCall, bytes: number, size = bytes): Uint8Array {
  const data = new Uint8Array(size);
  caller.readMemory(call.arg, data.subarray(0, bytes));
  const argsz = getU32(data, 0);
  if (argsz < bytes) refuse('EINVAL', `argsz ${argsz} is less than the ${bytes} bytes of the struct`);
  return data;
}
