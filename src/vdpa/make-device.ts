/** Makes the vDPA device of one virtio model. */
import type { ModelCalls } from '../devices/model-calls.js';
import { CalledVirtioModel } from '../devices/virtio/called-virtio-model.js';
import type { VirtioModel } from '../devices/virtio/virtio-model.js';
import type { PasidSpace } from '../ioasid/pasid-space.js';
import type { Iommu } from '../iommu/iommu.js';
import { VdpaDevice } from './device.js';
import { VdpaPort } from './vdpa-port.js';

/** What to make. */
export interface VdpaRequest {
  /** The requester id: `0000:6a:01.0`. */
  readonly rid: string;
  /** Makes the model. @throws Error when an option of it is wrong. */
  make(note: (sentence: string) => void): VirtioModel;
  /** Whose failure is one of the device: its module's. */
  readonly calls: ModelCalls;
  /** The file's name: `vhost-vdpa-0`. */
  readonly name: string;
}

/**
 * A device with an address space for each group of queues.
 * @throws Refusal EEXIST when the requester id is taken; EINVAL the model is none (checkVirtioModel).
 * @throws Error as `make`.
 */
export function makeVdpaDevice(iommu: Iommu, pasids: PasidSpace, request: VdpaRequest): VdpaDevice {
  const { rid, make, name } = request;
  const calls = request.calls.part(name);
  const model = CalledVirtioModel.make(calls, () => make((sentence) => calls.note(sentence)));
  const port = new VdpaPort(iommu, pasids, rid, name, model.virtio.groups ?? 1);
  return new VdpaDevice(iommu, port, name, model);
}
