/** The typed client: the same classes over real files or an in-process machine. */
export { HW_INFO_VTD } from '../uapi/iommufd/vtd.js';
export { FaultQueue, type PageFault } from './fault-queue.js';
export { InProcess } from './in-process.js';
export { Ioasid, type IoasidInfo, type MapOptions } from './ioasid.js';
export {
  type HwInfo,
  type HwptDescription,
  Iommufd,
  type IommufdMapOptions,
  type IommufdRange,
} from './iommufd.js';
export { LinuxTransport } from './linux-transport.js';
export type { EventFile, MemoryFile, ProcessMemoryBlock, Transport } from './transport.js';
export { VeventQueue, type ViommuEvent } from './vevent-queue.js';
export { VfioDeviceFile } from './vfio-device.js';
export { allocVtdS1, invalidateVtdS1, type VtdInvalidation, type VtdS1 } from './vtd.js';
