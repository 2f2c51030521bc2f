/** The typed client: the same classes over real files or an in-process machine. */
export { HW_INFO_VTD } from '../uapi/iommufd/vtd.js';
export type { Bits64 } from '../uapi/struct.js';
export { FaultQueue, type PageFault } from './fault-queue.js';
export { InProcess } from './in-process.js';
export {
  Ioasid,
  type IoasidFault,
  type IoasidInfo,
  type MapOptions,
  type PageTableOptions,
} from './ioasid.js';
export { Iommufd } from './iommufd.js';
export type {
  HwInfo,
  HwptDescription,
  IommufdMapOptions,
  IommufdRange,
  IovaRanges,
} from './iommufd-types.js';
export { LinuxTransport } from './linux-transport.js';
export type { EventFile, MemoryFile, ProcessMemoryBlock, Transport } from './transport.js';
export { VeventQueue, type ViommuEvent } from './vevent-queue.js';
export { type DeviceInfo, type IrqInfo, type RegionInfo, VfioDeviceFile } from './vfio-device.js';
export { allocVtdS1, invalidateVtdS1, type VtdInvalidation, type VtdS1 } from './vtd.js';
