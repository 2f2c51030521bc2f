/**
 * What a program imports from `ioasid`: the machine for unit tests, the client, and what a device model is
 * made of.
 */
export * from './client/index.js';
export type { Alarm, Clock } from './devices/clock.js';
export type {
  BarDescription,
  BarMemory,
  BarRange,
  DeviceFactory,
  DeviceHost,
  DeviceModel,
  DeviceOptions,
  DmaFault,
  DmaPort,
  Drained,
  Link,
  MdevSupport,
  MsixDescription,
  PageWait,
  PciDescription,
  WorkingModel,
} from './devices/device-model.js';
export type { PlacedSpec } from './devices/load.js';
export type { Chain } from './devices/virtio/chain.js';
export type {
  VirtioDescription,
  VirtioFactory,
  VirtioHost,
  VirtioModel,
} from './devices/virtio/virtio-model.js';
export type { Virtqueue } from './devices/virtio/virtqueue.js';
export type { OutsideEnd, WireEnd, Wires } from './devices/wire.js';
export type { SpaceKind } from './ioasid/space.js';
export type { Logged } from './iommu/event-log.js';
export type { Fault, FaultRecord } from './iommu/fault-log.js';
export { NO_PASID, type Vpasid } from './iommu/pasid.js';
export { Errno, Refusal } from './linux/errno.js';
export { Machine, type MachineOptions } from './machine/machine.js';
export type {
  AuthorizationSnapshot,
  ContextSnapshot,
  DeviceSnapshot,
  MachineSnapshot,
  MappingSnapshot,
  NoteSnapshot,
  PasidSnapshot,
  RefusalSnapshot,
} from './machine/snapshot.js';
