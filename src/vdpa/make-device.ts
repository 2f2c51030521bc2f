/** Makes the vDPA device of one virtio model. */
import { Clock } from '../devices/clock.js';
import { DeviceTimers, timeOf } from '../devices/device-timers.js';
import type { ModelCalls } from '../devices/model-calls.js';
import { CalledVirtioModel } from '../devices/virtio/called-virtio-model.js';
import type { VirtioHost, VirtioModel } from '../devices/virtio/virtio-model.js';
import type { PasidSpace } from '../ioasid/pasid-space.js';
import type { Iommu } from '../iommu/iommu.js';
import { VdpaDevice } from './device.js';
import type { IotlbLimits } from './iotlb.js';
import { VdpaPort } from './vdpa-port.js';

/** What to make. */
export interface VdpaRequest {
  /** The requester id: `0000:6a:01.0`. */
  readonly rid: string;
  /** Makes the model. @throws Error when an option of it is wrong. */
  make(host: Pick<VirtioHost, 'note' | 'now' | 'after'>): VirtioModel;
  /** Whose failure is one of the device: its module's. */
  readonly calls: ModelCalls;
  /** The file's name: `vhost-vdpa-0`. */
  readonly name: string;
  /** What its timers go by; absent: one of their own, which stands still. */
  readonly clock?: Clock;
  readonly limits?: IotlbLimits;
}

/**
 * A device with an address space for each group of queues.
 * @throws Refusal EEXIST when the requester id is taken; EINVAL the model is none (checkVirtioModel).
 * @throws Error as `make`.
 */
export function makeVdpaDevice(iommu: Iommu, pasids: PasidSpace, request: VdpaRequest): VdpaDevice {
  const { rid, make, name, limits, clock = new Clock() } = request;
  const calls = request.calls.part(name);
  const timers = new DeviceTimers(clock, calls);
  let device: VdpaDevice | undefined;
  const host = {
    note: (sentence: string) => calls.note(sentence),
    ...timeOf(timers, () => device !== undefined),
  };
  const model = CalledVirtioModel.make(calls, () => make(host), timers);
  const port = new VdpaPort(iommu, pasids, rid, name, model.virtio.groups ?? 1);
  device = new VdpaDevice(iommu, port, name, model, limits);
  return device;
}
