/**
 * What a program imports from `ioasid`: the machine for unit tests, the client, and what a device model is
 * made of.
 */
export * from './client/index.js';
export type {
  BarDescription,
  DeviceFactory,
  DeviceHost,
  DeviceModel,
  DeviceOptions,
  DmaFault,
  DmaPort,
  Link,
  MdevSupport,
  PageWait,
  PciDescription,
} from './devices/device-model.js';
export type {
  VirtioDescription,
  VirtioFactory,
  VirtioHost,
  VirtioModel,
} from './devices/virtio/virtio-model.js';
export { NO_PASID } from './iommu/pasid.js';
export { Errno, Refusal } from './linux/errno.js';
export { Machine, type MachineOptions } from './machine/machine.js';
export type { MachineSnapshot } from './machine/snapshot.js';
