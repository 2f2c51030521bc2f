/** What an open of /dev/iommu stands for, or of a container that it stands in for: a context of its own. */
import type { Caller, Mapping, OpenFile } from '../file/open-file.js';
import type { IommufdContext } from '../iommufd/context.js';
import type { IommufdSubsystem } from '../iommufd/subsystem.js';
import { refuse } from '../linux/errno.js';
import { DeviceFile } from '../uapi/device-file.js';
import type { IoctlTable } from '../uapi/ioctl.js';
import { compatTable } from '../uapi/vfio-compat.js';

/** Linux looks for what is at the offset first. */
const nothingMapped: Mapping = {
  pages: () => [],
  memory: nothingAt,
  read: () => 0,
  write: () => 0,
  check: (_caller, offset) => nothingAt(offset),
  write64: () => false,
};

function nothingAt(offset: number): never {
  refuse('ENXIO', `there is nothing to map at offset ${offset} of an iommufd`);
}

/** @param rlimitMode how memory is counted by default: as a container it differs in that */
export function openIommufd(
  iommufd: IommufdSubsystem,
  rlimitMode: number,
  caller: Caller,
  table: IoctlTable<IommufdContext> = compatTable,
): OpenFile {
  const context = iommufd.open(caller.pid, rlimitMode, caller.payer);
  return new DeviceFile(context, table, { mapping: nothingMapped, release: () => context.close() });
}
