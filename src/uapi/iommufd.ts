/**
 * The ABI of `/dev/iommu`: the ioctls of <linux/iommufd.h> (Linux 7.3) in one table, which says for every one
 * its struct, the last field of its first version, and the method that it becomes. One file for each kind of
 * object stands in `iommufd/`.
 */
import type { Caller } from '../file/open-file.js';
import { after, type Sliced } from '../file/work.js';
import { IommufdContext } from '../iommufd/context.js';
import { Errno, Refusal, refuse } from '../linux/errno.js';
import { type IoctlTable, tableOf } from './ioctl.js';
import { type Command, IOMMUFD_TYPE, type IommufdIoctl, iommufd } from './iommufd/command.js';
import { compatIoctls } from './iommufd/compat.js';
import { dirtyIoctls } from './iommufd/dirty.js';
import { faultQueueIoctls } from './iommufd/fault-queue.js';
import { hwInfoIoctls } from './iommufd/hw-info.js';
import { hwptIoctls } from './iommufd/hwpt.js';
import { ioasIoctls } from './iommufd/ioas.js';
import { optionIoctls } from './iommufd/option.js';
import { veventQueueIoctls } from './iommufd/vevent-queue.js';
import { viommuIoctls } from './iommufd/viommu.js';
import { whatIs } from './presented.js';
import { getU32, struct, u32 } from './struct.js';

export * from './iommufd/compat.js';
export * from './iommufd/dirty.js';
export * from './iommufd/fault-queue.js';
export * from './iommufd/hw-info.js';
export * from './iommufd/hwpt.js';
export * from './iommufd/ioas.js';
export * from './iommufd/option.js';
export * from './iommufd/vevent-queue.js';
export * from './iommufd/viommu.js';

export const DestroyStruct = struct('iommu_destroy', { size: u32, id: u32 });

export const iommufdIoctls = {
  IOMMU_DESTROY: { nr: 0x80, struct: DestroyStruct, last: 'id', handle: destroy },
  ...ioasIoctls,
  ...optionIoctls,
  ...compatIoctls,
  ...hwptIoctls,
  ...hwInfoIoctls,
  ...dirtyIoctls,
  ...viommuIoctls,
  ...faultQueueIoctls,
  ...veventQueueIoctls,
} as const satisfies Record<string, IommufdIoctl>;

/** `_IO(';', nr)`. */
export function iommufdNumber(name: keyof typeof iommufdIoctls): number {
  return (IOMMUFD_TYPE << 8) | iommufdIoctls[name].nr;
}

/** The ioctls of `/dev/iommu`. */
export const iommufdTable: IoctlTable<IommufdContext> = tableOf(
  Object.entries(iommufdIoctls).map(([name, ioctl]) => [
    (IOMMUFD_TYPE << 8) | ioctl.nr,
    { name, argument: ioctl.struct, handle: iommufd(name, ioctl) },
  ]),
);

/**
 * The context behind the caller's descriptor. @throws Refusal EBADF no such descriptor, EBADFD not an open
 * /dev/iommu or /dev/vfio/vfio.
 */
export function presentedIommufd(caller: Caller, fd: number): IommufdContext {
  let object: object | undefined;
  try {
    object = caller.presented(fd);
  } catch (error) {
    if (!(error instanceof Refusal) || error.errno === Errno.EBADF) throw error;
  }
  if (object instanceof IommufdContext) return object;
  const is = object === undefined ? '' : `: it is ${whatIs(object)}`;
  return refuse('EBADFD', `descriptor ${fd} is neither /dev/iommu nor /dev/vfio/vfio${is}`);
}

function destroy(context: IommufdContext, { data }: Command): Sliced<number> {
  return after(context.destroy(getU32(data, DestroyStruct.at.id)), () => 0);
}
